"""What norms learn in `golden.fast.chain`: running statistics, controls, betas and gammas, views.

All of it is done channel by channel in 64 bits, at the end of a slot.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.golden.fast import group_normalise, normalise
from counterflow.golden.fast.dense import bias_operand
from counterflow.golden.fast.draws import draw, fill_row
from counterflow.golden.fast.half_up import half_up, rooted, shared
from counterflow.golden.fast.normalise import (
    AHEAD,
    BETA,
    CENTRE,
    CORRELATION,
    GAMMA,
    GAMMA_AHEAD,
    HALVINGS,
    PULL,
    ROOT,
    SCALE,
    backward_sums,
    view_of,
)
from counterflow.golden.fast.records import STATISTICS, TRAIN, Memory
from counterflow.golden.fast.update import same_random, update_bias
from counterflow.golden.fast.words import compiled

Record = Any  # an element of one of the types in `golden.fast.records`

MEAN, VARIANCE, SCALE_CONTROL, SHIFT_CONTROL = range(len(STATISTICS))


@compiled
def _store(memory: Memory, at: int, value: int, share: Record) -> None:
    memory.statistics[at] = min(max(value, share.low), share.high)


@compiled
def show(memory: Memory, unit: Record, token: int) -> None:
    """The state as it stands to where token `token` sees it."""
    at, period = view_of(unit, token), unit.period
    for c in range(unit.channels):
        beta, ahead = bias_operand(memory, unit, c, 0), bias_operand(memory, unit, c, unit.ahead)
        for place in range(at + c, at + period, unit.channels):
            memory.views[place + BETA * period] = beta
            memory.views[place + AHEAD * period] = ahead
        if unit.scaled != 0:
            _show_gamma(memory, unit, at, c)
        if unit.group == 0:
            _show_running(memory, unit, at, c)


@compiled
def _show_gamma(memory: Memory, unit: Record, at: int, c: int) -> None:
    """The gamma of a channel to the view that stands at `at`."""
    gamma = bias_operand(memory, unit.gammas, c, 0)
    ahead = bias_operand(memory, unit.gammas, c, unit.gammas.ahead)
    for place in range(at + c, at + unit.period, unit.channels):
        memory.views[place + GAMMA * unit.period] = gamma
        memory.views[place + GAMMA_AHEAD * unit.period] = ahead


@compiled
def _show_running(memory: Memory, unit: Record, at: int, c: int) -> None:
    """The statistics and controls of a channel to the view that stands at `at`."""
    found, period = unit.statistics + c, unit.period
    centre = half_up(memory.statistics[found + MEAN * unit.channels], unit.centre_drop)
    variance = memory.statistics[found + VARIANCE * unit.channels]
    root, halvings = rooted(memory, unit, variance)
    scale = memory.statistics[found + SCALE_CONTROL * unit.channels]
    shift = memory.statistics[found + SHIFT_CONTROL * unit.channels]
    pull = half_up(shift, unit.pull_drop)
    for place in range(at + c, at + period, unit.channels):
        memory.views[place + CENTRE * period] = centre
        memory.views[place + ROOT * period] = root
        memory.views[place + HALVINGS * period] = halvings
        memory.views[place + SCALE * period] = scale
        memory.views[place + PULL * period] = pull


@compiled
def _move_statistics(memory: Memory, unit: Record, slot: int) -> None:
    """Move means and variances by the sums over token `slot`."""
    for c in range(unit.channels):
        centre = np.int64(memory.views[view_of(unit, slot) + CENTRE * unit.period + c])
        at = unit.statistics + c
        share = shared(memory.norm_sums[unit.sums + c], unit.mean)
        mean = memory.statistics[at]
        way = (centre << unit.centre_drop) + share - mean
        _store(memory, at, mean + half_up(way, unit.decay), unit.mean)
        at += VARIANCE * unit.channels
        share = shared(memory.norm_sums[unit.sums + unit.channels + c], unit.variance)
        variance = memory.statistics[at]
        _store(memory, at, variance + half_up(share - variance, unit.decay), unit.variance)


@compiled
def _move_controls(memory: Memory, unit: Record, sums: int) -> None:
    """Move both controls by the sums over a token's gradients."""
    for c in range(unit.channels):
        at = unit.statistics + SCALE_CONTROL * unit.channels + c
        step = shared(memory.norm_sums[sums + unit.channels + c], unit.scale)
        _store(memory, at, memory.statistics[at] + step, unit.scale)
        at += unit.channels
        step = shared(memory.norm_sums[sums + 2 * unit.channels + c], unit.shift)
        _store(memory, at, memory.statistics[at] + step, unit.shift)


@compiled
def _add(memory: Memory, unit: Record, sums: int) -> None:
    """Add the sums over a token's gradients to what waits for betas and gammas."""
    for c in range(unit.channels):
        memory.bias_gradient[unit.biases + c] += memory.norm_sums[sums + c]
        if unit.scaled != 0:
            correlated = memory.norm_sums[sums + CORRELATION * unit.channels + c]
            memory.bias_gradient[unit.gammas.biases + c] += correlated


@compiled
def _learn(memory: Memory, unit: Record) -> None:
    """Move betas and gammas by all that waits for it; those of a channel share a draw."""
    if unit.stochastic:
        memory.generator[unit.index] = draw(memory, unit, memory.generator[unit.index])
    _move(memory, unit)
    if unit.scaled != 0:
        _move(memory, unit.gammas)
    for c in range(unit.channels):
        memory.saturations[unit.index] += memory.hits[c] != 0
        memory.hits[c] = 0


@compiled
def _move(memory: Memory, moves: Record) -> None:
    """Move betas, or gammas, and note in `hits` which of them saturated."""
    if moves.stochastic:
        fill_row(memory, moves, 0)
    else:
        same_random(memory, moves)
    for c in range(moves.taps):
        at = moves.biases + c
        if update_bias(memory, moves, at, memory.bias_gradient[at], c):
            memory.hits[c] = 1
        memory.bias_gradient[at] = 0


@compiled
def update(memory: Memory, unit: Record, slot: int, kind: int, came: int) -> None:
    """End of slot `slot`: move by its token, of kind `kind`, and by the one that came back."""
    if kind >= TRAIN and unit.group == 0:
        _move_statistics(memory, unit, slot)
    if came >= TRAIN:
        sums = backward_sums(unit, slot - unit.delay)
        if unit.backward and unit.group == 0:
            _move_controls(memory, unit, sums)
        if unit.frozen == 0:
            _add(memory, unit, sums)
            if came == TRAIN:
                _learn(memory, unit)
    show(memory, unit, slot + 2)


@compiled
def norm_back(memory: Memory, index: int, slot: int, kind: int, came: int, learnt: int) -> None:
    """What a norm does against the order of the dataflow in slot `slot`, of a token of kind `kind`.

    The gradient that now passes is of a token of kind `came`; the update is by that of one of kind
    `learnt`.  A gradient that comes two slots before its update sees what this slot's leaves.
    """
    unit = memory.norms[index]
    waits = unit.sums_depth > 2
    for turn in range(2):
        if came >= TRAIN and waits == (turn == 1):
            token = slot + unit.sums_depth - 1 - unit.delay
            if unit.group == 0:
                normalise.backward(memory, unit, token)
            else:
                group_normalise.backward(memory, unit, token)
        if turn == 0:
            update(memory, unit, slot, kind, learnt)
