"""Copies of a register that resets more than a part of the chip, in a netlist for ECP5.

No tool puts a reset on one of ECP5's global networks, so that one register and 16 ns of wire would
reach all that it resets.  Copies take the same value in the same cycle, each for readers that lie
beside each other in the design.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REGISTER, RESET = "TRELLIS_FF", "LSR"
MOST = 128  # readers of one register


def copy(path: Path) -> int:
    """Copy registers in a flat netlist of Yosys, a file in JSON; how many more there are now."""
    netlist = json.loads(path.read_text(encoding="utf-8"))
    more = sum(_copy(module) for module in netlist["modules"].values())
    if more:
        path.write_text(json.dumps(netlist), encoding="utf-8")
    return more


def _copy(module: dict[str, Any]) -> int:
    cells = module["cells"]
    drivers = {
        cell["connections"]["Q"][0]: name
        for name, cell in cells.items()
        if cell["type"] == REGISTER and "Q" in cell["connections"]
    }
    readers: dict[int, list[tuple[str, str]]] = {}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if len(bits) == 1 and bits[0] in drivers and cell["port_directions"][port] == "input":
                readers.setdefault(bits[0], []).append((name, port))
    resets = {bit for bit, ends in readers.items() if any(port == RESET for _, port in ends)}
    free = 1 + max(bit for bits in _bits(module) for bit in bits if isinstance(bit, int))
    more = 0
    for bit in sorted(resets):
        ends = sorted(readers[bit])
        for first in range(MOST, len(ends), MOST):
            driver = cells[drivers[bit]]
            cells[f"{drivers[bit]}_copy_{first // MOST}"] = {
                **driver,
                "connections": {**driver["connections"], "Q": [free]},
            }
            for name, port in ends[first : first + MOST]:
                cells[name]["connections"][port] = [free]
            free, more = free + 1, more + 1
    return more


def _bits(module: dict[str, Any]) -> list[list[Any]]:
    """The bits of all nets: of ports, and of cells."""
    ports = [port["bits"] for port in module["ports"].values()]
    return [*ports, *(one for c in module["cells"].values() for one in c["connections"].values())]
