"""How long commands take on this machine, as a table in the documents.

    python -m counterflow.results.times            renews the table
    python -m counterflow.results.times WORD ...   runs those of `COMMANDS` that have such a word

Each is ``time-KEY.json`` among the results: seconds that passed, seconds of processor time of the
command and all that it started, bytes that it left, and how busy the machine was at its start.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterflow.design.network.files import write_atomically
from counterflow.design.network.provenance import write_json
from counterflow.results import marks
from counterflow.results.markdown import between, grid
from counterflow.results.settings import FOLDER

PAGE = Path("docs/measurements.md")
BEGIN = "<!-- from python -m counterflow.results.times -->"
KIND = "time"
COMMANDS = (
    "networks",
    "plan digits --targets",
    "plan resnet110 --targets",
    "simulate tiny",
    *(
        f"verilog {name}"
        for name in (
            *("digits", "mnist", "deep-digits", "lenet5"),
            *("resnet20-w4", "resnet20", "alexnet", "vgg11", "vgg16", "resnet110"),
        )
    ),
)
LEAVES = re.compile(r"^(simulate|verilog)")  # files


def measured(command: str) -> dict[str, Any]:
    """Run a command, whose files go to a folder of their own; ValueError if it fails."""
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        options = ["-o", scratch, "--quiet"] if LEAVES.match(command) else []
        before, start = _spent(), time.monotonic()
        made = subprocess.run(
            [sys.executable, "-m", "counterflow", *command.split(), *options],
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        seconds, spent = time.monotonic() - start, _spent() - before
        if made.returncode:
            raise ValueError(f"{command}: {made.stderr.strip()}")
        left = sum(path.stat().st_size for path in Path(scratch).rglob("*") if path.is_file())
    return {
        "command": f"counterflow {command}",
        "seconds": round(seconds, 2),
        "processor_seconds": round(spent, 2),
        "bytes": left,
        "load": round(busy, 2),
        "processors": os.cpu_count(),
        "python": sys.version.split()[0],
    }


def _spent() -> float:
    """Processor time of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(folder: Path = FOLDER) -> str:
    """A row a command, the fastest first."""
    head = ["command", "processor time, s", "passed, s", "left, MB", "load before"]
    return grid([head, *(_row(*one) for one in marks.kept(KIND, folder, "processor_seconds"))])


def _row(found: marks.Facts, path: Path) -> list[str]:
    return [
        f"`{found['command']}`, [JSON](results/{path.name})",
        f"{found['processor_seconds']:.1f}",
        f"{found['seconds']:.1f}",
        f"{found['bytes'] / 1e6:.1f}" if found["bytes"] else "–",
        f"{found['load']:.1f}",
    ]


def renewed(text: str, folder: Path = FOLDER) -> str:
    """`text` with a fresh table."""
    return between(text, BEGIN, table(folder))


def main(words: Sequence[str]) -> int:
    """Run ``python -m counterflow.results.times``; return the exit status."""
    chosen = [one for one in COMMANDS if {*words} & {*one.split()}]
    if words and not chosen:
        print(f"error: {words[0]!r} is in none of: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    for command in chosen:
        key = re.sub(r"\W+", "-", command)
        write_json(marks.path_of(KIND, key), measured(command))
    write_atomically(PAGE, renewed(PAGE.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
