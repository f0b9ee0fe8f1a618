"""Division by the area of a window, twin of what `golden.units.pool` multiplies by."""

from __future__ import annotations

from amaranth.hdl import C, Module, Value

from counterflow.design.units.division import Division
from counterflow.hw.parts.pipeline import summed, terms_of


def divided(m: Module, value: Value, by: Division, name: str) -> Value:
    """`value` divided, with `by.shift` more fraction bits, `by.latency` cycles later.

    Cost: no multiplier; `by.terms` - 1 additions, a register after each four terms.
    """
    if by.exact:
        return value
    terms = terms_of(value, by.multiplier)
    if by.offset:
        terms.append(C(by.offset))
    return summed(m, terms, name)
