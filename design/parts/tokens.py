"""Tokens: what the host feeds the chain, one a slot, and the training schemes made of them.

A token is *train* (a sample with its label, learnt from), *accumulate* (the same, but weights wait
for the next train token), *infer* (a sample, forward only) or *bubble* (nothing). The hardware
knows no scheme; pipelined, sequential and fill-and-drain training differ only in where the bubbles
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.recipe import Recipe

KIND_BITS = 2  # of a token's kind on the streams
LABEL_BITS = 8  # of its label


class Kind(IntEnum):
    """Kind of a token, as it is encoded on the streams."""

    BUBBLE = 0
    INFER = 1
    TRAIN = 2
    ACCUMULATE = 3

    @property
    def learns(self) -> bool:
        """Whether a gradient comes back for it."""
        return self >= Kind.TRAIN


@dataclass(frozen=True, slots=True)
class Token:
    """One slot's input: `sample` is an index into the data (-1 for a bubble)."""

    kind: Kind
    sample: int = -1


BUBBLE = Token(Kind.BUBBLE)


def drained(tokens: Iterable[Token], delay: int) -> Iterator[Token]:
    """`tokens`, then as many bubbles as it takes until the first stage has learnt the last."""
    yield from tokens
    yield from [BUBBLE] * delay


def epoch(recipe: Recipe, order: Iterable[int], delay: int) -> Iterator[Token]:
    """The tokens of one pass over the samples named by `order`, ending with an empty chain.

    `delay` is that of the first stage, in slots: after a train token it takes that many further
    tokens until every stage has applied its gradient.  No gradient is left over at the end.
    """
    samples = [int(sample) for sample in order]
    group = {"pipelined": 0, "sequential": 1, "fill-and-drain": recipe.batch}[recipe.scheme]
    for done, sample in enumerate(samples, start=1):
        last = done == len(samples)
        moves = last or done % recipe.accumulate == 0
        yield Token(Kind.TRAIN if moves else Kind.ACCUMULATE, sample)
        if last or (group and done % group == 0):
            yield from [BUBBLE] * delay


def runs(
    recipe: Recipe, order: NDArray[np.int64], before: int
) -> list[tuple[Recipe, NDArray[np.int64]]]:
    """One pass over `order` as runs of one scheme, with a recipe and samples each.

    The chain is drained after each run, before its run-time settings change.  There is one run, or
    two in the pass in which `recipe.sequential_after` ends the pipelined training; ``before``
    samples were learnt from in earlier passes.
    """
    if recipe.sequential_after is None:
        return [(recipe, order)]
    changes = {"scheme": "sequential", "sequential_after": None, "placement": None}
    sequential = recipe.model_copy(update=changes)
    pipelined = min(max(recipe.sequential_after - before, 0), len(order))
    found = [(recipe, order[:pipelined]), (sequential, order[pipelined:])]
    return [(one, samples) for one, samples in found if len(samples)]


def updates_in_flight(recipe: Recipe, delay: int) -> int:
    """Updates that a stage of `delay` slots makes between a token's forward and backward pass.

    This is the horizon that prediction and compensation have to bridge.  With bubbles it is less
    than the delay: none in sequential training, at most batch - 1 under fill-and-drain.  Where
    updates wait for `accumulate` samples it is that many times less, rounded.
    """
    if recipe.scheme == "pipelined":
        return (delay + recipe.accumulate // 2) // recipe.accumulate
    return min(delay, recipe.batch - 1) // recipe.accumulate
