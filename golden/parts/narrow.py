"""Narrowing in the golden model: drop fraction bits with a named rounding, then saturate.

The hardware's twin is `hw.parts.narrow`; both are proven equal over whole number ranges in the
tests.  Whoever wants to know what rounding and saturation did to which numbers can watch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.meanwhile import meanwhile

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Narrowing:
    """`exact`, which has `frac` fraction bits, became `kept` in the format `target`.

    ``what`` it is, in the words of a unit: its outputs ``y`` and ``dx``, its ``operand``,
    ``velocity`` and ``weight``, and ``update``, by which a weight is to move.  ``clipped``: how
    many saturated.
    """

    what: str
    exact: Integers
    frac: int
    kept: Integers
    target: Format
    clipped: int = 0


Watch = Callable[[Narrowing], None]
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


def watched(watch: Watch) -> AbstractContextManager[None]:
    """Within it `watch` is told of all that is narrowed and has a name, in order."""
    return meanwhile(_watch, watch)


def tell(
    what: str,
    exact: Integers,
    frac: int,
    kept: Integers,
    target: Format,
    clipped: NDArray[np.bool_] | None = None,
) -> None:
    """Tell who watches, if anybody does, of a `Narrowing`; `clipped`: where it saturated."""
    watch = _watch.get()
    if watch is not None:
        count = 0 if clipped is None else int(clipped.sum())
        watch(Narrowing(what, exact, frac, kept, target, count))


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
    clipped = np.minimum(np.maximum(value, target.min), target.max)  # a third of np.clip's time
    return clipped, clipped != value


def narrow(
    value: Integers, frac: int, target: Format, rounding: Rounding, what: str = ""
) -> tuple[Integers, NDArray[np.bool_]]:
    """`value` with `frac` fraction bits as `target`, and where it saturated.

    `what` is its name for who watches.
    """
    kept, clipped = saturate(round_off(value, frac - target.frac, rounding), target)
    if what:
        tell(what, value, frac, kept, target, clipped)
    return kept, clipped
