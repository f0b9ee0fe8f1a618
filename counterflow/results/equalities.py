"""Simulations whose every value was compared with the golden model, as a table in the documents.

    python -m counterflow.results.equalities                 renews the table
    python -m counterflow.results.equalities KEY=FOLDER ...  keeps what `simulate -o FOLDER` left

Each is ``equal-KEY.json`` among the results; the table of all stands in `PAGE`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from counterflow.design.network.files import load, write_atomically
from counterflow.design.network.provenance import write_json
from counterflow.results import marks
from counterflow.results.markdown import between, grid
from counterflow.results.marks import Facts
from counterflow.results.settings import FOLDER

PAGE = Path("docs/measurements.md")
BEGIN = "<!-- from python -m counterflow.results.equalities -->"
KIND = "equal"


def table(folder: Path = FOLDER) -> str:
    """A row a simulation, in the order of what they compared."""
    head = ["command", "values compared", "different", "cycles", "cycles a second"]
    return grid([head, *(_row(*one) for one in marks.kept(KIND, folder, "compared"))])


def _row(found: Facts, path: Path) -> list[str]:
    network = found["provenance"]["network"]
    old = load(network).hash() != found["provenance"]["description_hash"]
    return [
        f"`{marks.command(found)}`, [JSON](results/{path.name}){' (network changed)' * old}",
        f"{found['compared']:,}",
        f"{found['mismatches']:,}",
        f"{found['cycles']:,}",
        f"{found['cycles'] / found['seconds']:,.0f}",
    ]


def renewed(text: str, folder: Path = FOLDER) -> str:
    """`text` with a fresh table."""
    return between(text, BEGIN, table(folder))


def main(arguments: Sequence[str]) -> None:
    """Keep the results that are given as KEY=FOLDER, then renew the table."""
    for key, found in marks.given(arguments, "simulate.json").items():
        write_json(marks.path_of(KIND, key), found)
    write_atomically(PAGE, renewed(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
