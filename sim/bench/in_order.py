"""Comparing what was transferred and written in order, whenever it was: runs that are stalled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from counterflow.sim.bench.compare import UNKNOWN, Layout
from counterflow.sim.bench.job import Found
from counterflow.sim.bench.recorder import Bits


def check(layout: Layout, expected: Bits, record: Bits, found: Found) -> None:
    """Hold each stream's transfers and each memory's writes in `record` to those `expected`.

    Both are rows of bits [cycles, layout.bits]; what differs is entered in `found`.  Of differences
    in several streams the one is told that would come first without stalls.
    """
    unknown = np.argwhere(record == UNKNOWN)
    if len(unknown):
        cycle, bit = unknown[0]
        field = layout.field_of(int(bit))
        found.differ(f"cycle {cycle}: {field} is unknown (X)", len(unknown))
    earliest: list[tuple[int, str]] = []
    for name, columns in _groups(layout).items():
        times, want = _transfers(layout, expected, columns)
        _, got = _transfers(layout, record, columns)
        found.compared += want.size
        same = min(len(want), len(got))
        wrong = np.nonzero((want[:same] != got[:same]).any(axis=1))[0]
        if len(wrong) or len(want) != len(got):
            found.mismatches += len(wrong) + abs(len(want) - len(got))
            place = int(wrong[0]) if len(wrong) else same
            text = f"{name}: transfer {place} differs ({len(got)} found, {len(want)} expected)"
            earliest.append((int(times[place]) if place < len(want) else len(expected), text))
    if earliest:
        found.differ(min(earliest)[1], count=0)


def _groups(layout: Layout) -> dict[str, list[int]]:
    """Columns by stream or memory, strobe first."""
    groups: dict[str, list[int]] = {}
    for column, field in enumerate(layout.fields):
        owner = field.path.split(".")[0]
        if owner != "walk":
            groups.setdefault(f"{field.unit}.{owner}", []).append(column)
    return groups


def _transfers(
    layout: Layout, rows: Bits, columns: list[int]
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Cycles in which something of one group was transferred, and the rows' bits of it."""
    start, fields = layout.start, layout.fields
    happened = rows[:, start[columns[0]]] == 1
    if fields[columns[1]].path.endswith("blocked"):
        happened &= rows[:, start[columns[1]]] == 0
    last = columns[-1]
    part: NDArray[np.uint8] = rows[happened, start[columns[0]] : start[last + 1]]
    return np.flatnonzero(happened), part
