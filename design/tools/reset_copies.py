"""Copies of a register that resets more than a part of the chip, in a netlist for ECP5.

No tool puts a reset on one of ECP5's global networks, so that one register and 16 ns of wire would
reach all that it resets.  Copies take the same value in the same cycle, each for readers that lie
beside each other in the design.  Where that value comes out of a register for nothing else, this is
copied in turn: registers in a row, as `boards.clock` has them, become a tree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REGISTER, RESET = "TRELLIS_FF", "LSR"
MOST, COPIES = 128, 8  # readers of one register: what it resets, or copies
End = tuple[str, str]  # a cell and its port


def copy(path: Path) -> int:
    """Copy registers in a flat netlist of Yosys, a file in JSON; how many more there are now."""
    netlist = json.loads(path.read_text(encoding="utf-8"))
    more = sum(_Copies(module).make() for module in netlist["modules"].values())
    if more:
        path.write_text(json.dumps(netlist), encoding="utf-8")
    return more


class _Copies:
    """The registers of a module, what reads them, and how many were added."""

    def __init__(self, module: dict[str, Any]) -> None:
        self.cells: dict[str, Any] = module["cells"]
        self.more = 0
        self.free = 1 + max((bit for bit in _bits(module) if isinstance(bit, int)), default=0)
        self.drivers = {
            cell["connections"]["Q"][0]: name
            for name, cell in self.cells.items()
            if cell["type"] == REGISTER and "Q" in cell["connections"]
        }
        self.readers: dict[int, list[End]] = {}
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"].get(port) != "output":
                    for bit in set(bits) & self.drivers.keys():
                        self.readers.setdefault(bit, []).append((name, port))
        self.kept = {bit for port in module["ports"].values() for bit in port["bits"]}

    def make(self) -> int:
        """Copy all registers that reset too much; how many were added."""
        for bit, ends in sorted(self.readers.items()):
            if bit not in self.kept and any(port == RESET for _, port in ends):
                self._spread(bit, sorted(ends), MOST)
        return self.more

    def _spread(self, bit: int, ends: list[End], most: int) -> None:
        """Copy the driver of `bit` for each `most` of its readers but the first."""
        name = self.drivers[bit]
        driver, made = self.cells[name], [name]
        for first in range(most, len(ends), most):
            made.append(f"{name}_copy_{first // most}")
            wires = {**driver["connections"], "Q": [self.free]}
            self.cells[made[-1]] = {**driver, "connections": wires}
            for reader, port in ends[first : first + most]:
                self.cells[reader]["connections"][port] = [self.free]
            self.free += 1
        self.more += len(made) - 1
        source = driver["connections"]["DI"][0]
        if len(made) > COPIES and self.readers.get(source) == [(name, "DI")]:
            self._spread(source, [(one, "DI") for one in made], COPIES)


def _bits(module: dict[str, Any]) -> Iterator[int | str]:
    """The bits of all ports, of the module and of its cells."""
    for port in module["ports"].values():
        yield from port["bits"]
    for cell in module["cells"].values():
        for bits in cell["connections"].values():
            yield from bits
