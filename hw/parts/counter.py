"""Counters of events since reset, which wrap."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar

from amaranth.hdl import Signal

from counterflow.design.bus.registers import first_count
from counterflow.design.parts.meanwhile import meanwhile

_near_carry: ContextVar[bool] = ContextVar("near_carry", default=False)


def counter(bits: int, name: str) -> Signal:
    """What counts, from `first_count` on; whoever makes it adds to it."""
    return Signal(bits, name=name, init=first_count(bits, near_carry=_near_carry.get()))


def near_carry(wanted: bool = True) -> AbstractContextManager[None]:
    """Components made meanwhile count from a value whose next changes every bit: for benches.

    No run is long enough for the upper bits of a counter that starts at zero.
    """
    return meanwhile(_near_carry, wanted)
