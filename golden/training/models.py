"""What can be trained, behind one interface: the integer chains and the float reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from counterflow.design.data.sets import Dataset
from counterflow.design.data.training import check_fits
from counterflow.design.network.description import Description
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.tokens import Kind, Token, runs
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.losses import decided
from counterflow.golden.chain import Chain
from counterflow.golden.fast.chain import FastChain, offered
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """Samples in the input format, [N, elements], and their labels, [N].

    Targets that are data stand behind the elements of a sample.
    """

    samples: NDArray[Any]
    labels: Bytes

    def __len__(self) -> int:
        return len(self.labels)


class Found(NamedTuple):
    """How many samples were right, and the sum of their losses; ``heads``: by each head.

    None is right where labels do not say it.
    """

    right: int
    loss: float
    heads: tuple[tuple[int, float], ...] = ()

    @property
    def every(self) -> tuple[tuple[int, float], ...]:
        """Both of the network's loss, then of each head's, in their order."""
        return ((self.right, self.loss), *self.heads)

    @classmethod
    def of(cls, rights: Sequence[int], losses: Sequence[float]) -> Found:
        """The network's first, then those of heads."""
        return cls(rights[0], losses[0], tuple(zip(rights[1:], losses[1:], strict=True)))


class Model(Protocol):
    """What can be trained.

    ``delay``: bubbles that empty the chain; ``settings``: those last set.
    """

    delay: int
    settings: Settings

    def set(self, settings: Settings) -> None: ...

    def run(self, kinds: Bytes, indices: Integers, part: Part) -> Found: ...

    def losses(self, part: Part) -> NDArray[np.float64]: ...


def counted(predictions: Sequence[Any], one_loss: float, *, judged: bool = True) -> Found:
    """What a chain says of tokens, whose losses count so much; none is right unless `judged`."""
    heads = sorted(predictions[0].heads) if predictions else []
    said = [predictions, *([one.heads[head] for one in predictions] for head in heads)]
    return Found.of(
        [sum(judged and one.correct for one in some) for some in said],
        [sum(one.loss for one in some) * one_loss for some in said],
    )


class IntegerModel:
    """The golden chain, the fast one where it knows the mitigation."""

    def __init__(self, description: Description, schedule: Schedule, states: list[State]) -> None:
        fast = offered(description)
        self.delay, self.numbers = schedule.delay, schedule.loss.arithmetic
        self.chain: FastChain | Chain
        own = [state.copy() for state in states]
        self.chain = (FastChain if fast else Chain)(description, schedule, own)
        self.set(settings_in(description.recipe, 0))

    def set(self, settings: Settings) -> None:
        self.settings = settings
        self.chain.set(settings)

    def run(self, kinds: Bytes, indices: Integers, part: Part) -> Found:
        if isinstance(self.chain, FastChain):
            scores, losses = self.chain.run_all(kinds, indices, part.samples, part.labels)
            expected = part.labels[indices[kinds != Kind.BUBBLE]]
            right = (decided(scores, self.numbers.threshold) == expected).sum(axis=1)
            right *= self.numbers.judged
            one = self.numbers.one_loss
            return Found.of(right.tolist(), (losses.sum(axis=1) * one).tolist())
        found = self.chain.run(tokens_of(kinds, indices), part.samples, part.labels)
        return counted(found, self.numbers.one_loss, judged=self.numbers.judged)

    def losses(self, part: Part) -> NDArray[np.float64]:
        """The loss of each sample, forward only."""
        kinds, indices = np.full(len(part), Kind.INFER, np.uint8), np.arange(len(part))
        if isinstance(self.chain, FastChain):
            _, losses = self.chain.run_all(kinds, indices, part.samples, part.labels)
            found = losses[0]
        else:
            run = self.chain.run(tokens_of(kinds, indices), part.samples, part.labels)
            found = np.array([one.loss for one in run])
        losses = found * self.numbers.one_loss
        return losses

    @property
    def states(self) -> list[State]:
        """The state of every unit, copied."""
        return [state.copy() for state in self.chain.states]


