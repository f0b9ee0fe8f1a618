"""When a unit does what, against a walk over all its visits, one after the other."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from counterflow.design.units import timing
from counterflow.design.units.latency import (
    BIASED,
    FETCH,
    ISSUE,
    NARROW,
    OPERANDS,
    PRODUCT,
    QUEUE,
    ROUND,
    SUM,
    TURN,
    UPDATE,
    tree_latency,
)
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import (
    first_of_words,
    gradient_offsets,
    gradient_revisits,
    last_of_words,
    needed_words,
    occupancy,
    output_offsets,
    paced,
    row_queue,
    row_starts,
    rows_done,
    slot_bound,
    steady,
    unawaited_words,
    weight_writes,
)
from counterflow.sim.shapes import tilings

TILINGS = tilings(160)
SEEDS = range(40)


def name_of(tiling: Tiling) -> str:
    shape, lanes = tiling.geometry, tiling.lanes
    parts = [shape.image, (shape.outputs,), shape.kernel, shape.stride, shape.padding]
    text = " ".join("x".join(map(str, part)) for part in parts)
    shared, first = " shared" * lanes.shared, " first" * tiling.first
    return f"{text} on {lanes.outputs}x{lanes.inputs}{shared}{first}"


every = pytest.mark.parametrize("tiling", TILINGS, ids=name_of)


def visits(tiling: Tiling) -> list[tuple[int, int, int, int]]:
    """(cycle, position, row, column) of every visit of a tile, in order."""
    found, cycle = [], 0
    for position in range(tiling.geometry.positions):
        for row in range(tiling.rows):
            for column in range(tiling.columns):
                found.append((cycle, position, row, column))
                cycle += tiling.phases
    assert cycle == tiling.cycles
    return found


def serialised(ready: list[int]) -> list[int]:
    """When the elements of a queue leave it, one a cycle."""
    leaving: list[int] = []
    for cycle in ready:
        leaving.append(max(cycle, leaving[-1] + 1) if leaving else cycle)
    return leaving


def last_visits(tiling: Tiling) -> list[int | None]:
    """Cycle of the last visit that adds to each element of dx; None where no visit does."""
    found: list[int | None] = [None] * tiling.geometry.inputs
    for cycle, position, _, column in visits(tiling):
        for tap in np.flatnonzero(tiling.column_of == column):
            element = tiling.geometry.covered[position, tap]
            if element >= 0:
                found[element] = cycle
    return found


def granules_visited(tiling: Tiling) -> list[tuple[int, set[int]]]:
    """(cycle, the granules of the image that its taps see) of every visit of a tile."""
    covered, row = tiling.geometry.covered, tiling.geometry.row_inputs
    found = []
    for cycle, position, _, column in visits(tiling):
        seen = covered[position, np.flatnonzero(tiling.column_of == column)]
        seen = seen[seen >= 0]
        found.append((cycle, set((seen // row * row + seen % row // tiling.granule).tolist())))
    return found


@every
def test_a_granule_is_not_visited_again_before_its_sum_is_said_to_be(tiling: Tiling) -> None:
    latest: dict[int, int] = {}
    for cycle, granules in granules_visited(tiling):
        again = [cycle - latest[granule] for granule in granules & latest.keys()]
        assert all(cycles >= gradient_revisits(tiling) for cycles in again)
        latest |= dict.fromkeys(granules, cycle)


def test_most_folds_leave_time_between_the_visits_of_a_granule() -> None:
    found = [gradient_revisits(tiling) for tiling in TILINGS]
    assert min(found) == 1
    assert sum(cycles > 1 for cycles in found) > len(found) / 2


# ---- one unit ----------------------------------------------------------------------------------


@every
def test_outputs_leave_once_the_last_tile_of_their_row_is_summed(tiling: Tiling) -> None:
    latency = ISSUE + OPERANDS + PRODUCT + tree_latency(tiling.lanes.inputs)
    latency += SUM + BIASED + QUEUE
    ready = []
    for cycle, _, row, column in visits(tiling):
        if column == tiling.columns - 1:
            left = tiling.outputs - row * tiling.lanes.outputs
            ready += [cycle + latency] * min(tiling.lanes.outputs, left)
    assert output_offsets(tiling).tolist() == serialised(ready)


@every
def test_rows_of_tiles_start_one_after_the_other(tiling: Tiling) -> None:
    starts = [cycle for cycle, _, _, column in visits(tiling) if column == 0]
    assert row_starts(tiling).tolist() == starts


@every
def test_a_row_that_reserves_its_place_in_the_output_queue_never_waits(tiling: Tiling) -> None:
    """Over three slots without a gap: a place is free again when the row's last output has left."""
    starts, interval = row_starts(tiling), slot_bound(tiling)
    ends = np.arange(tiling.rows) * tiling.lanes.outputs + tiling.lanes.outputs - 1
    outputs = output_offsets(tiling).reshape(-1, tiling.outputs)
    freed = outputs[:, np.minimum(ends, tiling.outputs - 1)].ravel() + 1
    shifts = np.arange(3)[:, None] * interval
    begin, end = (starts + shifts).ravel(), (freed + shifts).ravel()
    for number, cycle in enumerate(begin):
        assert number + 1 - np.count_nonzero(end[:number] <= cycle) <= row_queue(tiling)


