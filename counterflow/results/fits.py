"""The table of boards and networks in the documents, between two marks.

``python -m counterflow.results.fits [FILE ...]`` renews it in these files, or else in `PAGES`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from counterflow.boards.fits import Fit, table
from counterflow.boards.table import BOARDS
from counterflow.design.network.files import shipped, write_atomically
from counterflow.results.markdown import between, grid

PAGES = [Path("docs/boards.md")]
BEGIN = "<!-- from python -m counterflow.results.fits -->"


def renewed(text: str) -> str:
    """`text` with a fresh table between each pair of marks; ValueError where it has none."""
    return between(text, BEGIN, fits_table())


def fits_table() -> str:
    """Every shipped network by group of boards with the same device."""
    found = table(BOARDS.values(), shipped())
    groups: dict[str, list[str]] = {}
    for board in BOARDS.values():
        groups.setdefault(board.target, []).append(board.name)
    rows = [["network", *(", ".join(names) for names in groups.values())]]
    for index, name in enumerate(shipped()):
        rows.append([name, *(_cell(found[names[0]][index]) for names in groups.values())])
    return grid(rows)


def _cell(fit: Fit) -> str:
    if fit.design is None:
        return "–"
    schedule = fit.design.schedule
    return f"{schedule.multipliers}; {schedule.interval:,}"


def main(paths: list[str]) -> None:
    """Renew the table in `paths`, or else in `PAGES`."""
    for path in [Path(one) for one in paths] or PAGES:
        write_atomically(path, renewed(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
