"""A kind of unit that the product does not know, for tests: a division by a power of two.

    y = narrow(x / 2^bits)          dx = narrow(dy / 2^bits)

A module for each column, as `docs/adding-a-unit.md` says, and `register`, which enters it.
"""

from __future__ import annotations

from counterflow.design.graph import Kind
from counterflow.design.units import KINDS
from counterflow.golden.fast.units import UNITS as FAST
from counterflow.golden.reference.units import UNITS as REFERENCE
from counterflow.golden.units import UNITS as GOLDEN
from counterflow.hw.units import UNITS as HARDWARE
from tests.toy import design, fast, golden, hw, reference

KIND = "halving"


def register() -> None:
    """Enter the kind into the registry of each column."""
    KINDS[KIND] = Kind(design.HalvingUnit, design.Halve)
    GOLDEN[KIND] = golden.Halving
    REFERENCE[KIND] = reference.Halving
    FAST[KIND] = fast
    HARDWARE[KIND] = hw.Halving


def forget() -> None:
    """Take it out again."""
    for registry in (KINDS, GOLDEN, REFERENCE, FAST, HARDWARE):
        del registry[KIND]  # type: ignore[attr-defined]
