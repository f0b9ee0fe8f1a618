"""Registers in a row, and sums in registered levels."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, Value

from counterflow.latency import TREE_RADIX


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """`value` as it was `cycles` cycles ago; cost: `cycles` registers of its width."""
    for stage in range(1, cycles + 1):
        register = Signal(value.shape(), name=f"{name}_{stage}")
        m.d.sync += register.eq(value)
        value = register
    return value


def summed(m: Module, terms: Sequence[Value], name: str) -> Value:
    """The exact sum of `terms`, `counterflow.latency.tree_latency` cycles later.

    One register after each addition of TREE_RADIX terms; a single term passes through.
    """
    level = 0
    while len(terms) > 1:
        sums: list[Value] = []
        for index in range(0, len(terms), TREE_RADIX):
            total = sum(terms[index + 1 : index + TREE_RADIX], start=terms[index])
            register = Signal(total.shape(), name=f"{name}_{level}_{index // TREE_RADIX}")
            m.d.sync += register.eq(total)
            sums.append(register)
        terms, level = sums, level + 1
    return terms[0]


def times_constant(value: Value, factor: int) -> Value:
    """value * factor by additions of shifted copies, one for each non-zero signed digit.

    The non-adjacent form has the fewest such digits; written as a product, synthesis would spend a
    multiplier block on it.
    """
    total: Value | None = None
    place = 0
    while factor:
        if factor & 1:
            digit = 2 - (factor & 3)  # 1 or -1, whichever clears the next bit too
            factor -= digit
            term = value << place
            if total is None:
                total = term if digit > 0 else -term
            else:
                total = total + term if digit > 0 else total - term
        factor >>= 1
        place += 1
    return value - value if total is None else total
