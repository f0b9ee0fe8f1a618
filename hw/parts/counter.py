"""Counters: of events since reset, which wrap, and of what is there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar

from amaranth.hdl import C, Module, Mux, Signal, Value

from counterflow.design.bus.registers import first_count
from counterflow.design.parts.meanwhile import meanwhile

_near_carry: ContextVar[bool] = ContextVar("near_carry", default=False)


def counter(bits: int, name: str) -> Signal:
    """What counts, from `first_count` on; whoever makes it adds to it."""
    return Signal(bits, name=name, init=first_count(bits, near_carry=_near_carry.get()))


def level(m: Module, count: Signal, some: Signal, more: Value, less: Value) -> None:
    """Let the register `count` of things go up with `more`, down with `less`, where it is not zero.

    The register `some` says whether there are any.  Both events are often known late in a cycle:
    what would be if they happen is found meanwhile.
    """
    stays, fewer = Mux(more, count + 1, count), Mux(more, count, count - 1)
    m.d.sync += [
        count.eq(Mux(less, fewer, stays)),
        some.eq(more | Mux(less, count != 1, count != 0)),
    ]


def around(m: Module, value: Signal, step: Value, count: int) -> tuple[Value, Value]:
    """Let the register `value` count steps, from `count` - 1 on to zero.

    Whether it is the first, and the last of these, comes out of registers.
    """
    if count == 1:
        return C(1), C(1)
    first, last = Signal(init=1, name=f"{value.name}_first"), Signal(name=f"{value.name}_last")
    with m.If(step):
        m.d.sync += [
            value.eq(Mux(last, 0, value + 1)),
            first.eq(last),
            last.eq(value == count - 2),
        ]
    return first, last


def near_carry(wanted: bool = True) -> AbstractContextManager[None]:
    """Components made meanwhile count from a value whose next changes every bit: for benches.

    No run is long enough for the upper bits of a counter that starts at zero.
    """
    return meanwhile(_near_carry, wanted)
