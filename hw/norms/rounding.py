"""Right shifts that round half up, as a norm's are; the twin of those in `golden.parts.half_up`."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value

from counterflow.design.units.normal import Share
from counterflow.design.units.normal_times import SHARED
from counterflow.hw.parts.pipeline import delayed, summed, terms_of


def half_up(value: Value, drop: int) -> Value:
    """`value` without its lowest `drop` bits, at least one."""
    return ((value >> (drop - 1)) + 1) >> 1


def half_up_by(value: Value, least: int, more: Value) -> Value:
    """`value` without its lowest `least` + `more` bits, `least` at least one."""
    return (((value >> (least - 1)) >> more) + 1) >> 1


def register(m: Module, value: Value, name: str) -> Signal:
    """`value` a cycle ago."""
    found = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += found.eq(value)
    return found


def shared(m: Module, total: Value, share: Share, name: str) -> Signal:
    """A sum divided by the number of its terms, SHARED cycles later."""
    if share.factor == 1:
        whole = delayed(m, total, SHARED - 1, name)
    else:
        whole = summed(m, terms_of(total, share.factor), name, levels=SHARED - 1)
    if share.shift <= 0:
        return register(m, whole << -share.shift, f"{name}_shared")
    return register(m, half_up(whole, share.shift), f"{name}_shared")
