"""A reset that has far to go."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value

REGISTERS = 3  # from where a reset is decided to what it resets; copies make them a tree


def in_a_row(m: Module, value: Value, domain: str) -> Signal:
    """`value`, a reset, behind REGISTERS registers of `domain`, which begin in reset.

    For ECP5 `design.tools.reset_copies` makes a tree of them.
    """
    for index in range(REGISTERS):
        register = Signal(init=1, name=f"reset_{index}")
        m.d[domain] += register.eq(value)
        value = register
    return register
