"""Activation units in `golden.fast.chain`: a look-up forward, LANES products at a time backward."""

from __future__ import annotations

from typing import Any

from counterflow.golden.fast.lanes import (
    LANES,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    store_first,
)
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.words import access, compiled, mul

Record = Any  # an element of one of the types in `golden.fast.records`

load_word, store_word = access()


@compiled(forceinline=True)
def tanh_forward(memory: Memory, unit: Record, slot: int, y: int) -> None:
    """y at stash[y] of the image at stash[unit.x]; keeps the slopes as the token's entry."""
    stash, entries, tables = memory.stash, memory.entries, memory.tables
    line, x = unit.across * unit.channels, unit.x
    entry = unit.entries + slot % unit.depth * unit.size
    for row in range(unit.down):
        to = y + row * unit.y_pitch
        for i in range(line):
            at = unit.table + load_word(stash, x + i)
            store_word(stash, to + i, load_word(tables, at))
            store_word(entries, entry + i, load_word(tables, at + unit.codes))
        x += line
        entry += line


@compiled(forceinline=True)
def tanh_back(memory: Memory, unit: Record, slot: int, dx: int) -> None:
    """dx at errors[dx] of token number `slot`, whose dy is at errors[unit.dy]."""
    errors = memory.errors
    entry = unit.entries + slot % unit.depth * unit.size
    for i in range(0, unit.outputs, LANES):
        slopes = load_lanes(memory.entries, entry + i)
        products = mul(load_lanes(errors, unit.dy + i), slopes)
        value = limited_lanes(errors, rounded_lanes(errors, products, unit.dx), unit.dx)
        store_first(errors, dx + i, value, unit.outputs - i)
