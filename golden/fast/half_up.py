"""Right shifts that round half up, divisions by constants and roots, of one number in 64 bits.

The compiled twin of `golden.parts.half_up`, and of `golden.units.normal.rooted`.
"""

from __future__ import annotations

from typing import Any

from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.words import compiled

Record = Any  # an element of type `golden.fast.records.NORM_UNIT`, or its part of type SHARE


@compiled
def half_up(value: int, drop: int) -> int:
    """`value` without its lowest `drop` bits, rounded half up."""
    return (value + (1 << (drop - 1))) >> drop


@compiled
def shared(total: int, share: Record) -> int:
    """A sum divided by the number of its terms."""
    value = total * share.factor
    return half_up(value, share.shift) if share.shift > 0 else value << -share.shift


@compiled
def rooted(memory: Memory, unit: Record, variance: int) -> tuple[int, int]:
    """(t, h): one over the deviation of `variance`."""
    more, halvings = variance + unit.variance_one, 0
    while more >> (2 * halvings + 2) != 0:
        halvings += 1
    step = ((more << unit.steps_frac) >> (2 * halvings)) - (1 << unit.steps_frac)
    return memory.roots[step], halvings
