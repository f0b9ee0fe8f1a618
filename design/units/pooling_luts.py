"""A rough count of a pooling unit's LUTs, from the widths of what it joins, divides and keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from counterflow.design.units.division import Division


class Weights(NamedTuple):
    """What LUTs go to."""

    joined: float
    divided: float
    address: float
    lut_ram: float
    flip_flop: float


LUTS: Mapping[str, Weights] = {
    "ecp5": Weights(joined=2.0, divided=1.3, address=6.3, lut_ram=7.8, flip_flop=0),
    "ice40": Weights(joined=1.75, divided=0.8, address=7.3, lut_ram=0, flip_flop=0.84),
    "xc7": Weights(joined=1.6, divided=0.8, address=2.4, lut_ram=6.0, flip_flop=0),
}
"""Fitted to what Yosys 0.70 made of 15 units, each of which they give within a sixth."""


def pooling_luts(
    family: str,
    joined: int,
    divisions: Iterable[Division],
    memories: Iterable[tuple[str, int, int]],
    cells: tuple[int, int],
) -> int:
    """About the LUTs of a unit that joins so many bits with others.

    Its `memories` cost address bits to count; `cells` are the LUT RAMs and flip-flops among them.
    """
    divided = sum(0 if by.exact else by.terms * by.largest.bit_length() for by in divisions)
    places = sum((words - 1).bit_length() for _, words, _ in memories)
    counts = (joined, divided, places, *cells)
    return round(sum(w * n for w, n in zip(LUTS[family], counts, strict=True)))
