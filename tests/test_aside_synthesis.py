"""Units that gradients of several losses pass take the blocks planned of them, and about the LUTs.

Each such gradient takes a multiplier a lane, a queue, sums and a way out of its own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from counterflow.design.fpga.needs import needs
from counterflow.design.fpga.targets import Resources
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.slots import Stage
from counterflow.hw.units.convolution import Convolution
from tests import synthesised
from tests.interlocked import COPIES, THREE, design

CONVOLUTIONS = "convolutions, two losses seen"
ON = ("ecp5", "xc7")
UNITS = [  # of some an input gradient goes to the loss that they learn from, too
    ("tiny-threewise", "dense2"),
    (THREE, "dense1"),
    (THREE, "dense2"),
    (THREE, "dense3"),
    (CONVOLUTIONS, "conv2"),
    (CONVOLUTIONS, "conv3"),
    (COPIES, "conv2"),
]


def planned(network: str) -> Plan:
    return plan(load(network)) if network.startswith("tiny") else design(network)


def stage_of(design: Plan, unit: str) -> Stage:
    return next(one for one in design.schedule.weighted if one.name == unit)


def taken(stage: Stage, interval: int, family: str, folder: Path) -> Resources:
    return synthesised.taken(Convolution(stage=stage, interval=interval), family, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "unit", "family"), [(*one, family) for one in UNITS for family in ON]
)
def test_a_unit_takes_the_blocks_planned_and_about_the_luts(
    network: str, unit: str, family: str, tmp_path: Path
) -> None:
    whole = planned(network)
    stage, expected = stage_of(whole, unit), needs(whole, family).units[unit]
    found = taken(stage, whole.schedule.interval, family, tmp_path)
    products = 2 + len(stage.asides) + (stage.arithmetic.dx is not None)
    assert found.multipliers == expected.multipliers == products * stage.tiling.lane_count
    assert found.block_rams == expected.block_rams
    assert expected.luts == pytest.approx(found.luts, rel=0.2)


def alone(stage: Stage) -> Stage:
    """A unit without the gradients of other losses."""
    (above,), (below,) = stage.unit.outputs, stage.unit.inputs
    own = above.paths[-1:]
    paths = tuple(path for path in below.paths if path in own)
    unit = replace(
        stage.unit, inputs=(replace(below, paths=paths),), outputs=(replace(above, paths=own),)
    )
    return replace(stage, unit=unit, asides=(), tiling=replace(stage.tiling, asides=0))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "unit"), [("tiny-threewise", "dense2"), (COPIES, "conv2")])
def test_what_a_second_gradient_takes_is_about_what_is_planned_of_it(
    network: str, unit: str, tmp_path: Path
) -> None:
    whole = planned(network)
    stage, interval = stage_of(whole, unit), whole.schedule.interval
    plain = alone(stage)
    units = tuple(plain if one is stage else one for one in whole.schedule.units)
    without = needs(replace(whole, schedule=replace(whole.schedule, units=units)), "ecp5")
    expected = needs(whole, "ecp5").units[unit].luts - without.units[unit].luts
    one, other = (taken(made, interval, "ecp5", tmp_path).luts for made in (stage, plain))
    assert expected == pytest.approx(one - other, rel=0.25)
