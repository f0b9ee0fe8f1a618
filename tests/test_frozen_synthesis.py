"""Frozen units take the blocks planned of them, and about the LUTs."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterflow.design.fpga.needs import needs
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from tests.frozen import BELOW, BETWEEN, NETWORKS, design
from tests.test_aside_synthesis import ON, stage_of, taken

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
