"""Files for Surfer, another wave viewer: commands that show units, and words for values.

Surfer looks for the words in a folder below that in which it starts: one file of a name, a number
of bits and lines of value and word for each format.
"""

from __future__ import annotations

from pathlib import Path

from counterflow.design.network.files import write_atomically
from counterflow.design.schedule.planner import Plan
from counterflow.waves import KINDS, SLOT, WORK, Names, Waves, by_unit

MAPPINGS = Path(".surfer") / "mappings"
FOCUS = "item_focus a"  # the first row; from then on that which was added last


def commands(waves: Waves, design: Plan) -> str:
    """What shows the streams of each unit and what it works on, a command a line.

    Surfer's commands cannot name a signal that has a point in its name, as the parts of a payload
    have; in their place stands the payload as a whole, which has none.
    """
    lines: list[str] = []
    for unit, rows in by_unit(design, waves):
        lines.append(f"divider_add {unit}")
        if len(lines) == 1:
            lines.append(FOCUS)
        added: set[str] = set()
        for row in rows:
            if isinstance(row, str):
                continue
            path, part, _ = row.path.partition("__payload.")
            path = f"{path}__payload" if part else path
            if path in added or path not in waves.signals:
                continue
            added.add(path)
            lines.append(f"variable_add {path}")
            if row.names is not None and not part:
                lines.append(f"item_set_format {row.names.title}")
            elif waves.signals[path].bits > 1 and not part:
                lines.append(f"item_set_format {'Signed' if row.signed else 'Unsigned'}")
    lines += ["zoom_fit", f"cursor_set {waves.begin}"]
    return "".join(f"{line}\n" for line in lines)


def mapping(names: Names) -> str:
    """The words of a format as Surfer reads them."""
    lines = [f"Name = {names.title}", f"Bits = {names.bits}"]
    lines += [f"{value} {word}" for value, word in names.words.items()]
    return "".join(f"{line}\n" for line in lines)


def write(path: Path, mappings: Path, waves: Waves, design: Plan) -> None:
    """Write the commands at `path`, and the words of all formats into the folder `mappings`."""
    write_atomically(path, commands(waves, design))
    for names in (KINDS, WORK, SLOT):
        write_atomically(mappings / f"{names.title}.txt", mapping(names))
