"""When a unit with weights does what, in cycles after the start of its slot.

A slot starts with the issue of its first tile; each tile's visit is ISSUE cycles after its issue.
All of it follows from the order in which the tiles are visited (`design.units.tiling`) and from the
registers on the way (`design.units.latency`), as long as nothing stalls.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from counterflow.design.units.latency import (
    BIASED,
    FETCH,
    ISSUE,
    MOVED,
    NARROW,
    QUEUE,
    ROUND,
    SUM,
    TO_PRODUCT,
    TURN,
    tree_latency,
)
from counterflow.design.units.tiling import Tiling

Cycles = NDArray[np.int64]


def paced(earliest: Cycles) -> Cycles:
    """Times of elements that are ready at `earliest` and leave one a cycle, in order."""
    steps = np.arange(len(earliest))
    return np.maximum.accumulate(earliest - steps) + steps


def steady(times: Cycles, interval: int) -> Cycles:
    """`times` of the elements of a token that queue up behind those of the token before.

    Elements leave one a cycle and in order, so that the first ones may have to wait for the last
    ones of the token `interval` cycles ago; the last one leaves when it would have left.
    """
    waiting: Cycles = times[-1] - interval + 1 + np.arange(len(times))
    return np.maximum(times, waiting)


def output_latency(tiling: Tiling) -> int:
    """Cycles from the issue of a row's last tile to its first output."""
    return TO_PRODUCT + tree_latency(tiling.lanes.inputs) + SUM + BIASED + QUEUE


def row_starts(tiling: Tiling) -> Cycles:
    """When each row of tiles begins; shape [positions x rows]."""
    return np.arange(tiling.geometry.positions * tiling.rows) * tiling.row_cycles


def row_queue(tiling: Tiling) -> int:
    """Words of the output queue such that reserving one when a row starts never stalls."""
    busy = tiling.row_cycles + output_latency(tiling) + tiling.lanes.outputs
    rows = tiling.geometry.positions * tiling.rows
    return min(rows + 1, math.ceil(busy / tiling.row_cycles)) + 1


def output_offsets(tiling: Tiling) -> Cycles:
    """When each element of the output leaves; shape [elements]."""
    position, output = np.divmod(np.arange(tiling.geometry.elements), tiling.outputs)
    row, element = np.divmod(output, tiling.lanes.outputs)
    last_tile = ((position * tiling.rows + row + 1) * tiling.columns - 1) * tiling.phases
    return paced(last_tile + output_latency(tiling) + element)


def needed_words(tiling: Tiling) -> tuple[Cycles, Cycles]:
    """(word of the image, when it is read first) of all visits of a position's first row of tiles.

    A visit needs the words before that one, too.  Where it sees zeros only, it needs none.
    """
    geometry, wide = tiling.geometry, tiling.lanes.inputs
    down, across = geometry.places
    y = np.arange(down)[:, None] * geometry.stride[0] + np.arange(geometry.kernel[0])
    y = (y - geometry.padding[0])[:, None, :, None]
    x = np.arange(across) * geometry.stride[1] - geometry.padding[1]
    first = x[:, None] * geometry.channels + np.arange(tiling.parts) * wide
    word = (first + wide - tiling.granule) // wide
    word = np.minimum(word, tiling.row_words - 1)[None, :, None, :]
    used = (y >= 0) & (y < geometry.image[0]) & (word >= 0)
    position = np.arange(geometry.positions).reshape(down, across, 1, 1)
    columns = geometry.kernel[0] * tiling.parts  # the others see nothing
    column = np.arange(columns).reshape(geometry.kernel[0], tiling.parts)
    time = position * tiling.position_cycles + column * tiling.phases
    found = np.broadcast_arrays(y * tiling.row_words + word, time, used)
    return found[0][found[2]], found[1][found[2]]


def rows_done(tiling: Tiling) -> tuple[Cycles, Cycles]:
    """(rows of the image done with, cycle of the last read) for each row of places.

    Rows that no place covers are done with together with those above them.
    """
    geometry = tiling.geometry
    down, across = geometry.places
    rows = np.array([geometry.rows_done(place) for place in range(down)])
    ends = (np.arange(down) + 1) * across * tiling.position_cycles - 1
    return np.diff(rows, prepend=0), ends


def unawaited_words(tiling: Tiling, threshold: int) -> tuple[int, int]:
    """How many words can still be to come when they are done with: (at any time, of an image).

    No tile waits for what no window covers, right of the last place or below it.  The rows of such
    words are done with at the end of a row of places, and images at that of a slot, whether they
    have arrived or not; a slot starts with `threshold` words.
    """
    words, times = needed_words(tiling)
    rows, ends = rows_done(tiling)
    known = np.maximum.accumulate(words)[np.searchsorted(times, ends, side="right") - 1] + 1
    missing = np.cumsum(rows) * tiling.row_words - np.maximum(known, threshold)
    return max(0, int(missing.max())), max(0, int(missing[-1]))


