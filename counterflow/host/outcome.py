"""What a training of a device came to, counted while the device says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from counterflow.design.units.losses import LossNumbers
from counterflow.golden.training.measures import Ruler
from counterflow.golden.units.state import State
from counterflow.host.course import Leg
from counterflow.host.device import Counters
from counterflow.host.journal import Prediction
from counterflow.host.tally import Tally

LINE_BITS = 10  # of a byte: start, eight bits, stop


@dataclass
class Outcome:
    """What a training came to.

    ``tallies``: one of each epoch, and one of each test.  ``resumed_at``: tokens that the device
    had before this host, of whose samples ``recalled`` were learnt from; ``verified``: comparisons
    of all weights with the golden model's, ``compared`` values in all, all equal; ``payload`` bytes
    of samples and labels in as many ``cycles`` of the device's clock.  ``losses`` (in nats, or
    half sums of squares) and ``right`` are of each sample when it was learnt from; the latter where
    labels say it.  ``numbers`` are those of the loss, by default of a softmax; ``ruler``: what
    makes errors of losses that are squares.
    """

    tallies: list[Tally] = field(default_factory=list)
    recalled: int = 0
    losses: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    seconds: float = 0.0
    resumed_at: int = 0
    verified: int = 0
    compared: int = 0
    payload: int = 0
    cycles: int = 0
    counters: Counters | None = None
    states: list[State] = field(default_factory=list)
    numbers: LossNumbers | None = None
    ruler: Ruler | None = None

    def share(self, frequency: int, baud: int) -> float | None:
        """Part of the line's bytes, from the first to the last, that were samples and labels."""
        if not self.cycles or not baud:
            return None
        return self.payload * LINE_BITS * round(frequency / baud) / self.cycles

    def tally(self, leg: Leg, heads: Iterable[int]) -> Tally:
        """That of the epoch that `leg` is part of, or of its test."""
        if not self.tallies or not _same(self.tallies[-1], leg):
            self.tallies.append(self.begun(leg, heads))
        return self.tallies[-1]

    def begun(self, leg: Leg, heads: Iterable[int]) -> Tally:
        """One of nothing yet, which is not among these."""
        numbers, ruler = self.numbers, self.ruler
        return Tally.begun(leg.epoch, heads, tests=leg.tests, numbers=numbers, ruler=ruler)

    def count(self, tally: Tally, number: int, said: Prediction | None, label: int) -> None:
        """Add what the network, as number 0, or a head has said of a sample; None where lost."""
        one = tally.losses[number]
        if said is None:
            one.lost += 1
            return
        right = one.judged and said.chosen == label
        one.add(right=right, bits=said.loss)
        if number == 0 and not tally.tests:
            self.losses.append(said.loss * tally.one)
            if tally.judged:
                self.right.append(right)


def _same(tally: Tally, leg: Leg) -> bool:
    return (tally.epoch, tally.tests) == (leg.epoch, leg.tests)
