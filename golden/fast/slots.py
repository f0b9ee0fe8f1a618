"""The compiled loops of `golden.fast.chain`: a block of tokens through all units in one call.

All arithmetic on weights is done in the machine word that the arrays of `Memory` have: int32 where
`golden.fast.narrowings` has proven that every intermediate value fits, else int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.golden.fast.convolution import convolve
from counterflow.golden.fast.dense import dense_rows
from counterflow.golden.fast.gradient import add_gradient, convolve_back, emit_gradient, find_errors
from counterflow.golden.fast.loss import loss_of
from counterflow.golden.fast.pool import pool_back, pool_forward
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.tanh import tanh_back, tanh_forward
from counterflow.golden.fast.update import update_by_sums
from counterflow.golden.fast.words import access, compiled, compiled_once, sources, word

Integers = NDArray[np.int64]

BUBBLE, TRAIN, ACCUMULATE = 0, 2, 3  # as in `design.parts.tokens.Kind`

_, store_stash = access("stash")
load_sample, _ = access("sample")


@compiled
def _unit_slot(memory: Memory, index: int, slot: int, kind: int, came: int) -> None:
    """Forward pass of token `slot`, and all the rest for token `slot` - delay of kind `came`."""
    unit, after = memory.units[index], memory.units[index + 1]
    x = unit.stash + slot % (unit.delay + 1) * unit.size
    y = after.stash + slot % (after.delay + 1) * after.size + after.origin
    if unit.pools < unit.pools_end:
        y = memory.pools[unit.pools].x
    old_x = unit.stash + (slot + 1) % (unit.delay + 1) * unit.size
    dy = unit.errors + (slot + 1) % (unit.delay + 1) * unit.down * unit.across * unit.outputs
    horizon = unit.horizon if kind >= TRAIN else 0
    learns, saturations = came >= TRAIN, 0
    backward, state = learns and index > 0, memory.generator[index]
    if unit.direct:
        passes = index > 0 or kind != BUBBLE, backward, learns and not unit.sums
        state, saturations = dense_rows(memory, unit, x, y, horizon, old_x, dy, passes, state)
    else:
        saturations = convolve(memory, unit, x, y, horizon)
    if learns and unit.sums:
        count = find_errors(memory, unit, dy)
        add_gradient(memory, unit, old_x, count)
        if backward and not unit.direct:
            convolve_back(memory, unit, count)
        if came == TRAIN:
            state, hits = update_by_sums(memory, unit, state)
            saturations += hits
    if backward:
        saturations += _send_back(memory, index, slot - unit.delay, old_x)
    memory.generator[index] = state
    memory.saturations[index] += saturations


@compiled
def _send_back(memory: Memory, index: int, token: int, x: int) -> int:
    """Send dx of a token to the unit before, through all units between; returns what saturated."""
    unit, before = memory.units[index], memory.units[index - 1]
    elements = before.down * before.across * before.outputs
    dx = before.errors + token % (before.delay + 1) * elements
    first, pool = before.pools, before.pools_end
    to = memory.pools[pool - 1].dy if pool > first else dx
    stamp = (token + 1) * len(memory.units) + index
    saturations = emit_gradient(memory, unit, x, to, stamp)
    while pool > first:
        pool -= 1
        to = memory.pools[pool - 1].dy if pool > first else dx
        if memory.pools[pool].codes > 0:
            tanh_back(memory, memory.pools[pool], token, to)
        else:
            pool_back(memory, memory.pools[pool], token, to)
    return saturations


@compiled
def _pool_slot(memory: Memory, index: int, slot: int) -> None:
    """Forward pass of token `slot` through what is between unit number `index` and the next."""
    unit, after = memory.units[index], memory.units[index + 1]
    for pool in range(unit.pools, unit.pools_end):
        y = after.stash + slot % (after.delay + 1) * after.size + after.origin
        if pool + 1 < unit.pools_end:
            y = memory.pools[pool + 1].x
        if memory.pools[pool].codes > 0:
            tanh_forward(memory, memory.pools[pool], slot, y)
        else:
            pool_forward(memory, memory.pools[pool], slot, y)


@compiled
def _admit(
    memory: Memory, slot: int, small: NDArray[np.uint8], large: Integers, sample: int
) -> None:
    """Copy a sample, or zeros in place of one that is negative, into the first unit's stash."""
    unit, stash = memory.units[0], memory.stash
    start = unit.stash + slot % (unit.delay + 1) * unit.size + unit.origin
    at = sample * unit.image_rows * unit.row_inputs
    for row in range(unit.image_rows):
        to = start + row * unit.pitch
        if sample < 0:
            for i in range(unit.row_inputs):
                store_stash(stash, to + i, word(stash, 0))
        elif len(small):
            for i in range(unit.row_inputs):
                store_stash(stash, to + i, word(stash, load_sample(small, at + i)))
        else:
            for i in range(unit.row_inputs):
                store_stash(stash, to + i, word(stash, load_sample(large, at + i)))
        at += unit.row_inputs


def _compiled(version: int) -> Any:
    """`run` as it is with these sources (see `sources`)."""

    @compiled_once
    def run(
        memory: Memory,
        slot: int,
        kinds: NDArray[np.uint8],
        samples: Integers,
        small: NDArray[np.uint8],
        large: Integers,
        labels: Integers,
        scores: Integers,
        losses: Integers,
    ) -> None:
        """One slot a token from number `slot` on; the samples are in `small` or else in `large`."""
        _ = version
        end, window = memory.units[len(memory.units) - 1], len(memory.kinds)
        done = 0
        for token in range(len(kinds)):
            kind = kinds[token]
            memory.kinds[slot % window] = kind
            _admit(memory, slot, small, large, samples[token] if kind != BUBBLE else -1)
            for index in range(len(memory.units) - 1):
                back = slot - memory.units[index].delay
                came = memory.kinds[back % window] if back >= 0 else np.uint8(BUBBLE)
                _unit_slot(memory, index, slot, kind, came)
                _pool_slot(memory, index, slot)
            if kind != BUBBLE:
                losses[done] = loss_of(memory, slot, labels[samples[token]], kind >= TRAIN)
                for i in range(end.outputs):
                    scores[done, i] = memory.stash[end.stash + i]
                done += 1
            slot += 1

    return run


run = _compiled(sources())
