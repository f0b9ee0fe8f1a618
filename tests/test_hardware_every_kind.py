"""A network of every kind of unit in hardware: the default suite's, of which other files try more.

Whether kinds of units are equal in all their shapes, one by one, is for the slow tests of
`tests/test_hardware_*.py`; a build costs much, so by default one network has a unit of each.
"""

from __future__ import annotations

from functools import cache

import pytest

from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.exercise import mixed_tokens
from counterflow.sim.shapes import network
from tests.branches import residual
from tests.group_norms import group_norm
from tests.images import SAMPLES, average, convolution, folded, maximum, run
from tests.norms import FORMATS, linear, norm
from tests.test_hardware_branches import ORDER, STALLS, assert_equal, runs_of

pytestmark = pytest.mark.xdist_group("every kind")  # they share a build

SAME = {"padding": (1, 1)}
HYPERBOLIC = {"activation": "tanh", "formats": {"activation": "s8.7"}}
LAYERS = [
    {**linear(convolution(3, (1, 2))), "frozen": True},
    residual(norm(gamma=True), linear(convolution(3, (3, 3), **SAME)), **FORMATS),
    group_norm(3, gamma=True),
    {**convolution(2, (3, 2), padding=(1, 0)), **HYPERBOLIC},
    maximum(2, 1),
    residual(
        linear(convolution(3, (2, 2), stride=(2, 2), padding=(1, 0))),
        shortcut=({"kind": "subsample", "outputs": 3, "stride": 2},),
        **FORMATS,
    ),
    average(2, 1),
]
FIELDS = {
    "formats": {**FORMATS, "preactivation": "s9.6"},
    "fold": folded((1, 2, True), (2, 3, False), (1, 4, False), (1, 2, True), (2, 1, False)),
    "recipe": {
        "learning_rate": 2.0**-6,
        "momentum": 0.75,
        "mitigation": "lwpv+sc",
        "accumulate": 2,
        "weight_decay": 2.0**-8,
        "gradient_clip": 2.0**-1,
        "rate_drops": [{"epoch": 1, "shift": 2}],
    },
}


@cache
def design() -> Plan:
    return plan(network((6, 4, 2), LAYERS, **FIELDS))


def test_it_has_a_unit_of_every_kind() -> None:
    schedule = design().schedule
    kinds = {unit.kind for unit in schedule.graph.units}
    assert kinds == {
        *("convolution", "norm", "group_norm", "pool", "tanh"),
        *("fork", "sum", "subsample", "loss"),
    }
    stages = schedule.weighted
    assert {stage.arithmetic.frozen for stage in stages} == {False, True}
    assert {stage.tiling.lanes.shared for stage in stages} == {False, True}


def test_every_cycle_equals_golden() -> None:
    planned = design()
    assert {token.kind for token in mixed_tokens(planned, SAMPLES)} == set(Kind)
    found = run(planned)
    assert_equal(found, 100_000)
    assert found.losses == found.golden_losses


@pytest.mark.parametrize("stalls", STALLS, ids="-".join)
def test_stalls_change_no_value_and_no_order(stalls: tuple[str, str, str]) -> None:
    assert_equal(run(design(), ORDER, stalls=stalls), 10_000)


def test_runs_that_find_gradients_of_earlier_ones_equal_golden_in_every_cycle() -> None:
    assert_equal(run(design(), **runs_of(design())), 100_000)


def test_a_reset_in_mid_training_and_a_power_cycle_leave_nothing_behind() -> None:
    planned = design()
    for place in (0.6, 1.4, 5.3):  # an image arrives, is read back; gradients are on all ways
        cycle = int(place * planned.schedule.interval)
        assert_equal(run(planned, ORDER, scenario="reset", interrupt=cycle), 10_000)
    half = mixed_tokens(planned, 14)
    assert_equal(run(planned, ORDER, scenario="power_cycle", tokens=half + half), 10_000)
