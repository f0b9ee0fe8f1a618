"""Forks, sums and subsampling take the block RAMs planned of them, and about as many LUTs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from amaranth.lib import wiring

from counterflow.design.fpga.estimate import cells, passing_luts, passing_memories
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.geometry import Shape
from counterflow.design.units import fork, sum
from counterflow.design.units.subsample import Subsampling
from counterflow.hw.units.fork import Fork
from counterflow.hw.units.subsample import Subsample
from counterflow.hw.units.sum import Sum
from tests.synthesised import ON, taken

NEAREST = Rounding.NEAREST_EVEN


def forked(bits: int, *queues: int) -> fork.Fork:
    x, error = Format.parse("u8.4"), Format.parse(f"s{bits}.6")
    return fork.Fork(64, len(queues), x, error, NEAREST, True, queues)


def added(x: int, dx: int, queues: tuple[int, int], stash: int) -> sum.Sum:
    y, dy = Format.parse(f"u{x}.4"), Format.parse(f"s{dx}.6")
    branches = (sum.Branch(y, dy, True, stash > 0),) * 2
    return sum.Sum(64, branches, y, dy, NEAREST, NEAREST, queues, stash)


def subsampled(
    image: Shape, stride: tuple[int, int], outputs: int, words: tuple[int, int], **changes: Any
) -> Subsampling:
    formats = {"x": Format.parse("u8.4"), "error": Format.parse("s10.8"), "wanted": True}
    queues = dict(zip(("x_words", "dy_words"), words, strict=True))
    return Subsampling(image, stride, outputs, **{**formats, **queues, **changes})


WIDE = {"x": Format.parse("s16.8"), "error": Format.parse("s18.9")}
UNITS: dict[str, Any] = {
    "fork, shallow": forked(6, 1, 8),
    "fork": forked(10, 2, 96),
    "fork, deep": forked(14, 2, 2000),
    "fork, both deep": forked(10, 300, 300),
    "fork of three": forked(10, 60, 2, 5),
    "sum": added(8, 10, (2, 27), 114),
    "sum, deep": added(8, 10, (2, 300), 2000),
    "sum, wide": added(16, 18, (1, 64), 600),
    "sum, narrow": added(5, 6, (1, 10), 40),
    "sum without masks": added(8, 10, (2, 27), 0),
    "subsample": subsampled((32, 32, 16), (2, 2), 32, (2, 2)),
    "subsample, deep": subsampled((16, 16, 32), (2, 2), 64, (20, 300)),
    "subsample, no channels added": subsampled((14, 14, 8), (2, 2), 8, (4, 20)),
    "subsample, no pixels dropped": subsampled((12, 10, 5), (1, 1), 9, (9, 6), begin=7),
    "subsample, wide": subsampled((7, 9, 3), (3, 2), 7, (40, 64), **WIDE),
    "subsample, before the first weights": subsampled((28, 28, 1), (2, 2), 8, (3, 1), wanted=False),
}
QUICK = {("sum, deep", "ecp5"), ("fork", "ecp5"), ("subsample", "ecp5")}
KINDS = {fork.Fork: Fork, sum.Sum: Sum, Subsampling: Subsample}


def made(numbers: Any) -> wiring.Component:
    component: wiring.Component = KINDS[type(numbers)](numbers=numbers)
    return component


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
    found = taken(made(numbers), family, tmp_path)
    planned = cells(passing_memories(numbers), family)
    assert found.block_rams == planned.blocks
    if family == "ecp5":
        assert found.lut_rams == planned.lut_rams
    assert found.multipliers == 0
    assert passing_luts(numbers, family) == pytest.approx(found.luts, rel=0.25)


def test_a_fork_before_the_first_weights_is_wires_and_a_few_gates(tmp_path: Path) -> None:
    numbers = fork.Fork(64, 2, Format.parse("u8.4"), Format.parse("s10.6"), NEAREST, False, (0, 0))
    assert taken(made(numbers), "ecp5", tmp_path).luts < 10
    assert passing_luts(numbers, "ecp5") < 10
    assert passing_memories(numbers) == []
