"""The tile walk visits every tile in order, keeps the interval, waits no longer than it must."""

from __future__ import annotations

import random
from itertools import product

import pytest

from counterflow.design.units.latency import BEGIN
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import rest, slot_bound
from counterflow.sim.shapes import random_geometry, random_lanes
from tests.thinned import combined
from tests.visits import (
    CONDITIONS,
    IMAGES,
    LAYERS,
    Columns,
    Visit,
    always_open,
    driven,
    seen_by,
    stage_of,
    visits,
)

FLAGS = [f"{end}_{what}" for what in ("row", "column", "part") for end in ("first", "last")]
FLAGS += [f"{end}_{what}" for what in ("across", "down") for end in ("first", "last")]
STROBES = ["row_begin", "line_end", "row_end", "place_down", "finish"]
NUMBERS = ["tile", "kernel_row", "part", "offset", "shift", "inside", "rows_done", "words_done"]
OUTPUTS = ("issue", "stalled", "column", "phase", *FLAGS, *STROBES, *NUMBERS, "idle")


def needs(stage: Stage, where: Visit) -> int:
    """Words of the image that must have arrived for a visit."""
    tiling = stage.tiling
    y, granules = seen_by(stage, where)
    last = min(granules[-1] // tiling.banks, tiling.row_words - 1)
    inside = 0 <= y < tiling.geometry.image[0] and last >= 0
    return y * tiling.row_words + last + 1 if inside else 0


def lacking(stage: Stage, where: Visit, now: dict[str, int]) -> set[str]:
    """The conditions that keep the walk from a visit in this cycle."""
    gone: set[str] = set()
    if where.phase:
        return gone  # a tile once begun is finished
    start = not any(where)
    if start and now["hold"]:
        gone.add("hold")
    row_starts = where.kernel_row == where.part == 0
    if now["words"] < (stage.threshold if start else needs(stage, where)):
        gone.add("words")
    if row_starts and now["returning"] and not now["error_ready"]:
        gone.add("error_ready")
    if row_starts and not now["row_room"]:
        gone.add("row_room")
    begins_line = row_starts and where.row == where.across == 0
    if begins_line and now["returning"] and not now["line_room"]:
        gone.add("line_room")
    return gone


def outputs(stage: Stage, where: Visit, issue: bool, due: bool) -> tuple[int, ...]:
    """OUTPUTS in the cycle of a visit, issued or waited for."""
    tiling, geometry = stage.tiling, stage.tiling.geometry
    column = where.kernel_row * tiling.parts + where.part
    values = (where.row, column, where.part, where.across, where.down)
    counts = (tiling.rows, tiling.columns, tiling.parts, geometry.places[1], geometry.places[0])
    ends = [(value == 0, value == count - 1) for value, count in zip(values, counts, strict=True)]
    row, columns, part, across, down = (last for _, last in ends)
    done = issue and where.phase == tiling.phases - 1
    placed = done and columns and row and across
    y, granules = seen_by(stage, where)
    offset, shift = divmod(granules[0], tiling.banks)
    rows = geometry.rows_done(where.down)
    rows -= geometry.rows_done(where.down - 1) if where.down else 0
    return (
        issue,
        due and not issue,
        column,
        where.phase,
        *(flag for pair in ends for flag in pair),
        issue and column == where.phase == 0,
        done and part,
        done and columns,
        placed,
        placed and down,
        where.row * tiling.columns + column,
        where.kernel_row,
        where.part,
        offset,
        shift,
        0 <= y < geometry.image[0],
        rows,
        rows * tiling.row_words,
        not any(where),
    )


def expected(stage: Stage, interval: int, columns: Columns) -> list[tuple[int, ...]]:
    """OUTPUTS in each cycle, by a second derivation."""
    order = visits(stage)
    place, earliest, between = 0, 0, rest(stage.tiling)
    rows: list[tuple[int, ...]] = []
    for cycle, values in enumerate(zip(*columns.values(), strict=True)):
        now = dict(zip(columns, values, strict=True))
        due = place > 0 or cycle >= earliest
        issue = due and not lacking(stage, order[place], now)
        rows.append(outputs(stage, order[place], issue, due))
        if issue and place == 0:
            earliest = cycle + interval
        if issue and place == len(order) - 1:
            earliest = max(earliest, cycle + 1 + between)
        place = (place + issue) % len(order)
    return rows


def walked(stage: Stage, interval: int, columns: Columns) -> list[tuple[int, ...]]:
    """OUTPUTS in each cycle, of the hardware, once it stands at its first tile.

    Words are counted a cycle ahead, for a first tile as if an image had just been done with.
    """
    later = {name: [0] * BEGIN + values for name, values in columns.items()}
    ends = OUTPUTS.index("finish")
    image = stage.tiling.image_words
    gone = [image, *(image * row[ends] for row in expected(stage, interval, columns))]
    ahead = [words + more for words, more in zip(columns["words"], gone, strict=False)]
    arriving = [int(words > 0) for words in ahead]  # the last of them in this very cycle
    now = [words - new for words, new in zip(ahead, arriving, strict=True)]
    before = [0] * (BEGIN - 1)
    later |= {"words": [*before, *now, 0], "word": [*before, *arriving, 0]}
    return driven(stage, interval, later, OUTPUTS)[BEGIN:]


@pytest.mark.parametrize(("slack", "name"), combined([0, 1, 7], LAYERS, every=3))
def test_tiles_come_row_by_row_and_slots_one_interval_apart_without_other_gaps(
    slack: int, name: str
) -> None:
    stage = stage_of(LAYERS[name])
    interval = stage.cycles + rest(stage.tiling) + slack
    seen = walked(stage, interval, always_open(stage, 4 * interval))
    order = visits(stage)
    for cycle, row in enumerate(seen):
        slot_cycle = cycle % interval
        assert row[0] == (slot_cycle < len(order)), f"cycle {cycle}"
        assert not row[1]
        if row[0]:
            assert row == outputs(stage, order[slot_cycle], True, True)


def random_conditions(stage: Stage, cycles: int, source: random.Random) -> Columns:
    columns = {name: [int(source.random() < 0.7) for _ in range(cycles)] for name in CONDITIONS}
    words = [source.randint(0, 2 * stage.tiling.image_words) for _ in range(cycles)]
    return columns | {"words": words, "hold": [int(not bit) for bit in columns["hold"]]}


@pytest.mark.parametrize(("seed", "name"), combined(range(3), LAYERS, every=3))
def test_every_output_is_as_derived_under_random_conditions(seed: int, name: str) -> None:
    stage, source = stage_of(LAYERS[name]), random.Random(seed)
    interval = stage.cycles + 2 * seed
    columns = random_conditions(stage, 400, source)
    assert walked(stage, interval, columns) == expected(stage, interval, columns)


@pytest.mark.parametrize("name", IMAGES)
def test_every_output_is_as_derived_for_images_of_all_shapes(name: str) -> None:
    """More than one slot without a wait, and some cycles of random conditions."""
    stage = stage_of(IMAGES[name])
    interval = stage.cycles + rest(stage.tiling) + 3
    columns = always_open(stage, interval + stage.cycles // 3)
    noise = random_conditions(stage, 300, random.Random(5))
    columns = {condition: columns[condition] + noise[condition] for condition in CONDITIONS}
    assert walked(stage, interval, columns) == expected(stage, interval, columns)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [*range(20), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(20, 60))]
)
def test_every_output_is_as_derived_for_images_of_random_shapes(seed: int) -> None:
    geometry = random_geometry(seed)
    stage = stage_of((geometry, random_lanes(geometry, seed)))
    columns = always_open(stage, stage.cycles + 20)
    assert walked(stage, stage.cycles, columns) == expected(stage, stage.cycles, columns)


