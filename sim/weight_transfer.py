"""Register accesses that load a unit of the golden model or read it back."""

from __future__ import annotations

from collections.abc import Sequence

from counterflow.schedule import Stage
from counterflow.transfers import (
    Integers,
    Transfer,
    Words,
    load_accesses,
    load_table,
    packed,
    parts,
    read_accesses,
    read_table,
)
from golden.convolution import UnitState

__all__ = [
    "Integers",
    "Transfer",
    "Words",
    "decode",
    "load_accesses",
    "load_table",
    "packed",
    "read_accesses",
    "read_table",
]


def decode(stage: Stage, words: Sequence[int] | Integers) -> UnitState:
    """The state in the responses to `read_accesses`."""
    return UnitState(*parts(stage, words))
