"""What a device has said of samples: how many were right, and how large the losses were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from counterflow.design.units.loss import NATS
from counterflow.design.units.losses import LossNumbers
from counterflow.golden.training.measures import Errors, Ruler


@dataclass
class Tally:
    """Samples of one kind in one epoch: how many, how many right, and the sum of their losses.

    ``bits`` is that sum as the device sends losses, each of which counts ``one``; ``loss`` the
    same in nats, or half sums of squares; ``lost`` counts others, of which nothing is known, as
    another program has taken the device's word.  Only where labels ``judge`` is any right; of
    losses that are squares a ``ruler`` makes errors.
    ``heads`` has the same of each head, by the number of its component.
    """

    epoch: int
    tests: bool
    samples: int = 0
    right: int = 0
    bits: int = 0
    lost: int = 0
    heads: dict[int, Tally] = field(default_factory=dict)
    one: float = NATS
    judged: bool = True
    ruler: Ruler | None = None

    @property
    def loss(self) -> float:
        return self.bits * self.one

    @property
    def accuracy(self) -> float | None:
        """The share of right answers, where there are some and labels say which are."""
        return self.right / self.samples if self.samples and self.judged else None

    @property
    def errors(self) -> Errors | None:
        """How large errors are, where there are samples and losses are squares of these."""
        if self.ruler is None or not self.samples:
            return None
        return self.ruler.errors(self.loss / self.samples)

    @property
    def losses(self) -> dict[int, Tally]:
        """This one, as number 0, and those of the heads."""
        return {0: self, **self.heads}

    @classmethod
    def begun(
        cls,
        epoch: int,
        heads: Iterable[int],
        *,
        tests: bool,
        numbers: LossNumbers | None = None,
        ruler: Ruler | None = None,
    ) -> Self:
        """Nothing counted yet, of the network, whose loss has these numbers, and of these heads."""
        own: dict[int, Tally] = {number: cls(epoch, tests) for number in heads}
        if numbers is None:
            return cls(epoch, tests, heads=own)
        one, judged = numbers.one_loss, numbers.judged
        return cls(epoch, tests, heads=own, one=one, judged=judged, ruler=ruler)

    def add(self, *, right: bool, bits: int) -> None:
        """One more sample."""
        self.samples += 1
        self.right += right
        self.bits += bits

    @property
    def means(self) -> dict[str, object]:
        """Accuracy and loss, where there is something to take them of; RMSE and R2 of squares.

        How much is explained is said of test samples alone, as `counterflow train` has it.
        """
        count, errors = self.samples or None, self.errors
        found: dict[str, object] = {"accuracy": self.accuracy, "loss": count and self.loss / count}
        if self.ruler is not None:
            found["rmse"] = errors and errors.rmse
            if self.tests:
                found["explained"] = errors and errors.explained
        return found

    @property
    def heads_json(self) -> dict[str, object]:
        """What scripts read of heads, where there are any."""
        heads = {str(number): one.means for number, one in self.heads.items()}
        return {"heads": heads} if heads else {}

    def to_json(self) -> dict[str, object]:
        """As scripts read it."""
        about: dict[str, object] = {"epoch": self.epoch, "tests": self.tests}
        about |= {"samples": self.samples, "lost": self.lost}
        return {**about, **self.means, **self.heads_json}
