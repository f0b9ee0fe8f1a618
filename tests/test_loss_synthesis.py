"""Losses of each output by itself take the blocks planned of them, and about as many LUTs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterflow.design.fpga.estimate import (
    cells,
    loss_memories,
    passing_luts,
    products_blocks,
    unit_multipliers,
)
from counterflow.design.fpga.needs import needs
from counterflow.design.network.files import load
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.design.units.bce import BinaryCrossEntropy
from counterflow.design.units.mse import SquaredError
from counterflow.design.units.split import Split
from counterflow.hw.units.bce import Bce
from counterflow.hw.units.mse import Mse
from counterflow.hw.units.split import Split as Splitting
from tests.synthesised import ON, taken

F = Format.parse
UNITS: dict[str, Any] = {
    "mse": SquaredError(10, F("s12.8"), F("s10.8"), F("u8.8"), targets=30),
    "mse, deep": SquaredError(64, F("s12.8"), F("s10.8"), F("u8.8"), targets=300),
    "mse, labels": SquaredError(10, F("s12.6"), F("s10.8"), None),
    "mse, wide": SquaredError(2, F("s16.12"), F("s16.12"), F("s16.15"), targets=4),
    "mse, one": SquaredError(1, F("s12.9"), F("s11.9"), F("s10.9"), targets=2),
    "bce, labels": BinaryCrossEntropy(10, F("s12.6"), F("s10.8"), None),
    "bce, one": BinaryCrossEntropy(1, F("s12.6"), F("s10.8"), None),
    "bce": BinaryCrossEntropy(10, F("s12.6"), F("s10.8"), F("u8.8"), targets=30),
    "bce, deep": BinaryCrossEntropy(64, F("s10.4"), F("s8.6"), F("u6.6"), targets=300),
    "bce, wide": BinaryCrossEntropy(3, F("s16.10"), F("s16.14"), F("u12.12"), targets=8),
}
SPLITS = {
    "autoencoder": Split((64, 10), F("u8.8")),
    "few": Split((10, 1), F("s10.9")),
    "many": Split((784, 200), F("u8.8")),
}
QUICK = {("mse", "ecp5"), ("bce, labels", "ecp5")}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param(name, family, marks=[pytest.mark.slow] * ((name, family) not in QUICK))
        for name in UNITS
        for family in ON
    ],
)
def test_a_loss_takes_the_blocks_planned_and_about_the_luts(
    name: str, family: str, tmp_path: Path
) -> None:
    numbers = UNITS[name]
    made = Bce if isinstance(numbers, BinaryCrossEntropy) else Mse
    found = taken(made(numbers=numbers, labels=5), family, tmp_path)
    planned = cells(loss_memories(numbers), family)
    assert found.block_rams == planned.blocks
    assert found.multipliers == products_blocks(numbers.products, family)
    luts = numbers.luts(family, (planned.lut_rams, planned.flip_flops))
    assert luts == pytest.approx(found.luts, rel=0.15)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param(name, family, marks=[pytest.mark.slow] * ((name, family) != ("few", "ecp5")))
        for name in SPLITS
        for family in ON
    ],
)
def test_a_split_is_a_counter(name: str, family: str, tmp_path: Path) -> None:
    numbers = SPLITS[name]
    found = taken(Splitting(numbers=numbers), family, tmp_path)
    assert (found.block_rams, found.multipliers) == (0, 0)
    assert abs(passing_luts(numbers, family) - found.luts) <= 5


def test_what_a_network_needs_has_its_loss_and_its_multiplier() -> None:
    design = plan(load("digits-autoencoder"))
    for family in (*ON, "xcup"):
        found = needs(design, family)
        assert unit_multipliers(design, family)["loss"] == found.units["loss"].multipliers == 1
        assert 100 < found.units["loss"].luts < 700
        assert found.units["targets"].luts < 40  # a fork in front of everything
    assert sum(one.multipliers for one in found.units.values()) == found.total.multipliers
