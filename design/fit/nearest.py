"""The fold that overruns a device by the least, where none fits or where a faster one is wanted."""

from __future__ import annotations

import bisect

import numpy as np

from counterflow.design.fit.knapsack import Knapsack
from counterflow.design.fit.relaxed import Amounts, Relaxed
from counterflow.design.fit.search import Search, is_large, lanes_of, rams
from counterflow.design.fit.unit_folds import Option
from counterflow.design.fpga.needs import Needs

STEP = 2  # times what there is, up to which a next step is looked for


def next_step(search: Search, below: int) -> Needs | None:
    """The fold that overruns what there is by the least, with an interval of at most `below`.

    None where that takes more than `STEP` times what there is.
    """
    index = bisect.bisect_right(search.intervals, below) - 1
    if index < 0:
        return None
    lists = search.able(search.intervals[index])
    has = search.multipliers, search.rams, search.luts
    most = STEP * has[0], STEP * has[1]
    if is_large(lists, (has[0], has[1])):
        return _within_a_step(search, lists)
    knapsack = Knapsack([[option.item for option in options] for options in lists], most)
    rows, columns = (np.arange(size, dtype=np.float64) for size in knapsack.prices.shape)
    blocks = columns + rams(search.around)
    worst = (knapsack.prices + search.around.luts) / max(1.0, has[2])
    products = rows + search.around.multipliers
    worst = np.maximum(worst, (products / max(1, has[0]))[:, None])
    worst = np.maximum(worst, (blocks / max(1, has[1]))[None, :])
    if not np.isfinite(worst).any():
        return None
    at = np.unravel_index(int(np.argmin(worst)), worst.shape)
    return search.counted(lanes_of(lists, knapsack.chosen(int(at[0]), int(at[1]))))


def nearest(search: Search, below: int | None = None) -> Needs:
    """The fold that overruns what there is by about the least, however much that is.

    `below`: its longest interval in cycles; where no fold is so fast, the shortest there is.
    """
    index = 0 if below is None else bisect.bisect_right(search.intervals, below)
    lists = search.able(search.intervals[index - 1 if below is None or index else 0])
    relaxed = Relaxed([[option.item for option in options] for options in lists])
    return search.counted(lanes_of(lists, relaxed.closest(_room(search))))


def _within_a_step(search: Search, lists: list[list[Option]]) -> Needs | None:
    """As `next_step`, where a table would be too large."""
    relaxed, room = (
        Relaxed([[option.item for option in options] for options in lists]),
        _room(search),
    )
    picked = relaxed.closest(room)
    if any(n > STEP * there for n, there in zip(relaxed.amounts(picked), room, strict=True)):
        return None
    return search.counted(lanes_of(lists, picked))


def _room(search: Search) -> Amounts:
    """What there is for units with weights, at least one of each."""
    around = search.around
    left = (
        search.multipliers - around.multipliers,
        search.rams - rams(around),
        search.luts - around.luts,
    )
    first, second, third = (max(1.0, float(n)) for n in left)
    return first, second, third
