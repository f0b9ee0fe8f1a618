"""A register that resets many is copied, for readers side by side, and what feeds it in turn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.tools.reset_copies import COPIES, MOST, copy

CLOCK, PIN, EARLY, RESET = 2, 3, 4, 5
FIRST = 10  # the first bit of what is reset


def register(source: int | str, reset: int | str, to: int) -> dict[str, Any]:
    return {
        "type": "TRELLIS_FF",
        "parameters": {"REGSET": "SET"},
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"},
        "connections": {"CLK": [CLOCK], "DI": [source], "LSR": [reset], "Q": [to]},
    }


def netlist(readers: int, port: str = "LSR") -> dict[str, Any]:
    """Two registers in a row, the last of which resets others."""
    cells = {"early": register(PIN, "0", EARLY), "reset": register(EARLY, "0", RESET)}
    for index in range(readers):
        cells[f"part_{index:05}"] = register("0", RESET, FIRST + index)
        if port != "LSR":
            cells[f"part_{index:05}"]["connections"] |= {"LSR": ["0"], port: [RESET]}
    ports = {"clk": {"direction": "input", "bits": [CLOCK]}}
    ports["pin"] = {"direction": "input", "bits": [PIN]}
    return {"modules": {"top": {"ports": ports, "cells": cells}}}


def copied(made: dict[str, Any], folder: Path) -> tuple[int, dict[str, Any]]:
    """How many registers were added, and the cells that there are then."""
    path = folder / "netlist.json"
    path.write_text(json.dumps(made))
    more = copy(path)
    return more, json.loads(path.read_text())["modules"]["top"]["cells"]


def source(cells: dict[str, Any], bit: int) -> str:
    """The cell that drives a bit."""
    (found,) = (name for name, cell in cells.items() if cell["connections"]["Q"] == [bit])
    return found


@pytest.mark.parametrize("readers", [MOST + 1, 3 * MOST, 20 * MOST])
def test_every_reader_hears_a_copy_of_its_register_in_the_same_cycle(
    readers: int, tmp_path: Path
) -> None:
    more, cells = copied(netlist(readers), tmp_path)
    assert more == len(cells) - readers - 2
    heard: Counter[str] = Counter()
    followed: Counter[str] = Counter()
    for index in range(readers):
        near = source(cells, cells[f"part_{index:05}"]["connections"]["LSR"][0])
        assert near.startswith("reset")
        heard[near] += 1
    for near in heard:
        early = source(cells, cells[near]["connections"]["DI"][0])
        assert early.startswith("early")
        assert cells[early]["connections"]["DI"] == [PIN]
        assert cells[near]["parameters"] == {"REGSET": "SET"}
        followed[early] += 1
    assert max(heard.values()) <= MOST
    assert max(followed.values()) <= COPIES
    assert len(heard) + len(followed) == more + 2


def test_readers_side_by_side_share_a_copy(tmp_path: Path) -> None:
    _, cells = copied(netlist(2 * MOST), tmp_path)
    bits = [cells[f"part_{index:05}"]["connections"]["LSR"][0] for index in range(2 * MOST)]
    assert len(set(bits[:MOST])) == len(set(bits[MOST:])) == 1


@pytest.mark.parametrize(("readers", "port"), [(MOST, "LSR"), (2 * MOST, "CE")])
def test_what_resets_few_or_nothing_is_left_as_it_is(
    readers: int, port: str, tmp_path: Path
) -> None:
    made = netlist(readers, port)
    if port == "CE":
        for cell in made["modules"]["top"]["cells"].values():
            cell["port_directions"]["CE"] = "input"
    assert copied(made, tmp_path) == (0, made["modules"]["top"]["cells"])


def test_a_reset_out_of_a_pin_is_left_as_it_is(tmp_path: Path) -> None:
    made = netlist(2 * MOST)
    made["modules"]["top"]["ports"]["reset"] = {"direction": "output", "bits": [RESET]}
    assert copied(made, tmp_path)[0] == 0
