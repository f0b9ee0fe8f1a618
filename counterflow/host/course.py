"""A training as one long row of tokens, so that a count of tokens says where to go on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.measures import Ruler, ruler_of
from counterflow.golden.training.models import Bytes, Part, epoch_runs, parts
from counterflow.golden.units.update import Settings


@dataclass(frozen=True)
class Leg:
    """Tokens under one setting, beginning with an empty chain; `first` is the number of the first.

    ``tests`` says whether they are test samples, which leave the weights as they are.
    """

    first: int
    epoch: int
    settings: Settings
    kinds: Bytes
    indices: Integers
    tests: bool

    @property
    def end(self) -> int:
        return self.first + len(self.kinds)


@dataclass(frozen=True)
class Course:
    """The legs of a training, and the samples that they name.

    ``ruler``: what makes errors in the units of the data of losses, if those are squares.
    """

    legs: tuple[Leg, ...]
    train: Part
    test: Part
    ruler: Ruler | None = None

    @property
    def tokens(self) -> int:
        return self.legs[-1].end

    def part(self, leg: Leg) -> Part:
        return self.test if leg.tests else self.train

    def ends_epoch(self, leg: Leg) -> bool:
        """Whether `leg` is the last of its epoch, which leaves an empty chain's weights behind.

        Test samples may still be in the chain, but they leave weights as they are.
        """
        return [one for one in self.legs if one.epoch == leg.epoch][-1] is leg


def course(
    description: Description,
    schedule: Schedule,
    dataset: Dataset,
    *,
    seed: int,
    epochs: range,
    limit: int | None = None,
    evaluate: str = "last",
) -> Course:
    """The tokens of `golden.training.epochs.train` with the same arguments, in the same order.

    ``evaluate``: whether test samples follow upon "each" epoch, the "last" one or "none".
    """
    train, test = parts(description, dataset)
    count = min(limit or len(train), len(train))
    legs: list[Leg] = []
    first = 0
    for epoch in epochs:
        order = epoch_order(len(train), seed, epoch)[:count]
        runs = epoch_runs(description.recipe, order, schedule.delay, epoch, before=epoch * count)
        for run in runs:
            legs.append(Leg(first, epoch, run.settings, run.kinds, run.indices, tests=False))
            first = legs[-1].end
        if len(test) and (evaluate == "each" or (evaluate == "last" and epoch == epochs[-1])):
            legs.append(test_leg(first, epoch, runs[-1].settings, len(test)))
            first = legs[-1].end
    return Course(tuple(legs), train, test, ruler_of(description, dataset, test))


def test_leg(first: int, epoch: int, settings: Settings, count: int) -> Leg:
    """`count` test samples, forward only."""
    kinds = np.full(count, Kind.INFER, np.uint8)
    return Leg(first, epoch, settings, kinds, np.arange(count), tests=True)
