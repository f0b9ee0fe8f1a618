"""What all losses have in common: the ends of a graph, where gradients begin.

A kind of loss has numbers (`LossNumbers`), a unit of the graph (`LossUnit`) and a place in time
(`LossStage`); whoever asks for any of them need not know which kind it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from counterflow.design.graph import Unit
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.scheduled import (
    Border,
    Gradients,
    Scheduled,
    SlotGradients,
    backward_borders,
)
from counterflow.design.units.timing import Cycles
from counterflow.design.units.watched import KIND, Field, stream_fields

MOST_LOSS_BITS = 24  # of a loss: a prediction on the host link has three bytes for it


def decided(scores: NDArray[Any], threshold: float | None) -> NDArray[np.integer[Any]]:
    """The classes that scores [..., classes] speak for, by `LossNumbers.threshold`; shape [...]."""
    if threshold is None:
        largest: NDArray[np.integer[Any]] = scores.argmax(axis=-1)
        return largest
    return (scores[..., 0] >= threshold).astype(np.int64)


class LossNumbers(ABC):
    """Formats of a loss unit: `classes` scores of format `logit`, errors of format `error`."""

    classes: int
    logit: Format
    error: Format
    round_error: Rounding

    @property
    @abstractmethod
    def loss(self) -> Format:
        """That of a token's loss, which is never negative."""

    @property
    @abstractmethod
    def one_loss(self) -> float:
        """What a loss of 1 in that format is: nats, or halves of a square."""

    unit: ClassVar[str] = "nats"
    """Of losses, in words."""

    @property
    def labels(self) -> int:
        """Labels that there are, numbered from 0 on."""
        return self.classes

    @property
    def judged(self) -> bool:
        """Whether a label says which answer is right."""
        return True

    @property
    def threshold(self) -> int | None:
        """Where one score tells two classes apart, the least of class 1; else the largest wins."""
        return None

    @property
    def products(self) -> Sequence[tuple[Format, Format]]:
        """Formats of the two factors of each multiplier."""
        return ()

    @property
    def prediction_bits(self) -> int:
        """Bits of a transfer of predictions: a score, the loss, the kind and a mark."""
        return self.logit.bits + self.loss.bits + KIND_BITS + 1

    @property
    @abstractmethod
    def memories(self) -> list[tuple[str, int, int]]:
        """(name, words, bits) of its queues and of what else it works on."""

    @property
    def at_once(self) -> Sequence[str]:
        """Those of them that are read without a register, unless they are deep."""
        return ()

    @property
    def beside(self) -> list[tuple[str, int, int]]:
        """(name, words, bits) of what is a memory only where block RAM is to spare."""
        return []

    @property
    def tables(self) -> list[tuple[str, int, int]]:
        """(name, entries, bits) of every read-only memory."""
        return []

    def luts(self, family: str, cells: tuple[int, int]) -> int | None:
        """About the LUTs; `cells` are the LUT RAMs and flip-flops of memories.

        None for those of every softmax in `design.fpga.logic`.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class LossUnit(Unit):
    """The end of a graph: a loss of the scores that come, and its gradient.

    Ports: x, or x0 of scores and x1 of targets; no output.  It also takes labels and gives
    predictions, which are no edges.  ``together``: losses whose predictions leave in one stream, a
    score a cycle.
    """

    unit_of: ClassVar[str] = "nats"
    """Of its losses, in words."""

    round_error: Rounding
    together: int = 1

    @property
    def numbers(self) -> LossNumbers:
        """Its formats."""
        raise NotImplementedError

    @property
    def multipliers(self) -> int:
        return len(self.numbers.products)


@dataclass(frozen=True, eq=False)
class LossStage(Scheduled):
    """A loss unit in the schedule; `start` is the cycle of token 0's last logit."""

    unit: LossUnit
    arithmetic: Any
    start: int
    delay: int = 0

    twin: ClassVar[str]
    listed: ClassVar[bool] = True
    """Whether plans count its memories; a softmax's are few, and alike in all networks."""

    @property
    @abstractmethod
    def output_offsets(self) -> Cycles:
        """Cycle after the last logit at which score i leaves; shape [classes]."""

    @property
    @abstractmethod
    def error_times(self) -> Cycles:
        """When the errors of token 0 leave; shape [classes]."""

    @property
    def gradients(self) -> Gradients:
        """When the errors leave, which wait for nobody."""
        return SlotGradients(self.error_times, self.error_times, 0)

    @property
    def borders(self) -> tuple[Border, ...]:
        """See `Scheduled`."""
        return tuple(backward_borders(self.unit, [self.gradients], self.twin))

    @property
    def watched(self) -> tuple[Field, ...]:
        """See `Scheduled`: the predictions, too."""
        numbers: LossNumbers = self.arithmetic
        return (
            *super().watched,
            *stream_fields(
                self.name,
                "predictions",
                self.twin,
                score=(numbers.logit.bits, True),
                loss=(numbers.loss.bits, False),
                kind=KIND,
                last=(1, False),
            ),
        )

    def events(self, owner: str, member: str) -> Cycles:
        """See `Scheduled.events`."""
        if owner == "predictions":
            return self.start + self.output_offsets
        return super().events(owner, member)

    @property
    def memory_bits(self) -> int:
        return sum(words * bits for _, words, bits in self.arithmetic.memories)

    @property
    def returning(self) -> tuple[int, ...]:
        return ()