@pytest.mark.parametrize(
    ("name", "layer"),
    combined([name for name in CONDITIONS if name != "returning"], LAYERS, every=2),
)
def test_a_condition_holds_the_walk_as_long_as_it_lasts_and_only_where_it_is_needed(
    name: str, layer: str
) -> None:
    """Slot after slot, the condition fails for some cycles from each place of the slot on."""
    stage = stage_of(LAYERS[layer])
    order = visits(stage)
    interval = len(order) + rest(stage.tiling) + 4
    bad = int(name == "hold")
    now = {one: values[0] for one, values in always_open(stage, 1).items()} | {name: bad}
    needed = [place for place, where in enumerate(order) if lacking(stage, where, now)]
    assert needed
    columns = always_open(stage, 2 * (interval + 4) * len(order))
    issued: list[int] = []
    stalled: list[int] = []
    begin = 0  # the cycle in which the slot is due
    for place, length in product(range(len(order)), (1, 3)):
        window = range(place, place + length)
        columns[name][begin + place : begin + place + length] = [bad] * length
        first = next((n for n in window if n in needed), place + length)
        lost = range(first, place + length)
        issued += [begin + n for n in range(len(order) + len(lost)) if n not in lost]
        stalled += [begin + n for n in lost]
        begin = issued[-len(order)] + interval
    seen = walked(stage, interval, columns)[:begin]
    assert [cycle for cycle, row in enumerate(seen) if row[0]] == issued
    assert [cycle for cycle, row in enumerate(seen) if row[1]] == stalled


@pytest.mark.parametrize("name", LAYERS)
def test_a_slot_without_a_returning_token_needs_neither_gradient_nor_room_for_one(
    name: str,
) -> None:
    stage = stage_of(LAYERS[name])
    interval = stage.cycles + rest(stage.tiling)
    columns = always_open(stage, 3 * interval)
    for condition in ("returning", "error_ready", "line_room"):
        columns[condition] = [0] * len(columns[condition])
    seen = walked(stage, interval, columns)
    assert [row[0] for row in seen] == [n % interval < stage.cycles for n in range(len(seen))]


@pytest.mark.parametrize("name", LAYERS)
def test_a_slot_that_waited_is_followed_as_soon_as_can_be_by_the_one_that_is_overdue(
    name: str,
) -> None:
    """The interval counts from a slot's start: the next gap gives back what a slot loses.

    But no tile is visited again before its new words have been written.
    """
    stage = stage_of(LAYERS[name])
    between = rest(stage.tiling)
    interval, lost = stage.cycles + between + 3, 8
    columns = always_open(stage, 4 * interval)
    last_row = stage.cycles - stage.tiling.row_cycles
    for cycle in range(last_row, last_row + lost):
        columns["row_room"][cycle] = 0
    seen = walked(stage, interval, columns)
    idle = OUTPUTS.index("idle")
    starts = [cycle for cycle, row in enumerate(seen) if row[0] and row[idle]]
    if last_row:
        second = stage.cycles + lost + between
        assert starts[:3] == [0, second, second + interval]
    else:
        assert starts[:2] == [lost, lost + interval]


def test_folds_with_and_without_a_rest_between_slots_are_tried() -> None:
    tilings = [stage_of(layer).tiling for layer in LAYERS.values()]
    assert {rest(tiling) > 0 for tiling in tilings} == {False, True}
    assert all(slot_bound(tiling) >= tiling.cycles + rest(tiling) for tiling in tilings)
