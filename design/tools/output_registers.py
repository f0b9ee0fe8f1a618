"""Output registers of ECP5's block RAMs: flip-flops of a netlist that the blocks have themselves.

Yosys never uses them.  A block's output comes 5.8 ns after the clock, which leaves little of a
cycle; out of its own register it comes early, and a flip-flop a bit is saved.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BLOCK, REGISTER = "DP16KD", "TRELLIS_FF"
_OUTPUTS = tuple(f"DO{port}{bit}" for port in "AB" for bit in range(18))
_PLAIN = {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET"}  # without enable, starting at zero


def move(path: Path) -> list[str]:
    """Move registers into block RAMs in a flat netlist of Yosys, a file in JSON.

    The names of the flip-flops that are no more.  A block's are moved if all outputs of it that
    anybody reads are read by nothing but a plain flip-flop each, of the block's own clock.
    """
    text = path.read_text(encoding="utf-8")
    if f'"{BLOCK}"' not in text:
        return []
    netlist = json.loads(text)
    gone = [name for module in netlist["modules"].values() for name in _move(module)]
    if gone:
        path.write_text(json.dumps(netlist), encoding="utf-8")
    return gone


def _move(module: dict[str, Any]) -> Iterator[str]:
    cells = module["cells"]
    blocks = [cell for cell in cells.values() if cell["type"] == BLOCK]
    if not blocks:
        return
    readers = Counter(_read(module))
    behind = {
        cell["connections"]["DI"][0]: name
        for name, cell in cells.items()
        if cell["type"] == REGISTER and _is_plain(cell)
    }
    for block in blocks:
        wires, clock = block["connections"], block["connections"]["CLKB"]
        read = [port for port in _OUTPUTS if port in wires and readers[wires[port][0]]]
        names = [behind.get(wires[port][0], "") for port in read]
        if (
            not names
            or wires["CLKA"] != clock
            or {block["parameters"][f"REGMODE_{port}"] for port in "AB"} != {"NOREG"}
            or any(readers[wires[port][0]] != 1 for port in read)
            or any(not name or cells[name]["connections"]["CLK"] != clock for name in names)
        ):
            continue
        for port, name in zip(read, names, strict=True):
            wires[port] = cells.pop(name)["connections"]["Q"]
            yield name
        block["parameters"] |= {"REGMODE_A": "OUTREG", "REGMODE_B": "OUTREG"}
        wires |= {"OCEA": ["1"], "OCEB": ["1"]}


def _read(module: Mapping[str, Any]) -> Iterator[int | str]:
    """Every bit as often as something reads it."""
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) != "output":
                yield from bits
    for port in module["ports"].values():
        if port["direction"] != "input":
            yield from port["bits"]


def _is_plain(cell: Mapping[str, Any]) -> bool:
    """Whether it takes its input in each cycle, whatever else happens, and may be moved."""
    parameters, wires = cell["parameters"], cell["connections"]
    return (
        all(parameters.get(name) == value for name, value in _PLAIN.items())
        and wires.get("LSR", ["0"]) == ["0"]
        and parameters.get("LSRMUX", "LSR") == "LSR"
        and "keep" not in cell["attributes"]
    )
