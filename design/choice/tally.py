"""What is known of many numbers without keeping them: range, percentiles, what rounding lost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = -80, 40  # powers of two between which magnitudes are told apart
STEPS = 8  # classes an octave: percentiles are exact to 9 %


def _classes() -> NDArray[np.int64]:
    return np.zeros((MOST - LEAST) * STEPS, np.int64)


@dataclass
class Tally:
    """Counts of numbers and what became of them.

    ``count`` of all and ``zeros`` among them; ``largest`` magnitude; ``squares``: their sum;
    ``clipped``: those that saturated; ``lost``: those that were not zero and became zero;
    ``classes``: the others by the logarithm of their magnitude.
    """

    count: int = 0
    zeros: int = 0
    largest: float = 0.0
    squares: float = 0.0
    clipped: int = 0
    lost: int = 0
    classes: NDArray[np.int64] = field(default_factory=_classes)

    def add(self, values: NDArray[Any], *, clipped: int = 0, lost: int = 0) -> None:
        """Count `values`, any shape, of which so many saturated or were rounded to zero."""
        magnitudes = np.abs(values.ravel().astype(np.float64))
        magnitudes = magnitudes[magnitudes > 0]
        self.count += values.size
        self.zeros += values.size - len(magnitudes)
        self.clipped += clipped
        self.lost += lost
        if not len(magnitudes):
            return
        self.largest = max(self.largest, float(magnitudes.max()))
        self.squares += float(magnitudes @ magnitudes)
        places = ((np.log2(magnitudes) - LEAST) * STEPS).astype(np.int64)
        places = np.clip(places, 0, len(self.classes) - 1)
        self.classes += np.bincount(places, minlength=len(self.classes))

    @property
    def others(self) -> int:
        """Those that are not zero."""
        return self.count - self.zeros

    @property
    def rms(self) -> float:
        """The root of the mean square of those that are not zero; 0 where all are."""
        return math.sqrt(self.squares / self.others) if self.others else 0.0

    def percentile(self, share: float) -> float:
        """What that share of the numbers, those that are not zero, do not exceed; 0 if all are.

        It is the upper end of a class: up to 9 % more, and never above the largest.
        """
        if not self.others:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self.classes), share * self.others))
        return min(self.largest, float(2.0 ** (LEAST + (place + 1) / STEPS)))

    @property
    def clipped_share(self) -> float:
        """The share that saturated."""
        return self.clipped / self.count if self.count else 0.0

    @property
    def lost_share(self) -> float:
        """The share of what is not zero that became zero."""
        return self.lost / self.others if self.others else 0.0

    def to_json(self) -> dict[str, float | int]:
        """For scripts."""
        return {
            "count": self.count,
            "zeros": self.zeros,
            "largest": self.largest,
            "rms": self.rms,
            "p01": self.percentile(0.01),
            "p50": self.percentile(0.5),
            "p999": self.percentile(0.999),
            "saturated": self.clipped_share,
            "to_zero": self.lost_share,
        }
