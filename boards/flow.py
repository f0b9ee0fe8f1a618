"""From a plan to a bitstream: Verilog, synthesis, place and route, packing."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from counterflow.boards.constraints import SUFFIX, constraints
from counterflow.boards.pins import pins
from counterflow.boards.report import AROUND, BuildReport
from counterflow.boards.table import Board
from counterflow.boards.top import TOP, Source
from counterflow.boards.vivado import script
from counterflow.design.fpga.estimate import estimate
from counterflow.design.schedule.planner import Plan
from counterflow.design.tools import programs, routing, synthesis
from counterflow.design.tools.follow import ToolError, follow
from counterflow.design.tools.placements import Placements, followed, place
from counterflow.design.tools.synthesis_report import SynthesisReport

OnStage = Callable[[str, str], None]

ROUTED: Mapping[str, str] = {"ecp5": "top.config", "ice40": "top.asc"}
"""What nextpnr leaves for the packer, by family."""

KINDS: Mapping[str, str] = {
    "ICESTORM_LC": "logic cells",
    "ICESTORM_RAM": "block RAMs",
    "ICESTORM_DSP": "multipliers",
    "TRELLIS_COMB": "LUTs",
    "TRELLIS_FF": "flip-flops",
    "DP16KD": "block RAMs",
    "MULT18X18D": "multipliers",
}
"""How a sentence calls the cells of nextpnr."""

BITSTREAM: Mapping[str, str] = {"ecp5": "bit", "ice40": "bin"}
"""How a bitstream's name ends, by family."""


def programs_for(board: Board) -> list[programs.Packaged]:
    """What a build for `board` needs."""
    router = board.fpga.router
    return [programs.YOSYS, *([programs.ROUTERS[router]] if router else [])]


def build(
    board: Board,
    design: Plan,
    source: Source,
    folder: Path,
    on_stage: OnStage,
    *,
    asked: float,
    baud: int,
    seeds: Sequence[int],
) -> BuildReport:
    """Build `source`, the top around `design`, in `folder`.

    The folder then has what there is of: top.v, constraints, logs, and the network's name with the
    ending of `BITSTREAM`, unless the design does not fit or timing is missed, which the report
    says; for xc7 it has a script for Vivado instead, and no frequency is known.  ToolError where a
    program gives up.
    """
    target, name = board.fpga, design.description.name
    where = f"{TOP}.{SUFFIX[target.family]}"
    (folder / where).write_text(constraints(target.family, pins(board)), encoding="utf-8")
    (folder / f"{TOP}.v").write_text(source.verilog, encoding="utf-8")
    taken = synthesis.synthesise(
        source.verilog,
        TOP,
        source.units,
        target,
        folder,
        lambda line: on_stage("synthesise", synthesis.stages(line) or ""),
    )
    taken[AROUND] = taken.pop(synthesis.TOP)
    placements = None
    everything = estimate(design, target.family)

    def report() -> BuildReport:
        found = SynthesisReport(
            network=name,
            unit=None,
            target=target,
            taken=taken,
            planned={unit: everything[unit] for unit in source.units.values()},
            seed=seeds[0],
            frequency=source.frequency,
            placements=placements,
        )
        return BuildReport(board, design, found, asked=asked, baud=baud)

    if target.router is None:
        text = script(target.part, f"{TOP}.v", where, TOP)
        (folder / f"{TOP}.tcl").write_text(text, encoding="utf-8")
        return report()
    if report().found.unfit():
        return report()
    placements = _placed(board, folder, where, on_stage, frequency=source.frequency, seeds=seeds)
    if report().late() is None:
        on_stage("pack the bitstream", "")
        _pack(board, folder, name)
    return report()


def _placed(
    board: Board,
    folder: Path,
    where: str,
    on_stage: OnStage,
    *,
    frequency: float,
    seeds: Sequence[int],
) -> Placements:
    """Place and route the netlist in `folder` with the pins of the file `where`."""
    family = board.fpga.family
    kind = {"ecp5": ("--lpf", "--textcfg"), "ice40": ("--pcf", "--asc")}[family]
    try:
        return place(
            board.fpga,
            folder,
            seeds,
            followed(seeds, on_stage),
            frequency=frequency,
            pinned=(kind[0], where, kind[1], ROUTED[family]),
            given=(where,),
            kept=(ROUTED[family],),
        )
    except ToolError:
        short = overfull((folder / routing.LOG).read_text(encoding="utf-8"))
        if short is None:
            raise
        raise OverfullError(*short) from None


class OverfullError(ToolError):
    """What was packed takes more cells of ``kind`` than there are."""

    def __init__(self, kind: str, needed: int, there: int) -> None:
        super().__init__(f"{needed:,} {kind} are needed of {there:,}")
        self.kind, self.needed, self.there = kind, needed, there


def overfull(log: str) -> tuple[str, int, int] | None:
    """(kind, needed, available) of the cells that a log of nextpnr has too many of, or None."""
    for kind, needed, there in re.findall(r"^Info:\s+(\w+): +(\d+)/ *(\d+) ", log, re.MULTILINE):
        if int(needed) > int(there):
            return KINDS.get(kind, kind), int(needed), int(there)
    return None


def _pack(board: Board, folder: Path, name: str) -> None:
    """Make the bitstream of what was routed."""
    family = board.fpga.family
    packer, result = programs.PACKERS[family], f"{name}.{BITSTREAM[family]}"
    options = ("--compress", *board.pack) if family == "ecp5" else ()
    command = [*packer.command(), *options, ROUTED[family], result]
    follow(command, folder, "pack.log", lambda _line: None, what=packer.what)
    (folder / ROUTED[family]).unlink()
    if board.dfu is not None:
        data = (folder / result).read_bytes()
        (folder / f"{name}.dfu").write_bytes(with_dfu_suffix(data, *board.dfu))


def with_dfu_suffix(data: bytes, vendor: int, product: int) -> bytes:
    """`data` and the 16 bytes that dfu-util wants behind it (USB DFU 1.1, appendix B)."""
    fields = (0xFFFF, product, vendor, 0x0100)  # any version of the device; version of the suffix
    data += b"".join(field.to_bytes(2, "little") for field in fields) + b"UFD" + bytes([16])
    return data + (zlib.crc32(data) ^ 0xFFFFFFFF).to_bytes(4, "little")
