"""A save file of GTKWave: what it should show of waveforms, and from when on."""

from __future__ import annotations

import io
import math
from pathlib import Path

from counterflow.design.network.files import write_atomically
from counterflow.design.schedule.planner import Plan
from counterflow.waves import CHAIN, KINDS, Signal, Waves, by_unit

CYCLE = 10_000  # picoseconds, the unit of time in the waveforms
SLOT_PIXELS = 150  # that a slot has at first
PIXELS = 200  # that a unit of time has where the zoom is none; each step of it halves them


def name_of(signal: Signal, ending: str) -> str:
    """A signal of a file of that ending as GTKWave calls it, with its range of bits.

    A name with a point has an escape before it if it comes from VCD; from FST all are as they are.
    """
    escape = "\\" if ending == ".vcd" and "." in signal.name else ""
    bits = f"[{signal.bits - 1}:0]" if signal.bits > 1 else ""
    return f"{signal.scope}.{escape}{signal.name}{bits}"


def write(path: Path, kinds: Path, waves: Waves, design: Plan, *, folder: Path) -> None:
    """Write the save file at `path`: streams of each unit, and what it works on, kinds by name.

    ``kinds`` is written, too, the names of kinds as GTKWave reads them.  Both will stand in
    `folder`, as do the waveforms of the design.
    """
    from vcd.gtkw import GTKWSave

    write_atomically(kinds, "".join(f"{value} {word}\n" for value, word in KINDS.words.items()))
    text = io.StringIO()
    save = GTKWSave(text)
    save.savefile(str(folder / path.name))  # by both GTKWave finds waves that moved along
    save.dumpfile(str(folder / waves.path.name))
    save.treeopen(f"{CHAIN}.")
    save.timestart(waves.begin)
    save.zoom_markers(-math.log2(design.schedule.interval * CYCLE * PIXELS / SLOT_PIXELS))
    for unit, rows in by_unit(design, waves):
        with save.group(unit):
            for row in rows:
                if isinstance(row, str):
                    save.blank(row)
                    continue
                named = row.names is KINDS  # a bit is better seen as a line than read as a word
                save.trace(
                    name_of(waves.signals[row.path], waves.path.suffix),
                    alias=row.label,
                    datafmt="signed" if row.signed else "dec",
                    translate_filter_file=str(folder / kinds.name) if named else None,
                )
    write_atomically(path, text.getvalue())
