"""The compiled loops of `golden.fast.chain`: a block of tokens through all units in one call.

A slot is a list of steps, made from the graph.  First each unit in the order of the dataflow: one
with weights makes its whole slot, since its gradient came in an earlier one; others pass their
token on.  Then, against that order, these send back the tokens whose gradients came, and norms
update.

All arithmetic on weights is done in the machine word that the arrays of `Memory` have: int32 where
`golden.fast.narrowings` has proven that every intermediate value fits, else int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.golden.fast import group_normalise, normalise
from counterflow.golden.fast.records import BUBBLE, NORM, SLOT, TRAIN, Memory
from counterflow.golden.fast.running import norm_back, show
from counterflow.golden.fast.units import UNITS, passing_kinds
from counterflow.golden.fast.units.bce import chances_of
from counterflow.golden.fast.units.convolution import unit_slot
from counterflow.golden.fast.units.loss import loss_of
from counterflow.golden.fast.units.mse import squares_of
from counterflow.golden.fast.words import access, compiled, compiled_once, inlined, sources, word

Integers = NDArray[np.int64]

_, store_stash = access("stash")
load_sample, _ = access("sample")


KINDS = tuple(passing_kinds())  # those that were known when the loops were made


def _by_kind(name: str) -> Any:
    """One function for the loops `name` of all kinds: (memory, kind, record, token)."""

    @inlined
    def chosen(memory: Memory, kind: int, record: int, token: int) -> None:
        pass

    for number, kind in enumerate(KINDS):
        chosen = _either(number, getattr(UNITS[kind], name), chosen)
    return chosen


def _either(number: int, loop: Any, other: Any) -> Any:
    """`loop` where the kind has that number, else `other`."""

    @inlined
    def chosen(memory: Memory, kind: int, record: int, token: int) -> None:
        if kind == number:
            loop(memory, memory.records[number][record], token)
        else:
            other(memory, kind, record, token)

    return chosen


_forward, _backward = _by_kind("forward"), _by_kind("backward")


@compiled
def _came(memory: Memory, token: int) -> Any:
    """The kind of a token that comes back."""
    return memory.kinds[token % len(memory.kinds)] if token >= 0 else np.uint8(BUBBLE)


@inlined
def _step(memory: Memory, slot: int, kind: int) -> None:
    """All that the units do in a slot whose token is of kind `kind`, but for the loss."""
    for step in memory.steps:
        if step.kind == SLOT:
            unit_slot(memory, step.record, slot, kind, _came(memory, slot - step.delay))
        elif step.kind == NORM:
            unit = memory.norms[step.record]
            if unit.group == 0:
                normalise.forward(memory, unit, slot, kind)
            else:
                group_normalise.forward(memory, unit, slot, kind)
        else:
            _forward(memory, step.kind, step.record, slot)


@inlined
def _step_back(memory: Memory, slot: int, kind: int) -> None:
    """Send back what came in this slot, of tokens that learn; norms learn from it."""
    for step in memory.back:
        came = _came(memory, slot - step.delay)
        if step.kind == NORM:
            learnt = _came(memory, slot - memory.norms[step.record].delay)
            norm_back(memory, step.record, slot, kind, came, learnt)
        elif came >= TRAIN:
            _backward(memory, step.kind, step.record, slot - step.delay)


@compiled
def _ended(memory: Memory, index: int, slot: int, label: int, learns: bool) -> int:
    """The loss of loss number `index`, whose kind is numbered as in LOSSES."""
    kind = memory.losses[index].kind
    if kind == 0:
        return loss_of(memory, index, slot, label, learns)
    if kind == 1:
        return squares_of(memory, index, slot, label, learns)
    return chances_of(memory, index, slot, label, learns)


@compiled
def _admit(
    memory: Memory, slot: int, small: NDArray[np.uint8], large: Integers, sample: int
) -> None:
    """Copy a sample, or zeros in place of one that is negative, to where it is read."""
    start, depth, size, rows, row, pitch = memory.source
    stash = memory.stash
    start += slot % depth * size
    at = sample * rows * row
    for line in range(rows):
        to = start + line * pitch
        if sample < 0:
            for i in range(row):
                store_stash(stash, to + i, word(stash, 0))
        elif len(small):
            for i in range(row):
                store_stash(stash, to + i, word(stash, load_sample(small, at + i)))
        else:
            for i in range(row):
                store_stash(stash, to + i, word(stash, load_sample(large, at + i)))
        at += row


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
        """One slot a token from number `slot` on; the samples are in `small` or else in `large`.

        `scores` [losses, P, classes] and `losses` [losses, P] are those of all losses.
        """
        _ = version
        window, done = len(memory.kinds), 0
        if slot == 0:
            for step in memory.steps:
                for early in range(2 if step.kind == NORM else 0):
                    show(memory, memory.norms[step.record], early)
        for token in range(len(kinds)):
            kind = kinds[token]
            memory.kinds[slot % window] = kind
            _admit(memory, slot, small, large, samples[token] if kind != BUBBLE else -1)
            _step(memory, slot, kind)
            if kind != BUBBLE:
                label = labels[samples[token]]
                for index, loss in enumerate(memory.losses):
                    losses[index, done] = _ended(memory, index, slot, label, kind >= TRAIN)
                    for i in range(loss.classes):
                        scores[index, done, i] = memory.stash[loss.x + i]
                done += 1
            _step_back(memory, slot, kind)
            slot += 1

    return run


run = _compiled(sources(*(UNITS[kind] for kind in KINDS)))
