"""Pooling units take the block RAMs that are planned of them, no multiplier, and about the LUTs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterflow.design.fpga.estimate import cells, passing_luts, passing_memories
from counterflow.design.fpga.targets import Resources
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.pooling import Pooling
from counterflow.design.units.sliding import Sliding
from counterflow.hw.pooling.sliding import SlidingPool
from counterflow.hw.units.pool import Pool
from tests import synthesised
from tests.synthesised import ON


def pooling(
    image: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: int = 0,
    padding: int = 0,
    *,
    average: bool = False,
    x: str = "u8.4",
    error: str = "s10.8",
    wanted: bool = True,
    **depths: int,
) -> Pooling:
    """A pooling unit, of windows side by side without a `stride`."""
    nearest, dy = Rounding.NEAREST_EVEN, Format.parse(error)
    fields: dict[str, Any] = {
        **dict(zip(("height", "width", "channels"), image, strict=True)),
        "kernel": kernel,
        "average": average,
        "relu": average,
        "x": Format.parse(x),
        "dy": dy,
        "dx": dy,
        "round_activation": nearest,
        "round_error": nearest,
        "tokens": 2,
        "wanted": wanted,
    }
    if not stride:
        return Pooling(**fields)
    pairs = {"stride": (stride, stride), "padding": (padding, padding)}
    return Sliding(**fields, **pairs, **depths)


UNITS: dict[str, Pooling] = {
    "mean of 3x3": pooling((12, 12, 8), (3, 3), average=True),
    "mean of 7x7": pooling((7, 7, 32), (7, 7), average=True),
    "mean of 5x5, wide": pooling((10, 10, 12), (5, 5), average=True, x="u12.8", error="s14.10"),
    "3x3 every 2": pooling((15, 15, 8), (3, 3), 2),
    "3x3 every 2, padded": pooling((16, 16, 40), (3, 3), 2, 1),
    "3x3 every 1": pooling((12, 12, 6), (3, 3), 1),
    "3x3 every 1, padded": pooling((16, 16, 6), (3, 3), 1, 1, queue_words=140, ahead=100),
    "2x2 every 1": pooling((14, 14, 12), (2, 2), 1),
    "2x2 every 3": pooling((14, 14, 12), (2, 2), 3),
    "2x2 every 2, edges": pooling((9, 9, 16), (2, 2), 2),
    "5x5 every 2, wide": pooling((15, 15, 4), (5, 5), 2, x="u12.8", error="s14.10"),
    "3x3 every 2, mean": pooling((15, 15, 8), (3, 3), 2, average=True),
    "3x3 every 1, mean": pooling((12, 12, 6), (3, 3), 1, average=True),
    "3x3 every 1, padded, mean": pooling((16, 16, 6), (3, 3), 1, 1, average=True, queue_words=140),
    "2x2 every 1, mean": pooling((14, 14, 12), (2, 2), 1, average=True),
    "2x2, forward only": pooling((12, 12, 8), (2, 2), wanted=False),
    "mean of 3x3, forward only": pooling((12, 12, 8), (3, 3), average=True, wanted=False),
    "3x3 every 1, mean, forward only": pooling(
        (12, 12, 6), (3, 3), 1, average=True, wanted=False, queue_words=140
    ),
}
QUICK = {("3x3 every 2", "ecp5"), ("2x2, forward only", "ecp5")}


def taken(numbers: Pooling, family: str, folder: Path) -> Resources:
    sliding = isinstance(numbers, Sliding)
    unit = SlidingPool(pooling=numbers) if isinstance(numbers, Sliding) else Pool(pooling=numbers)
    assert sliding == isinstance(unit, SlidingPool)
    return synthesised.taken(unit, family, folder)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param(name, family, marks=[pytest.mark.slow] * ((name, family) not in QUICK))
        for name in UNITS
        for family in ON
    ],
)
def test_a_unit_takes_the_blocks_planned_and_about_the_luts(
    name: str, family: str, tmp_path: Path
) -> None:
    numbers = UNITS[name]
    found, planned = taken(numbers, family, tmp_path), cells(passing_memories(numbers), family)
    assert found.multipliers == 0
    assert found.block_rams == planned.blocks
    assert passing_luts(numbers, family) == pytest.approx(found.luts, rel=0.25)
