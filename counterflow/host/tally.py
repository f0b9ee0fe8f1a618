"""What a device has said of samples: how many were right, and how large the losses were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from counterflow.design.units.loss import NATS


@dataclass
class Tally:
    """Samples of one kind in one epoch: how many, how many right, and the sum of their losses.

    ``bits`` is that sum as the device sends losses; ``loss`` the same in nats; ``lost`` counts
    others, of which nothing is known, as another program has taken the device's word.  ``heads``
    has the same of each head, by the number of its component.
    """

    epoch: int
    tests: bool
    samples: int = 0
    right: int = 0
    bits: int = 0
    lost: int = 0
    heads: dict[int, Tally] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        return self.bits * NATS

    @property
    def losses(self) -> dict[int, Tally]:
        """This one, as number 0, and those of the heads."""
        return {0: self, **self.heads}

    @classmethod
    def begun(cls, epoch: int, heads: Iterable[int], *, tests: bool) -> Self:
        """Nothing counted yet, of the network and of these heads."""
        return cls(epoch, tests, heads={number: cls(epoch, tests) for number in heads})

    def add(self, *, right: bool, bits: int) -> None:
        """One more sample."""
        self.samples += 1
        self.right += right
        self.bits += bits

    @property
    def means(self) -> dict[str, object]:
        """Accuracy and loss, where there is something to take them of."""
        count = self.samples or None
        return {"accuracy": count and self.right / count, "loss": count and self.loss / count}

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
