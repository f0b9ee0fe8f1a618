"""A norm of groups takes the multipliers and block RAMs planned of it, and about the LUTs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterflow.design.fpga.needs import needs
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.shapes import network
from tests.group_norms import FORMATS, RECIPE, group_norm, linear
from tests.test_norm_synthesis import ON, taken


def around(
    channels: int,
    group: int,
    image: tuple[int, int] = (4, 4),
    *,
    x: str = "s12.5",
    y: str = "s9.5",
    error: str = "s14.12",
    first: bool = False,
    gamma: bool = False,
    **recipe: Any,
) -> Plan:
    """A network with one norm of groups; ``first``: nobody wants its dx."""
    one = {"padding": (0, 0)}
    below = {**linear(channels, (1, 1), **one), "formats": {"activation": x}}
    norm = group_norm(group, gamma=gamma, formats={"activation": y, "error": error})
    layers = [*([] if first else [below]), norm, linear(2, (1, 1), **one)]
    formats = {**FORMATS, "input": x} if first else FORMATS
    source = (*image, channels if first else 1)
    fields = {"formats": formats, "recipe": {**RECIPE, **recipe}, "fold": {"multipliers": 20}}
    return plan(network(source, layers, **fields))


NETWORKS = {
    "two channels": around(2, 2),
    "nobody wants dx": around(4, 2, x="s8.4", first=True, mitigation="none"),
    "sixteen channels": around(16, 2, (8, 8)),
    "no power of two, three samples an update": around(
        6, 3, (3, 5), x="s10.4", y="s8.4", error="s10.8", mitigation="none", accumulate=3
    ),
    "gamma": around(4, 2, gamma=True),
    "gamma, nobody wants dx": around(4, 2, x="s8.4", first=True, gamma=True, mitigation="none"),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", ON)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_norm_of_groups_takes_the_blocks_planned_and_about_the_luts(
    name: str, family: str, tmp_path: Path
) -> None:
    planned = NETWORKS[name]
    (unit,) = (one.name for one in planned.schedule.norms)
    found, expected = taken(planned, unit, family, tmp_path), needs(planned, family).units[unit]
    assert found.multipliers == expected.multipliers
    assert found.block_rams == expected.block_rams
    assert expected.luts == pytest.approx(found.luts, rel=0.25)
