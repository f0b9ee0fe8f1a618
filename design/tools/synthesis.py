"""Synthesis with Yosys: a netlist of a target's cells, and what each unit takes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from counterflow.design.fpga.blocks import INSTANTIATES
from counterflow.design.fpga.targets import Resources, Target, total
from counterflow.design.parts.names import APART
from counterflow.design.tools import output_registers, reset_copies
from counterflow.design.tools.follow import OnLine, ToolError, follow
from counterflow.design.tools.programs import YOSYS

NETLIST = "netlist.json"  # flat, for placing and routing
LOG = "yosys.log"
TOP = "pins"  # where cells count that are in no unit
_CELLS = "cells.json"

_STEP = {
    "ecp5": "map_ram",
    "ice40": "map_ram",
    "xc7": "map_memory",
    "xcup": "map_memory",
}  # for memories

_LIBRARY = {  # of the family's own cells, some of which designs instantiate
    "ecp5": "+/ecp5/cells_sim.v +/ecp5/cells_bb.v",
    "ice40": "+/ice40/cells_sim.v",
    **dict.fromkeys(("xc7", "xcup"), "+/xilinx/cells_sim.v +/xilinx/cells_xtra.v"),
}

_WORTH: Mapping[str, Resources] = {
    # ECP5: a carry cell is two LUTs; LUT RAM is four, and two more that feed their write port.
    "LUT4": Resources(luts=1),
    "CCU2C": Resources(luts=2),
    "TRELLIS_DPR16X4": Resources(lut_rams=1, luts=6),
    "TRELLIS_FF": Resources(flip_flops=1),
    "MULT18X18D": Resources(multipliers=1),
    "DP16KD": Resources(block_rams=1),
    # iCE40
    "SB_LUT4": Resources(luts=1),
    "SB_MAC16": Resources(multipliers=1),
    "SB_RAM40_4K": Resources(block_rams=1),
    "SB_RAM40_4KNR": Resources(block_rams=1),  # reads at the falling edge
    # Xilinx 7
    **{f"LUT{inputs}": Resources(luts=1) for inputs in (1, 2, 3, 5, 6)},
    **dict.fromkeys(("SRL16E", "SRLC32E"), Resources(luts=1)),
    **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D"), Resources(lut_rams=1, luts=4)),
    **dict.fromkeys(("FDRE", "FDSE", "FDCE", "FDPE"), Resources(flip_flops=1)),
    "DSP48E1": Resources(multipliers=1),
    "RAMB18E1": Resources(block_rams=1),
    "RAMB36E1": Resources(block_rams=2),
    # UltraScale+
    **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM256X1D"), Resources(lut_rams=1, luts=8)),
    "DSP48E2": Resources(multipliers=1),
    "RAMB18E2": Resources(block_rams=1),
    "RAMB36E2": Resources(block_rams=2),
    "URAM288": Resources(ultra_rams=1),
}
_FREE = re.compile(  # multiplexers and carry chains beside LUTs, buffers, notes of Yosys
    r"\$scopeinfo|PFUMX|L6MUX21|SB_CARRY|MUXF[789]|CARRY[48]|INV|BUFG|[IO]BUF|SB_GB"
    r"|EHXPLLL|SB_PLL40_PAD|PLLE2_BASE"  # one a board
)


def script(target: Target, top: str, units: Iterable[str]) -> str:
    """The commands for Yosys.  `units`: modules whose cells are counted apart.

    Units stay apart until the cells are counted, and so are optimised one by one, which costs a few
    LUTs in a hundred against a flat design and takes no longer.  Lanes do not stay apart: that
    would halve the time but take a quarter more LUTs.

    A block RAM's two ports do not say what a read gives in the cycle of a write to the same word.
    Yosys adds a bypass, unless the memory is marked as one for which it does not matter.
    """
    step = _STEP[target.family]
    named = INSTANTIATES.get(target.family)
    defined = f"-D {named}" if named else ""
    apart = "select -set own a:own_register w:* %i %ci1 t:$dff* %i; setattr -set keep 1 @own"
    synthesis = f"{target.synthesis} -top {top}"
    return "; ".join(
        (
            f"read_verilog -lib {_LIBRARY[target.family]}",
            f"read_verilog {defined} design.v; hierarchy -check -top {top}",
            # Loops, undriven and doubly driven nets are faults of the design; Yosys only warns.
            "proc; check -assert; select -assert-none t:$dlatch t:$adlatch t:$dlatchsr",
            # Elsewhere registers go into the multipliers, which they may not when they are kept.
            *([apart] if target.family == "ecp5" else []),
            *(f"setattr -mod -set keep_hierarchy 1 {unit}" for unit in units),
            f"{synthesis} -run begin:{step}",
            "setparam -set RD_COLLISION_X_MASK 1'1 a:never_collides r:RD_CLK_ENABLE=1'1 %i",
            f"{synthesis} -run {step}:",
            f"tee -q -o {_CELLS} stat -json",
            "setattr -mod -unset keep_hierarchy *; flatten; opt_clean",
            f"write_json {NETLIST}",
        )
    )


def synthesise(
    verilog: str, top: str, units: Mapping[str, str], target: Target, folder: Path, on_line: OnLine
) -> dict[str, Resources]:
    """What every unit takes, by name, and what is around them as `TOP`.

    `units` has the name of each by its Verilog module, as it is in `verilog`.  Leaves `NETLIST`,
    behind `output_registers.move` and `reset_copies.copy`, and `LOG` in `folder`; `on_line`
    receives the log.  ToolError where Yosys fails or resolves a conflict of drivers, for then the
    netlist does not do what the design does.
    """
    (folder / "design.v").write_text(verilog, encoding="utf-8")
    # Names relative to the folder: the packaged Yosys sees no other files.
    commands = ["-q", "-l", LOG, "-p", script(target, top, units)]
    follow([*YOSYS.command(), *commands], folder, LOG, on_line, what="Yosys")
    check_log((folder / LOG).read_text(encoding="utf-8", errors="replace"), folder / LOG)
    modules = json.loads((folder / _CELLS).read_text(encoding="utf-8"))["modules"]
    found = count(modules, units, top)
    if target.family != "ecp5":
        return found
    moved = output_registers.move(folder / NETLIST)
    copies = reset_copies.copy(folder / NETLIST)
    found[TOP] = found[TOP]._replace(flip_flops=found[TOP].flip_flops + copies)
    return less(found, moved, units, top)


def less(
    taken: Mapping[str, Resources], moved: Iterable[str], units: Mapping[str, str], top: str
) -> dict[str, Resources]:
    """What is taken when these flip-flops of the flat netlist are in block RAMs."""
    places = {
        f"{module.removeprefix(top + APART).replace(APART, '.')}.": unit
        for module, unit in units.items()
    }
    left = dict(taken)
    for name in moved:
        unit = next((unit for place, unit in places.items() if name.startswith(place)), TOP)
        left[unit] = left[unit]._replace(flip_flops=left[unit].flip_flops - 1)
    return left


def run_apart(arguments: Sequence[str], folder: Path) -> str:
    """Run Yosys in a `folder` that nobody keeps; its log. ToolError names no file in there."""
    try:
        follow([*YOSYS.command(), "-q", "-l", LOG, *arguments], folder, LOG, _unheard, what="Yosys")
    except ToolError as error:
        error.log = None
        raise
    return (folder / LOG).read_text(encoding="utf-8", errors="replace")


def _unheard(line: str) -> None:
    """Of those who wait in silence."""


def check_log(text: str, log: Path | None = None) -> None:
    """ToolError where Yosys met a net with two drivers: it takes one and goes on.

    `log` is the file that has the `text`, if it is kept.
    """
    conflict = re.search(r"Driver-driver conflict.*", text)
    if conflict:
        raise ToolError(
            f"Yosys changed what the design does ({conflict[0].strip()}); no netlist is kept", log
        )


def count(
    modules: Mapping[str, Mapping[str, Mapping[str, int]]], units: Mapping[str, str], top: str
) -> dict[str, Resources]:
    """Resources by unit from the statistics of Yosys; ToolError for a cell that is not known."""
    result: dict[str, Resources] = {}
    rest: list[Resources] = []
    inner = f"{top}{APART}inner"
    for module, facts in modules.items():
        name = module.removeprefix("\\")
        cells = facts.get("num_cells_by_type", {})
        taken = total(
            Resources(*(amount * number for number in worth(kind)))
            for kind, amount in cells.items()
            if kind.removeprefix("\\") not in units and kind.removeprefix("\\") != inner
        )
        if name in units:
            result[units[name]] = taken
        else:
            rest.append(taken)
    return {unit: result.get(unit, Resources()) for unit in units.values()} | {TOP: total(rest)}


def worth(kind: str) -> Resources:
    """What one cell of a kind takes."""
    if kind in _WORTH:
        return _WORTH[kind]
    if kind.startswith("SB_DFF"):
        return Resources(flip_flops=1)
    if _FREE.fullmatch(kind):
        return Resources()
    raise ToolError(f"Yosys made a cell {kind}, which should be in no design of Counterflow")


def stages(line: str) -> str | None:
    """What Yosys begins with a line of its log, in words for progress."""
    found = re.match(r"[\d.]+ Executing (\w+) pass", line)
    return found[1].lower().replace("_", " ") if found else None
