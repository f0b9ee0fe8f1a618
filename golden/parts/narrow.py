"""Narrowing in the golden model: drop fraction bits with a named rounding, then saturate.

The hardware's twin is `hw.parts.narrow`; both are proven equal over whole number ranges in the
tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format, Rounding

Integers = NDArray[np.int64]


def round_off(
    value: Integers, drop: int, rounding: Rounding, random: Integers | None = None
) -> Integers:
    """`value` without its lowest `drop` bits (a negative `drop` appends zeros, exactly).

    `random` holds uniform integers of `drop` bits, needed for stochastic rounding only.
    """
    if drop <= 0:
        return value << -drop
    if rounding is Rounding.TRUNCATE:
        return value >> drop
    if rounding is Rounding.STOCHASTIC:
        if random is None:
            raise ValueError("stochastic rounding needs random bits")
        return (value + random) >> drop
    kept = value >> drop
    rest = value - (kept << drop)
    half = 1 << (drop - 1)
    up = (rest > half) | ((rest == half) & (kept & 1 == 1))
    return kept + up


def saturate(value: Integers, target: Format) -> tuple[Integers, NDArray[np.bool_]]:
    """`value` clipped to the range of `target`, and where it was clipped."""
    clipped = np.clip(value, target.min, target.max)
    return clipped, clipped != value


def narrow(
    value: Integers, frac: int, target: Format, rounding: Rounding
) -> tuple[Integers, NDArray[np.bool_]]:
    """`value` with `frac` fraction bits as `target`, and where it saturated."""
    return saturate(round_off(value, frac - target.frac, rounding), target)
