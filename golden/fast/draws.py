"""The random bits of an update in `golden.fast.chain`: the draws of `golden.parts.generator`, many
at a time.

A step of the generator is linear in the bits of its state, and so are LANES steps at once: LANES
draws side by side make the next LANES, each bit of a state adding (exclusive or) its column.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir

from counterflow.golden.fast.lanes import LANES, load_lanes, store_lanes
from counterflow.golden.fast.words import (
    FILL,
    access,
    bit_and,
    bit_xor,
    compiled,
    fill,
    fill_end,
    intrinsic,
    shift_left,
    shift_right_unsigned,
    word,
)
from counterflow.golden.parts.generator import draws

Record = Any  # an element of one of the types in `golden.fast.records`
Memory = Any  # that of `golden.fast.records`

BITS = 32  # of a state
CHAINS = 4  # sums of columns, none of which waits for another
NARROW_TILE = 4  # lanes of a tile below which words are filled one by one

_, store_random = access("random")
load_draw, _ = access("draws")


@intrinsic
def _leap(typing_context: Any, states: Any) -> Any:
    """The states LANES steps after these, which are Lanes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = values[0].type
        zero, sums = ir.Constant(kind, None), [ir.Constant(kind, None)] * CHAINS
        for bit in range(BITS):
            column = int(draws(1 << bit, LANES)[-1])
            one = builder.and_(values[0], ir.Constant(kind, [1 << bit] * LANES))
            added = builder.xor(sums[bit % CHAINS], ir.Constant(kind, [column] * LANES))
            is_set = builder.icmp_unsigned("!=", one, zero)
            sums[bit % CHAINS] = builder.select(is_set, added, sums[bit % CHAINS])
        return functools.reduce(builder.xor, sums)

    return states(states), generate


@compiled
def draw(memory: Memory, unit: Record, state: Any) -> Any:
    """Put the draws of all tiles into `draws`, given the generator's state; returns the next."""
    found = memory.draws
    for n in range(LANES):
        state = bit_xor(state, shift_left(state, np.uint32(13)))
        state = bit_xor(state, shift_right_unsigned(state, np.uint32(17)))
        state = bit_xor(state, shift_left(state, np.uint32(5)))
        found[n] = state
    tiles = unit.rows * unit.columns
    last = load_lanes(found, 0)
    for n in range(LANES, tiles, LANES):
        last = _leap(last)
        store_lanes(found, n, last)
    return found[tiles - 1]


@compiled
def fill_row(memory: Memory, unit: Record, row: int) -> None:
    """The random bits of each tap for a row of tiles, from `draws`."""
    _fill(memory, unit, row, memory.velocity_random, unit.new_velocity)
    if unit.compensate != 0:
        _fill(memory, unit, row, memory.step_random, unit.step)
    if unit.decays != 0:
        _fill(memory, unit, row, memory.decay_random, unit.decayed)


@compiled
def _fill(memory: Memory, unit: Record, row: int, random: Any, how: Record) -> None:
    """Those of one rounding."""
    found = memory.draws
    shift, mask = word(found, how.shift), word(found, how.mask)
    tile = row * unit.columns
    if unit.wide == 1:
        for i in range(unit.taps):
            bits = bit_and(shift_right_unsigned(load_draw(found, tile + i), shift), mask)
            store_random(random, i, word(random, bits))
        return
    for line in range(unit.kernel_rows):
        for part in range(unit.parts):
            drawn = bit_and(shift_right_unsigned(load_draw(found, tile), shift), mask)
            bits = word(random, drawn)
            tile += 1
            start = line * unit.row_taps + part * unit.wide
            if unit.wide < NARROW_TILE:
                for place in range(start, start + unit.wide):
                    store_random(random, place, bits)
                continue
            block = start & ~(FILL - 1)
            fill_end(random, block, bits, start - block)
            for place in range(block + FILL, start + unit.wide, FILL):
                fill(random, place, bits)
