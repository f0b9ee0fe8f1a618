"""Right shifts that round half up, as a norm's are; the twin of those in `hw.norms.rounding`."""

from __future__ import annotations

import numpy as np

from counterflow.design.units.normal import Share
from counterflow.golden.parts.narrow import Integers


def half_up(value: Integers, drop: Integers | int) -> Integers:
    """`value` without its lowest `drop` bits, at least one, rounded half up."""
    return (value + (np.int64(1) << np.asarray(drop) - 1)) >> drop


def shared(total: Integers, share: Share) -> Integers:
    """A sum divided by the number of its terms."""
    if share.shift <= 0:
        return (total * share.factor) << -share.shift
    return half_up(total * share.factor, share.shift)
