"""What a wave viewer should show of a simulation: a save file of GTKWave beside the waveforms."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from counterflow.design.network.files import write_atomically
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan

CHAIN = "bench_top.chain"
CYCLE = 10_000  # picoseconds, the unit of time in the waveforms
SLOT_PIXELS = 150  # that a slot has at first
PIXELS = 200  # that a unit of time has where the zoom is none; each step of it halves them
STREAMS = {
    "x": "activations in",
    "y": "activations out",
    "dy": "gradients in",
    "dx": "gradients out",
}
WORK = ("now__issue", "now__slot__kind", "now__tile", "now__row")


class Signal(NamedTuple):
    """Its ``name`` as GTKWave has it, with the range of bits, and its ``code`` in the file."""

    name: str
    code: str


def signals_in(lines: Iterable[str]) -> dict[str, Signal]:
    """Signals by their paths, from the lines of a VCD file's header; what follows is left."""
    scopes: list[str] = []
    found: dict[str, Signal] = {}
    for line in lines:
        match line.split():
            case ["$scope", _kind, name, *_]:
                scopes.append(name)
            case ["$upscope", *_]:
                scopes.pop()
            case ["$var", _kind, _bits, code, name, *rest]:
                bits = "".join(part for part in rest if part.startswith("["))
                shown = f"\\{name}" if "." in name else name  # a point would part scopes
                path = ".".join((*scopes, name))
                found[path] = Signal(".".join((*scopes, f"{shown}{bits}")), code)
            case ["$enddefinitions", *_]:
                break
    return found


def rise_of(signal: Signal | None, lines: Iterable[str]) -> int:
    """When a signal of one bit rises first, from the lines behind the header; else 0."""
    now = 0
    for line in map(str.strip, lines):
        if line.startswith("#"):
            now = int(line[1:])
        elif signal is not None and line == f"1{signal.code}":
            return now
    return 0


def gtkwave(path: Path, kinds: Path, dump: Path, design: Plan, *, folder: Path) -> None:
    """Write the save file at `path`: streams of each unit, and what it works on, kinds by name.

    ``kinds`` is written, too, the names of kinds as GTKWave reads them.  Both will stand in
    `folder`, as do the waveforms `dump` of the design.
    """
    from vcd.gtkw import GTKWSave

    with dump.open(encoding="utf-8", errors="replace") as lines:
        there = signals_in(lines)
        begin = rise_of(there.get("bench_top.recording"), lines)
    write_atomically(kinds, "".join(f"{kind.value} {kind.name.lower()}\n" for kind in Kind))
    text = io.StringIO()
    save = GTKWSave(text)
    save.dumpfile(str(folder / dump.name))
    save.treeopen(f"{CHAIN}.")
    save.timestart(begin)
    save.zoom_markers(-math.log2(design.schedule.interval * CYCLE * PIXELS / SLOT_PIXELS))

    def show(scope: str, name: str, *, signed: bool = False) -> None:
        path, by_name = f"{scope}.{name}", name.endswith("kind")
        if path in there:
            save.trace(
                there[path].name,
                alias=" ".join(
                    name.removeprefix("now").replace("payload.", "").split("__")
                ).strip(),
                datafmt="signed" if signed else "dec",
                translate_filter_file=str(folder / kinds.name) if by_name else None,
            )

    for unit in design.schedule.units:
        scope = f"{CHAIN}.{unit.name}"
        with save.group(unit.name):
            for name in WORK:
                show(scope, name)
            for stream, what in STREAMS.items():
                if f"{scope}.{stream}__valid" not in there:
                    continue
                save.blank(what)
                edges = unit.unit.outputs if stream == "y" else unit.unit.inputs
                signed = stream.startswith("d") or not edges or edges[0].x.signed
                for part in ("valid", "ready", "payload.kind"):
                    show(scope, f"{stream}__{part}")
                parts = [f"{stream}__payload{part}" for part in (".data", "")]
                for name in [one for one in parts if f"{scope}.{one}" in there][:1]:
                    show(scope, name, signed=signed)
    write_atomically(path, text.getvalue())
