"""How the elements of samples, pixels or features, become codes of a network's input format.

An element's value is (x - zero) / scale, with a power of two as scale, and its code the nearest
that the format has. All of it is arithmetic of float64 in a fixed order, so that codes are the same
bits on every machine and under every version of NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format

BLOCK = 2**20  # elements that are converted at a time: a large set would take much memory at once
BYTE = np.iinfo(np.uint8).max


@dataclass(frozen=True)
class Scaling:
    """``zero`` and ``scale``: one number each for all elements, or one for each of a sample's."""

    zero: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def common(cls, most: float) -> Self:
        """That of elements up to `most` in magnitude, all alike: 256 for 255, 16 for 16."""
        return cls((0.0,), (power_above(most),))

    @classmethod
    def by_column(cls, least: Sequence[float], most: Sequence[float], *, signed: bool) -> Self:
        """That of columns with these ranges: each from 0 to 1 or, where `signed`, from -1 to 1."""
        pairs = [(float(low), float(high)) for low, high in zip(least, most, strict=True)]
        zero = [low / 2 + high / 2 if signed else low for low, high in pairs]
        spans = [(high / 2 - low / 2) * (1 if signed else 2) for low, high in pairs]
        return cls(tuple(zero), tuple(power_above(span) for span in spans))

    @property
    def columns(self) -> int | None:
        """Of how many columns each has its own; None where one is for all."""
        return len(self.scale) if len(self.scale) > 1 else None

    def codes(self, samples: NDArray[Any], target: Format) -> NDArray[Any]:
        """Codes of `samples` [N, n] in units of 2^-frac, as bytes if they suffice, else int64.

        A code is floor(value * 2^frac + 1/2), and the nearest that there is beyond the format's
        range.  Bytes u8.8 of images are the raw bytes; 16 of 0..16 is 255, and 8 is 128.
        """
        if samples.dtype == np.uint8 and self.columns is None:
            every = self._codes(np.arange(BYTE + 1)[:, None], target)[:, 0]
            small = target.max <= BYTE and bool(every.min() >= 0)
            found: NDArray[Any] = every.astype(np.uint8 if small else np.int64)[samples]
            return found
        small = target.max <= BYTE and not (target.signed and self._below_zero(samples))
        made = np.empty(samples.shape, np.uint8 if small else np.int64)
        rows = max(1, BLOCK // max(1, math.prod(samples.shape[1:])))
        for start in range(0, len(samples), rows):
            made[start : start + rows] = self._codes(samples[start : start + rows], target)
        return made

    def values(self, samples: NDArray[Any]) -> NDArray[np.float64]:
        """The values of `samples` [N, n] before they become codes."""
        with np.errstate(over="ignore"):  # far outside the range is as good as infinite
            found: NDArray[np.float64] = (samples.astype(np.float64) - np.array(self.zero)) / (
                np.array(self.scale)
            )
        return found

    def _codes(self, samples: NDArray[Any], target: Format) -> NDArray[np.int64]:
        with np.errstate(over="ignore"):  # far outside the range is as good as infinite
            exact = np.floor(self.values(samples) * 2.0**target.frac + 0.5)
        found: NDArray[np.int64] = np.clip(exact, target.min, target.max).astype(np.int64)
        return found

    def _below_zero(self, samples: NDArray[Any]) -> bool:
        return bool(samples.size and (samples.min(axis=0) < np.array(self.zero)).any())


def power_above(most: float) -> float:
    """The least power of two that is not below `most`; 1 for 0."""
    if most == 0:
        return 1.0
    fraction, exponent = math.frexp(most)
    return math.ldexp(1.0, exponent - 1 if fraction == 0.5 else exponent)
