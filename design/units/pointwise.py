"""Losses that treat each output by itself: the sum of what each score and its target say.

Targets are a stream as wide as the scores, or follow from the label: 1 for its output and 0 for all
others; a single output has the label 0 or 1 itself as target.  An element is worked on as it comes,
one a cycle, so that errors leave while scores still arrive.  Predictions have to wait for the last
one, since each transfer has the loss of its token.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from counterflow.design.graph import Edge
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import QUEUE
from counterflow.design.units.losses import MOST_LOSS_BITS, LossNumbers, LossStage, LossUnit
from counterflow.design.units.scheduled import Gradients, Times
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import Cycles, occupancy

BIT = Format(False, 1, 0)  # of a target that a label says


class Weights(NamedTuple):
    """What LUTs go to: bits of numbers, of addresses of queues, LUT RAMs or flip-flops of these."""

    bit: float
    address: float
    cell: float


LUTS: Mapping[str, Weights] = {
    "ecp5": Weights(bit=0.32, address=9.9, cell=10.5),
    "ice40": Weights(bit=1.1, address=6.7, cell=0.79),
    "xc7": Weights(bit=1.35, address=5.6, cell=4.6),
}
"""Fitted, with `Pointwise.logic`, to what Yosys 0.70 made of ten units, each of which they give
within an eighth."""
FAMILIES: Mapping[str, str] = {"xcup": "xc7"}  # whose LUTs are those of another


@dataclass(frozen=True)
class Pointwise(LossNumbers):
    """Formats of such a loss; `target` is None where labels say what is wanted.

    ``targets``: so many of a stream can wait for their scores.
    """

    classes: int
    logit: Format
    error: Format
    target: Format | None
    round_error: Rounding = Rounding.NEAREST_EVEN
    targets: int = 1

    logic: ClassVar[Mapping[str, float]]
    """LUTs of the kind, beside those that go with its widths, by family."""
    latency: ClassVar[int]
    """Registers from a score taken to its error and its share of the loss, which enter queues."""

    @property
    def given(self) -> Format:
        """What a target is in."""
        return self.target or BIT

    @property
    def labels(self) -> int:
        """See `LossNumbers`; where nobody asks for labels, all are 0."""
        return 1 if self.target else max(2, self.classes)

    @property
    def judged(self) -> bool:
        """See `LossNumbers`."""
        return self.target is None

    @property
    @abstractmethod
    def total(self) -> Format:
        """The exact sum of what all outputs say."""

    @property
    def dropped(self) -> int:
        """Lowest bits of that sum that a loss does without, so that it fits the host link."""
        return max(0, self.total.bits - MOST_LOSS_BITS)

    @property
    def loss(self) -> Format:
        """See `LossNumbers`."""
        return Format(False, self.total.bits - self.dropped, max(0, self.total.frac - self.dropped))

    @property
    def score_words(self) -> int:
        """Scores that wait for the loss of their token, or are under way to it."""
        return self.classes + self.error_words

    @property
    def error_words(self) -> int:
        """Errors that are under way or leave."""
        return self.latency + 3

    @property
    def loss_words(self) -> int:
        """Losses of tokens of which some scores have not left."""
        return self.score_words // self.classes + 2

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `LossNumbers`."""
        waiting = [("targets", self.targets, self.target.bits)] if self.target else []
        return [
            *waiting,
            ("errors", self.error_words, self.error.bits),
            ("results", self.score_words, self.logit.bits),
            ("losses", self.loss_words, self.loss.bits + KIND_BITS),
        ]

    @property
    def at_once(self) -> Sequence[str]:
        """See `LossNumbers`."""
        return ("losses", "targets")

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `LossNumbers`."""
        family = FAMILIES.get(family, family)
        weights = LUTS[family]
        bits = self.logit.bits + self.error.bits + self.given.bits + self.total.bits
        places = sum((words - 1).bit_length() for _, words, _ in self.memories)
        counts = (bits, places, cells[0] or cells[1])
        every = sum(w * n for w, n in zip(weights, counts, strict=True))
        return round(self.logic[family] + every)


@dataclass(frozen=True, kw_only=True)
class PointwiseUnit(LossUnit):
    """Such a loss of the graph.  Ports: x; or x0 of scores and x1 of targets."""

    arithmetic: ClassVar[type[Pointwise]]
    twin: ClassVar[str]

    @property
    def numbers(self) -> Pointwise:
        """See `LossUnit`."""
        scores, *targets = self.inputs
        target = targets[0].x if targets else None
        made = self.arithmetic
        return made(scores.elements, scores.x, scores.error, target, self.round_error)

    @property
    def bound(self) -> int:
        """Shortest interval: a score a cycle."""
        return max(edge.elements for edge in self.inputs)

    def times(self, tiling: Tiling | None, recipe: Recipe) -> PointwiseTimes:
        """See `Unit.times`."""
        return PointwiseTimes(self)


@dataclass(frozen=True, eq=False)
class PointwiseStage(LossStage):
    """Such a loss in the schedule; ``taken``: when the scores of token 0 are, shape [classes]."""

    taken: Any = None

    @property
    def twin(self) -> str:  # type: ignore[override]
        unit: Any = self.unit
        made_by: str = unit.twin
        return made_by

    @cached_property
    def output_offsets(self) -> Cycles:
        """See `LossStage`."""
        offsets: Cycles = self.arithmetic.latency + QUEUE + np.arange(self.arithmetic.classes)
        return offsets

    @property
    def error_times(self) -> Cycles:
        """See `LossStage`."""
        times: Cycles = self.taken + self.arithmetic.latency + QUEUE
        return times

    @property
    def waiting(self) -> tuple[int, ...]:
        return (0, self.arithmetic.targets)[: len(self.unit.inputs)]

    @property
    def held(self) -> dict[str, int]:
        """See `Scheduled.held`: targets wait as a skip path does."""
        found: dict[str, int] = {}
        for name, words, bits in self.arithmetic.memories:
            what = "skip paths" if name == "targets" else "queues"
            found[what] = found.get(what, 0) + words * bits
        return found


class PointwiseTimes(Times):
    """Such a loss while a schedule is made."""

    def __init__(self, unit: PointwiseUnit) -> None:
        self.unit, self.arrivals = unit, list[Cycles]()

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Times.forward`.

        Scores come behind a layer with weights, and targets beside its input, or right behind it.
        """
        scores, *targets = self.arrivals = list(arrivals)
        if any((one + QUEUE > scores).any() for one in targets):
            raise ValueError(f"{self.unit.where}: a target would come later than its score")
        return []

    def backward(self, errors: Sequence[Gradients], slot: int) -> Sequence[Gradients]:
        """See `Times.backward`: here gradients begin."""
        return [self.scheduled(slot).gradients]

    def scheduled(self, slot: int) -> PointwiseStage:
        """See `Times.scheduled`."""
        numbers = self.unit.numbers
        scores, *targets = self.arrivals
        if targets:
            numbers = replace(numbers, targets=max(2, occupancy(targets[0], scores + 1, slot)))
        return PointwiseStage(self.unit, numbers, int(scores[-1]), taken=scores)


def check_targets(scores: Edge, targets: Edge) -> None:
    """ValueError, one sentence, unless there is a target for each score."""
    if scores.elements != targets.elements:
        raise ValueError(
            f"the last layer has {scores.elements} outputs for {targets.elements} targets; it "
            f"needs {targets.elements}"
        )
