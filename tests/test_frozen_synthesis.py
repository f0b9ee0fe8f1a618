"""Frozen units take the blocks planned of them, and about the LUTs."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterflow.design.fpga.needs import needs
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from tests.frozen import BELOW, BETWEEN, GROUPS, NETWORKS, TRUNK, design
from tests.test_aside_synthesis import ON, stage_of, taken
from tests.test_norm_synthesis import taken as taken_in

FINETUNE = "lenet5-finetune"
LUTS = {"ecp5": 0.25, "xc7": 0.35}  # of which the weights are fitted to units that learn
PRODUCTS = {  # multipliers a lane: forward, and back where something below learns
    (BELOW, "conv2"): 1,
    (BETWEEN, "conv2"): 2,
    (BETWEEN, "dense4"): 1,  # shared by both products
    (FINETUNE, "conv0"): 1,
    (FINETUNE, "conv2"): 1,
    (FINETUNE, "dense5"): 1,
}


FORWARD_ONLY = {  # multipliers: e t, of groups x x and S S, too; gamma xhat; tanh has none
    (TRUNK, "norm1"): 1,
    (TRUNK, "norm2b1"): 2,
    (TRUNK, "tanh3b0"): 0,
    (TRUNK, "sum3"): 0,
    (GROUPS, "norm1"): 4,
    (GROUPS, "norm2b1"): 3,
}


@pytest.mark.slow
@pytest.mark.parametrize("family", ON)
@pytest.mark.parametrize(("network", "unit"), FORWARD_ONLY)
def test_other_units_that_only_go_forward_take_the_blocks_planned(
    network: str, unit: str, family: str, tmp_path: Path
) -> None:
    expected = needs(design(network), family).units[unit]
    found = taken_in(design(network), unit, family, tmp_path)
    assert found.multipliers == expected.multipliers == FORWARD_ONLY[network, unit]
    assert found.block_rams == expected.block_rams
    if not unit.startswith("tanh"):  # of which LUTs are no more than an order of magnitude
        assert expected.luts == pytest.approx(found.luts, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("family", ON)
@pytest.mark.parametrize(("network", "unit"), PRODUCTS)
def test_a_frozen_unit_takes_the_blocks_planned_and_about_the_luts(
    network: str, unit: str, family: str, tmp_path: Path
) -> None:
    whole = design(network) if network in NETWORKS else plan(load(network))
    stage, expected = stage_of(whole, unit), needs(whole, family).units[unit]
    found = taken(stage, whole.schedule.interval, family, tmp_path)
    products = PRODUCTS[network, unit]
    assert found.multipliers == expected.multipliers == products * stage.tiling.lane_count
    assert found.block_rams == expected.block_rams
    assert expected.luts == pytest.approx(found.luts, rel=LUTS[family])