@every
def test_a_visit_needs_the_words_that_its_granules_lie_in(tiling: Tiling) -> None:
    """Up to the end of the image's row; the zeros above, below and left of it lie in no word."""
    geometry, wide = tiling.geometry, tiling.lanes.inputs
    expected: dict[int, int] = {}
    for cycle, position, row, column in visits(tiling):
        down, across = divmod(position, geometry.places[1])
        line, part = divmod(column, tiling.parts)
        y = down * geometry.stride[0] - geometry.padding[0] + line
        x = across * geometry.stride[1] - geometry.padding[1]
        if row or line >= geometry.kernel[0] or not 0 <= y < geometry.image[0]:
            continue
        begins = x * geometry.channels + part * wide
        words = {(begins + g) // wide for g in range(0, wide, tiling.granule)}
        if max(words) >= 0:
            expected[cycle] = y * tiling.row_words + min(max(words), tiling.row_words - 1)
    words, times = needed_words(tiling)
    assert dict(zip(times.tolist(), words.tolist(), strict=True)) == expected


@every
def test_no_visit_sees_an_element_whose_word_it_does_not_need(tiling: Tiling) -> None:
    geometry = tiling.geometry
    needed = dict(zip(*(found.tolist() for found in needed_words(tiling)[::-1]), strict=True))
    for cycle, position, row, column in visits(tiling):
        taps = np.flatnonzero(tiling.column_of == column)
        seen = geometry.covered[position, taps]
        seen = seen[seen >= 0]
        if row == 0 and len(seen):
            y, within = divmod(int(seen.max()), geometry.row_inputs)
            assert needed[cycle] >= y * tiling.row_words + within // tiling.lanes.inputs


@every
def test_rows_of_the_image_are_done_with_at_the_end_of_the_last_places_that_see_them(
    tiling: Tiling,
) -> None:
    """Rows that none sees are done with those above them, at the bottom at the very end."""
    geometry = tiling.geometry
    line = tiling.cycles // geometry.places[0]
    expected, last = [0] * geometry.places[0], 0
    for y in range(geometry.image[0]):
        inside = (geometry.covered // geometry.row_inputs == y) & (geometry.covered >= 0)
        seen = np.flatnonzero(inside.any(axis=1)) // geometry.places[1]
        below = geometry.covered // geometry.row_inputs > y
        last = int(seen.max()) if len(seen) else last if below.any() else -1
        expected[last] += 1
    rows, ends = rows_done(tiling)
    assert ends.tolist() == [line * (place + 1) - 1 for place in range(geometry.places[0])]
    assert np.cumsum(rows).tolist() == np.cumsum(expected).tolist()


@every
def test_words_that_are_done_with_before_they_are_needed_are_counted(tiling: Tiling) -> None:
    """Whatever has arrived when a row of places ends, is what its tiles or the start waited for."""
    geometry, done = tiling.geometry, 0
    words, times = needed_words(tiling)
    for threshold in (1, tiling.image_words // 2 + 1, tiling.image_words):
        most, missing = 0, 0
        for place in range(geometry.places[0]):
            end = (place + 1) * tiling.cycles // geometry.places[0]
            known = max([threshold, *(words[times < end] + 1).tolist()])
            done = geometry.rows_done(place) * tiling.row_words
            missing = max(0, done - known)
            most = max(most, missing)
        assert unawaited_words(tiling, threshold) == (most, missing)
    assert unawaited_words(tiling, tiling.image_words) == (0, 0)


def test_some_shapes_are_done_with_words_that_have_not_come() -> None:
    found = {unawaited_words(tiling, 1) for tiling in TILINGS}
    assert {(most > 0, last > 0) for most, last in found} == {(False, False), (True, True)} | {
        (True, False)
    }


@every
def test_input_gradients_leave_in_order_and_after_the_last_visit_that_adds_to_them(
    tiling: Tiling,
) -> None:
    """The product for dx is the second phase of a shared lane; a word is fetched when finished."""
    latency = ISSUE + OPERANDS + PRODUCT + tree_latency(tiling.lanes.outputs) + TURN + SUM
    latency += ROUND + NARROW + FETCH + QUEUE + (1 if tiling.lanes.shared else 0)
    times = gradient_offsets(tiling).tolist()
    assert len(times) == tiling.geometry.inputs
    assert all(a < b for a, b in pairwise(times))
    for time, visit in zip(times, last_visits(tiling), strict=True):
        assert visit is None or time >= visit + latency
    assert times[0] <= tiling.cycles + latency
    assert times[-1] <= times[0] + tiling.cycles + tiling.geometry.inputs


@every
def test_input_gradients_leave_as_soon_as_they_are_counted_and_the_border_is_free(
    tiling: Tiling,
) -> None:
    """Of the rows that end with a row of places the first is counted as the kernel moves on."""
    geometry, wide = tiling.geometry, tiling.lanes.inputs
    latency = ISSUE + OPERANDS + PRODUCT + tree_latency(tiling.lanes.outputs) + TURN + SUM
    latency += ROUND + NARROW + FETCH + QUEUE + (1 if tiling.lanes.shared else 0)
    walk = visits(tiling)
    down, across = geometry.places
    one_by_one = across == 1 and geometry.padding == (0, 0)
    ready, done = [], 0
    for place in range(down):
        ends = [walk[((place * across + p + 1) * tiling.tiles) - 1][0] for p in range(across)]
        for y in range(done, geometry.rows_done(place)):
            for x in range(geometry.row_inputs):
                word, last = x // wide, x // wide == tiling.row_words - 1
                pixel = geometry.image[1] if last else -(-((word + 1) * wide) // geometry.channels)
                cycle = ends[-1]
                if y == done and one_by_one and word < tiling.parts:
                    visit = (place + 1) * tiling.tiles - tiling.columns + word
                    cycle = walk[visit][0]
                elif y == done:
                    passed = [
                        end
                        for p, end in enumerate(ends[:-1])
                        if (p + 1) * geometry.stride[1] - geometry.padding[1] >= pixel
                    ]
                    cycle = passed[0] if passed else ends[-1]
                ready.append(cycle + latency)
        done = geometry.rows_done(place)
    assert gradient_offsets(tiling).tolist() == serialised(ready)


def test_a_word_that_is_fetched_before_it_is_finished_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted at the wrong visit, as where words of kernel and image lie the same."""
    monkeypatch.setattr(timing, "counts_words", lambda tiling: tiling.geometry.places[1] == 1)
    found = set()
    for tiling in TILINGS:
        try:
            test_input_gradients_leave_in_order_and_after_the_last_visit_that_adds_to_them(tiling)
        except (AssertionError, ValueError):
            found.add(tiling.geometry.padding)
    assert found
    assert (0, 0) not in found


@every
def test_weights_are_written_after_their_tiles_visit_at_the_last_position(tiling: Tiling) -> None:
    last = [visit for visit in visits(tiling) if visit[1] == tiling.geometry.positions - 1]
    moved = tiling.phases - 1 + ISSUE + OPERANDS + PRODUCT + UPDATE + tiling.move_turns - 1
    expected = [visit[0] + moved for visit in last]
    assert weight_writes(tiling).tolist() == expected
    again = [slot_bound(tiling) + visit[0] + ISSUE for visit in visits(tiling)[: tiling.tiles]]
    assert all(write < visited for write, visited in zip(expected, again, strict=True))


# ---- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_border_passes_one_element_a_cycle_in_order(seed: int) -> None:
    chance = random.Random(seed)
    ready = [chance.randint(0, 30) for _ in range(chance.randint(1, 20))]
    assert paced(np.array(ready)).tolist() == serialised(ready)


@pytest.mark.parametrize("seed", SEEDS)
def test_tokens_in_the_steady_state_queue_up_behind_each_other(seed: int) -> None:
    """Many tokens through one border: from the second on all leave at the steady times."""
    chance = random.Random(seed)
    length = chance.randint(1, 12)
    times = paced(np.sort(np.array([chance.randint(0, 60) for _ in range(length)])))
    interval = chance.randint(length, 2 * length + 10)
    ready = [int(time) + token * interval for token in range(5) for time in times]
    left = np.array(serialised(ready)).reshape(5, length)
    assert left[0].tolist() == times.tolist()
    found = steady(times, interval)
    for token in range(1, 5):
        assert left[token].tolist() == (found + token * interval).tolist()
    assert found[-1] == times[-1]
    assert np.unique(np.concatenate([found, found + interval])).size == 2 * length


@pytest.mark.parametrize("seed", SEEDS)
def test_words_begin_with_their_first_and_end_with_their_last_element(seed: int) -> None:
    chance = random.Random(seed)
    rows, length, lanes = chance.randint(1, 4), chance.randint(1, 9), chance.randint(1, 9)
    times = np.arange(rows * length) * 3
    words = [
        [line * length + at for at in range(first, min(first + lanes, length))]
        for line in range(rows)
        for first in range(0, length, lanes)
    ]
    assert first_of_words(times, rows, lanes).tolist() == [3 * word[0] for word in words]
    assert last_of_words(times, rows, lanes).tolist() == [3 * word[-1] for word in words]


@pytest.mark.parametrize("seed", SEEDS)
def test_occupancy_is_the_most_that_a_count_in_every_cycle_finds(seed: int) -> None:
    """Token after token until a whole interval brings nothing new."""
    chance = random.Random(seed)
    interval, length = chance.randint(1, 25), chance.randint(1, 12)
    fills = sorted(chance.randint(0, 40) for _ in range(length))
    drains = sorted(max(fills) + chance.randint(1, 80) for _ in range(chance.randint(1, length)))
    amounts = [1] * len(drains)
    for _ in range(length - len(drains)):
        amounts[chance.randrange(len(amounts))] += 1
    changes: Counter[int] = Counter()
    for token in range(200 // interval + 10):
        for cycle in fills:
            changes[cycle + token * interval] += 1
        for cycle, amount in zip(drains, amounts, strict=True):
            changes[cycle + token * interval] -= amount
    held, most = 0, 0
    for cycle in range(200):
        held += changes[cycle]
        most = max(most, held)
    assert occupancy(np.array(fills), np.array(drains), interval, np.array(amounts)) == most
    if len(drains) == length:
        assert occupancy(np.array(fills), np.array(drains), interval) == most
