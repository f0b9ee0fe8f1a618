"""Predictions as compiled hardware sends them: transfers of each loss's stream, as words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from counterflow.design.bus.transfers import Words
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.losses import LossNumbers
from counterflow.design.units.slotted import Integers
from counterflow.hw.chain import predictions
from counterflow.sim.simulator import SimulationError


class Predictions:
    """Room for what all losses say of so many samples, that of the network first.

    ``words`` [losses, transfers, words of 64 bits]; ``taken`` [losses] counts transfers, also those
    beyond the ``count`` that are due of each.
    """

    def __init__(self, schedule: Schedule, samples: int) -> None:
        self.losses = (schedule.loss, *schedule.losses[:-1])
        self.numbers = schedule.loss.arithmetic  # those of heads differ in their errors at most
        self.count = samples * self.numbers.classes
        size = _transfer_words(self.numbers)
        self.words = np.zeros((len(self.losses), self.count, size), np.uint64)
        self.taken = np.zeros(len(self.losses), np.int64)

    @property
    def streams(self) -> list[str]:
        """The names of the streams."""
        return [predictions(loss) for loss in self.losses]

    @property
    def missing(self) -> bool:
        """Whether some are still to come."""
        return bool((self.taken < self.count).any())

    @property
    def progress(self) -> str:
        """How many scores have come of those that are due."""
        return f"{self.taken.sum()} of {self.taken.size * self.count} scores"

    def decoded(self, kinds: NDArray[np.uint8]) -> tuple[Integers, Integers]:
        """Scores [losses, samples, classes] and losses [losses, samples] of tokens of these kinds.

        SimulationError where a stream has sent others or more than were due.
        """
        found = [self._decoded(index, kinds) for index in range(len(self.losses))]
        scores, losses = zip(*found, strict=True)
        return np.stack(scores), np.stack(losses)

    def _decoded(self, index: int, kinds: NDArray[np.uint8]) -> tuple[Integers, Integers]:
        name, numbers = self.losses[index].name, self.numbers
        if self.taken[index] != self.count:
            raise SimulationError(
                f"{name} sent {self.taken[index]} scores where {self.count} were due"
            )
        fields, start = [], 0
        for bits in (numbers.logit.bits, numbers.loss.bits, KIND_BITS, 1):
            fields.append(field(self.words[index], start, bits).reshape(-1, numbers.classes))
            start += bits
        scores, losses, found, last = fields
        marks = np.arange(numbers.classes) == numbers.classes - 1
        for what, wrong in (
            ("a kind that is not its token's", found != kinds[:, None]),
            ("the mark of the last score in the wrong place", last != marks),
            ("a loss that changes between its scores", losses != losses[:, :1]),
        ):
            if wrong.any():
                place = np.argwhere(wrong)[0][0]
                raise SimulationError(f"prediction {place} of {name} has {what}")
        half = 1 << (numbers.logit.bits - 1)
        return (scores ^ half) - half, losses[:, 0]


def _transfer_words(numbers: LossNumbers) -> int:
    """Words of 64 bits that hold a transfer."""
    return -(-(numbers.logit.bits + numbers.loss.bits + KIND_BITS + 1) // 64)


def field(words: Words, start: int, bits: int) -> Integers:
    """Bits `start` ... `start` + `bits` - 1 of rows of 64-bit words, lowest first."""
    place, shift = divmod(start, 64)
    value = words[:, place] >> np.uint64(shift)
    if shift + bits > 64:
        value = value | words[:, place + 1] << np.uint64(64 - shift)
    return (value & np.uint64((1 << bits) - 1)).astype(np.int64)
