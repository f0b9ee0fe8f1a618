"""What trainings with the same seeds tell apart: paired differences, and shares of them.

Seeds differ more than methods do, so that the difference is taken seed by seed.  Intervals are
those of Student's t with 95 % confidence; that of a share is Fieller's, which is exact for a
quotient of means of the same pairs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds, and the interval that holds the true one with 95 % confidence.

    There is no interval of one seed.
    """

    n: int
    mean: float
    interval: tuple[float, float] | None

    @property
    def above_zero(self) -> bool:
        """Whether the interval is, so that chance does not explain the mean."""
        return self.interval is not None and self.interval[0] > 0

    def to_json(self) -> dict[str, object]:
        return {
            "n": self.n,
            "mean": self.mean,
            "interval": None if self.interval is None else list(self.interval),
        }


def gain(of: Sequence[float], over: Sequence[float]) -> Estimate:
    """How much more the one is than the other, by seed."""
    differences = [one - other for one, other in zip(of, over, strict=True)]
    mean, n = statistics.fmean(differences), len(differences)
    if n == 1:
        return Estimate(n, mean, None)
    half = student(n - 1) * statistics.stdev(differences) / math.sqrt(n)
    return Estimate(n, mean, (mean - half, mean + half))


def share(of: Sequence[float], plain: Sequence[float], best: Sequence[float]) -> Estimate | None:
    """Which part of the gap between `plain` and `best` `of` closes; 1 is all of it.

    None where the interval of the gap is not above zero: then there is nothing to have a part of.
    """
    if not gain(best, plain).above_zero:
        return None
    closed = [one - other for one, other in zip(of, plain, strict=True)]
    gaps = [one - other for one, other in zip(best, plain, strict=True)]
    n, t, gap = len(gaps), student(len(gaps) - 1), statistics.fmean(gaps)
    ratio = statistics.fmean(closed) / gap
    # Variances of the means, and their covariance.
    own, whole = statistics.variance(closed) / n, statistics.variance(gaps) / n
    both = statistics.covariance(closed, gaps) / n
    g = t * t * whole / (gap * gap)  # below 1, as the gap is above zero
    slope = both / whole if whole else 0.0
    spread = own - 2 * ratio * both + ratio * ratio * whole - g * (own - slope * both)
    half = t / gap * math.sqrt(max(0.0, spread))
    low, high = ((ratio - g * slope + sign * half) / (1 - g) for sign in (-1, 1))
    return Estimate(n, ratio, (low, high))


def student(freedom: int) -> float:
    """What a variable of Student's t with so many degrees of freedom is within, 95 times of 100."""
    low, high = 0.0, 13.0  # of one degree, the widest, it is 12.7
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < CONFIDENCE else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """The chance of a value between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * step / (step + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