class FloatModel:
    """The float64 reference, fed with what the input format makes of the samples."""

    def __init__(self, description: Description, schedule: Schedule, seed: int) -> None:
        from counterflow.golden.reference.chain import reference_chain

        self.chain = reference_chain(description, schedule, seed)
        self.delay = self.chain.delay
        self.input, self.judged = description.formats.input, description.judged
        self.set(settings_in(description.recipe, 0))

    def set(self, settings: Settings) -> None:
        self.settings = settings
        self.chain.set(settings)

    def run(self, kinds: Bytes, indices: Integers, part: Part) -> Found:
        real = indices[kinds != Kind.BUBBLE]
        places = np.cumsum(kinds != Kind.BUBBLE) - 1
        samples = part.samples[real] * 2.0**-self.input.frac
        with threadpool_limits(1):  # matrices are small: more threads make it slower, three times
            found = self.chain.run(tokens_of(kinds, places), samples, part.labels[real])
        return counted(found, 1.0, judged=self.judged)

    def losses(self, part: Part) -> NDArray[np.float64]:
        """The loss of each sample, forward only."""
        tokens = tokens_of(np.full(len(part), Kind.INFER, np.uint8), np.arange(len(part)))
        with threadpool_limits(1):
            found = self.chain.run(tokens, part.samples * 2.0**-self.input.frac, part.labels)
        return np.array([one.loss for one in found])


@dataclass(frozen=True)
class Run:
    """Tokens to feed an empty chain under these settings, which leave it empty.

    ``kinds`` and ``indices`` [T] as in `token_arrays`.
    """

    settings: Settings
    kinds: Bytes
    indices: Integers


def settings_in(recipe: Recipe, epoch: int) -> Settings:
    """What is set at run time while `recipe` is followed in `epoch`."""
    return Settings(recipe.predicts, recipe.compensates, recipe.extra_shift(epoch))


def epoch_runs(recipe: Recipe, order: Integers, delay: int, epoch: int, before: int) -> list[Run]:
    """All of one pass over the samples named by `order`: see `design.parts.tokens.runs`.

    ``delay`` is that of the first stage; ``before`` samples were learnt from in earlier passes.
    """
    return [
        Run(settings_in(one, epoch), *token_arrays(one, samples, delay))
        for one, samples in runs(recipe, order, before)
    ]


def token_arrays(recipe: Recipe, order: Integers, delay: int) -> tuple[Bytes, Integers]:
    """`design.parts.tokens.epoch` as arrays: kinds and samples, -1 where there is none."""
    count = len(order)
    group = {"pipelined": max(count, 1), "sequential": 1}.get(recipe.scheme, recipe.batch)
    bubbles = -(-count // group) * delay
    kinds = np.full(count + bubbles, Kind.BUBBLE, np.uint8)
    indices = np.full(count + bubbles, -1, np.int64)
    done = np.arange(count) + 1
    moves = (done % recipe.accumulate == 0) | (done == count)
    places = np.arange(count) + np.arange(count) // group * delay
    kinds[places], indices[places] = np.where(moves, Kind.TRAIN, Kind.ACCUMULATE), order
    return kinds, indices


def tokens_of(kinds: Bytes, indices: Integers) -> list[Token]:
    """The tokens of two arrays."""
    pairs = zip(kinds.tolist(), indices.tolist(), strict=True)
    return [Token(Kind(kind), index) for kind, index in pairs]


def parts(description: Description, dataset: Dataset) -> tuple[Part, Part]:
    """Training and test samples in the input format; ValueError if they do not fit the network."""
    check_fits(description, dataset)
    return (
        part_of(description, dataset, dataset.train_x, dataset.train_y, dataset.train_t),
        part_of(description, dataset, dataset.test_x, dataset.test_y, dataset.test_t),
    )


def part_of(
    description: Description,
    dataset: Dataset,
    x: NDArray[Any],
    y: Bytes,
    t: NDArray[Any] | None = None,
) -> Part:
    """Samples of `dataset` as they are sent, behind them targets if they are data.

    Where labels are not learnt from, all are 0.
    """
    target = description.formats.input
    codes = dataset.scaling.codes(x, target)
    if description.target_source == "data":
        if t is None or dataset.target_scaling is None:
            raise ValueError(f"{dataset.name} has no targets, from which {description.name} learns")
        wanted = dataset.target_scaling.codes(t, target)
        codes = np.concatenate([codes.astype(np.int64), wanted.astype(np.int64)], axis=1)
    return Part(codes, y if description.judged else np.zeros_like(y))


def targets_in(description: Description, part: Part) -> NDArray[np.float64]:
    """The targets of samples [N, outputs], which labels do not say."""
    start = description.features if description.target_source == "data" else 0
    found: NDArray[np.float64] = part.samples[:, start:] * 2.0**-description.formats.input.frac
    return found