def _finished_words(tiling: Tiling) -> Cycles:
    """Issue of the tile that completes each word of dx, or is counted as doing so.

    The first of the rows that end with a row of places is counted word by word, or position by
    position; the rest of them at the end, those that no place covers, too.
    Shape [image height, row words].
    """
    geometry, bounds = tiling.geometry, [0]
    down, across = geometry.places
    turn = 1 if tiling.phases > 1 else 0
    found = np.zeros((geometry.image[0], tiling.row_words), np.int64)
    places = np.arange(across) + 1
    frontier = (places * geometry.stride[1] - geometry.padding[1]) * geometry.channels
    words = np.clip(frontier // tiling.lanes.inputs, 0, tiling.row_words)
    words[-1] = tiling.row_words
    for place in range(down):
        bounds.append(geometry.rows_done(place))
        rows = slice(bounds[-2], bounds[-1])
        ends = ((place * across + places) * tiling.tiles - 1) * tiling.phases + turn
        found[rows] = ends[-1]
        if rows.stop == rows.start:
            continue
        if counts_words(tiling):
            visits = (place + 1) * tiling.tiles - tiling.columns + np.arange(tiling.parts)
            found[rows.start, : tiling.parts] = visits * tiling.phases + turn
        else:
            at = np.searchsorted(words, np.arange(tiling.row_words), side="right")
            found[rows.start] = ends[at]
    return found


def counts_words(tiling: Tiling) -> bool:
    """Whether dx is counted word by word: the only position of a row sees the first row first."""
    return tiling.geometry.places[1] == 1 and tiling.geometry.padding == (0, 0)


def gradient_offsets(tiling: Tiling) -> Cycles:
    """When each element of the input gradient leaves; shape [inputs]."""
    summed = TO_PRODUCT + tree_latency(tiling.lanes.outputs) + TURN + SUM
    latency = summed + ROUND + NARROW + FETCH + QUEUE
    word = np.arange(tiling.geometry.row_inputs) // tiling.lanes.inputs
    return paced(_finished_words(tiling)[:, word].ravel() + latency)


def weight_writes(tiling: Tiling) -> Cycles:
    """When the new words of each tile stand at the memory's write port; shape [tiles]."""
    last = (tiling.geometry.positions - 1) * tiling.position_cycles
    moved = tiling.phases - 1 + MOVED + tiling.move_turns - 1
    return last + np.arange(tiling.tiles) * tiling.phases + moved


def rest(tiling: Tiling) -> int:
    """Cycles between two slots, so that no tile is visited before its new words are written.

    Its last visit in a slot and the first one in the next are a walk over all tiles apart, if
    nothing lies between.  Where that is too short there are no turns (`Tiling.movers`).
    """
    return max(0, MOVED + tiling.phases - ISSUE - tiling.position_cycles)


def tile_revisits(tiling: Tiling) -> int:
    """The fewest cycles between two visits of a tile."""
    alone = tiling.geometry.positions == 1  # it comes again in the next slot
    return tiling.position_cycles + (rest(tiling) if alone else 0)


def gradient_revisits(tiling: Tiling) -> int:
    """The fewest cycles between two visits of a granule of the input, but for its first one.

    Two rows of places, beyond the image's borders, show all of it: others repeat them.
    """
    geometry = tiling.geometry
    if geometry.positions == 1 and tiling.rows == 1:
        return tile_revisits(tiling)
    down, across = min(2, geometry.places[0]), geometry.places[1]
    shape = (down, across, tiling.rows, geometry.kernel[0], tiling.parts, tiling.banks)
    row, place, _, kernel_row, part, index = np.indices(shape).reshape(len(shape), -1)
    times = np.arange(math.prod(shape[:-1])).repeat(tiling.banks) * tiling.phases
    first = (place * geometry.stride[1] - geometry.padding[1]) * geometry.channels
    granule = first // tiling.granule + part * tiling.banks + index
    image_row = row * geometry.stride[0] + kernel_row
    order = np.lexsort((times, granule, image_row))
    again = (np.diff(granule[order]) == 0) & (np.diff(image_row[order]) == 0)
    return int(np.diff(times[order])[again].min(initial=tile_revisits(tiling)))


def first_of_words(times: Cycles, rows: int, lanes: int) -> Cycles:
    """Time of the first element of each word, of `rows` rows that begin a word each."""
    found: Cycles = times.reshape(rows, -1)[:, ::lanes].ravel()
    return found


def last_of_words(times: Cycles, rows: int, lanes: int) -> Cycles:
    """Time of the last element of each word, of `rows` rows that begin a word each."""
    lines = times.reshape(rows, -1)
    length = lines.shape[1]
    ends = np.minimum(np.arange(lanes, length + lanes, lanes), length) - 1
    found: Cycles = lines[:, ends].ravel()
    return found


def occupancy(fills: Cycles, drains: Cycles, interval: int, amounts: Cycles | None = None) -> int:
    """The most that is held at once where every token fills and drains at the given cycles.

    ``fills`` [n]: when one place is taken; ``drains`` [m]: when ``amounts`` [m] places (default:
    one each, n in all) can be taken again; both are of one token, and others follow every
    `interval` cycles.  In the steady state, which holds most, each phase of an interval sees as
    many fills and drains as tokens have passed it, so that the time is the same for every depth.
    """
    each = np.ones(len(drains), np.int64) if amounts is None else amounts
    if each.sum() != len(fills):
        raise ValueError(f"{len(fills)} places are taken, but {each.sum()} are given back")
    filled, phases = np.divmod(fills, interval)
    drained, ends = np.divmod(drains, interval)
    # Both rise but for a few steps back, which a stable sort makes use of.
    phases, order = np.sort(phases, kind="stable"), np.argsort(ends, kind="stable")
    behind = np.append(0, np.cumsum(each[order]))
    taken = np.searchsorted(phases, phases, side="right")  # in this interval, up to each phase
    freed = behind[np.searchsorted(ends[order], phases, side="right")]
    return int((each * drained).sum() - filled.sum() + (taken - freed).max())


def slot_bound(tiling: Tiling) -> int:
    """Shortest interval of one unit.

    Its walk and its rest before the next one; and the stream borders, one element a cycle.
    """
    return max(tiling.cycles + rest(tiling), tiling.geometry.inputs, tiling.geometry.elements)


def can_be(tiling: Tiling) -> bool:
    """Whether a row of tiles takes as long as the output stream needs for what it makes."""
    alone = tiling.rows == 1 and tiling.geometry.positions == 1
    return alone or tiling.row_cycles >= tiling.lanes.outputs
