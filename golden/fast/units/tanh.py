"""Activation units in `golden.fast.chain`: a look-up forward, LANES products at a time backward."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.tanh import Tanh
from counterflow.golden.fast.lanes import (
    LANES,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    store_first,
)
from counterflow.golden.fast.narrowings import NARROW, fields, largest_narrowed, narrowing
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import PASSING, Memory, passing
from counterflow.golden.fast.words import access, compiled, mul

Record = Any  # an element of type RECORD

RECORD = np.dtype([*PASSING, *fields("down", "line", "least", "codes"), ("dx", NARROW)])
"""`down` rows of `line` elements; its tables are of `codes` numbers x from `least` on."""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of its record."""
    numbers: Tanh = stage.numbers
    down, across, channels = stage.unit.outputs[0].shape
    frac = numbers.dy.frac + numbers.slope.frac
    own = {
        "down": down,
        "line": across * channels,
        "least": numbers.x.min,
        "codes": 1 << numbers.x.bits,
        "dx": narrowing(frac, numbers.dx, numbers.round_error),
    }
    return [passing(stage, where, entries=numbers.elements) | own]


def tables(numbers: Tanh) -> list[NDArray[np.int64]]:
    """y of every x, then the slopes there."""
    y = numbers.every_y
    return [y, np.array(numbers.slopes)[np.abs(y)]]


def fits(numbers: Tanh, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value."""
    error = numbers.dy.frac + numbers.slope.frac - numbers.dx.frac
    most = numbers.dy.magnitude << numbers.slope.frac
    return largest_narrowed(most, error) < 1 << (bits - 1)


load_word, store_word = access()


@compiled(forceinline=True)
def forward(memory: Memory, unit: Record, slot: int) -> None:
    """y of token `slot`, whose image is at stash[unit.x]; keeps the slopes as its entry."""
    stash, entries, tables = memory.stash, memory.entries, memory.tables
    line, x, table = unit.line, unit.x, unit.tables - unit.least
    y = unit.y + slot % unit.y_depth * unit.y_size
    entry = unit.entries + slot % unit.depth * unit.size
    for row in range(unit.down):
        to = y + row * unit.y_pitch
        for i in range(line):
            at = table + load_word(stash, x + i)
            store_word(stash, to + i, load_word(tables, at))
            store_word(entries, entry + i, load_word(tables, at + unit.codes))
        x += line
        entry += line


@compiled(forceinline=True)
def backward(memory: Memory, unit: Record, slot: int) -> None:
    """dx of token number `slot`, whose dy is at errors[unit.dy]."""
    errors = memory.errors
    dx = unit.dx_start + slot % unit.dx_depth * unit.inputs
    entry = unit.entries + slot % unit.depth * unit.size
    for i in range(0, unit.outputs, LANES):
        slopes = load_lanes(memory.entries, entry + i)
        products = mul(load_lanes(errors, unit.dy + i), slopes)
        value = limited_lanes(errors, rounded_lanes(errors, products, unit.dx), unit.dx)
        store_first(errors, dx + i, value, unit.outputs - i)
