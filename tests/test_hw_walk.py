"""The tile walk visits every tile in order, keeps the interval, waits no longer than it must."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache
from itertools import product

import pytest

from counterflow.description import Description
from counterflow.planner import plan
from counterflow.schedule import Stage
from hw.walk import Walk
from sim.streams import respond

CONDITIONS = ("words", "returning", "error_ready", "row_room", "word_room", "hold")
OUTPUTS = (
    "issue",
    "stalled",
    "row",
    "column",
    "phase",
    "tile",
    "first_row",
    "last_row",
    "first_column",
    "last_column",
    "row_begin",
    "row_end",
    "finish",
    "idle",
)
# Lanes of a layer of 5 inputs and 4 outputs: outputs, inputs, shared.
FOLDS = ((2, 2, False), (1, 2, True), (4, 1, False), (1, 5, False), (4, 5, False), (4, 5, True))
Columns = dict[str, list[int]]


@lru_cache
def stage_of(fold: tuple[int, int, bool]) -> Stage:
    """The second unit of a small network; its slot may start with the second word."""
    high, wide, shared = fold
    lanes = {"outputs": high, "inputs": wide, "shared": shared}
    description = Description.model_validate(
        {
            "name": "walk",
            "inputs": 6,
            "layers": [{"outputs": 5}, {"outputs": 4, "activation": "none"}],
            "fold": {"lanes": [{"outputs": 1, "inputs": 1}, lanes]},
        }
    )
    stage = plan(description).schedule.stages[1]
    return replace(stage, threshold=min(2, stage.tiling.columns))


def positions(stage: Stage) -> list[tuple[int, int, int]]:
    """(row, column, phase) in the order of the walk."""
    tiling = stage.tiling
    return list(product(range(tiling.rows), range(tiling.columns), range(tiling.phases)))


def lacking(stage: Stage, where: tuple[int, int, int], now: dict[str, int]) -> set[str]:
    """The conditions that keep the walk from a position in this cycle."""
    row, column, phase = where
    if phase:
        return set()  # a tile once begun is finished
    last, gone = row == stage.tiling.rows - 1, set()
    if row == 0 and now["words"] <= (stage.threshold - 1 if column == 0 else column):
        gone.add("words")
    if row == 0 and column == 0 and now["hold"]:
        gone.add("hold")
    if column == 0 and now["returning"] and not now["error_ready"]:
        gone.add("error_ready")
    if column == 0 and not now["row_room"]:
        gone.add("row_room")
    if last and now["returning"] and not now["word_room"]:
        gone.add("word_room")
    return gone


def expected(stage: Stage, interval: int, columns: Columns) -> list[tuple[int, ...]]:
    """OUTPUTS in each cycle, by a second derivation."""
    order, tiling = positions(stage), stage.tiling
    place, earliest = 0, 0
    rows: list[tuple[int, ...]] = []
    for cycle, values in enumerate(zip(*columns.values(), strict=True)):
        now = dict(zip(columns, values, strict=True))
        row, column, phase = order[place]
        due = place > 0 or cycle >= earliest
        issue = due and not lacking(stage, order[place], now)
        last = phase == tiling.phases - 1
        ends = (row == 0, row == tiling.rows - 1, column == 0, column == tiling.columns - 1)
        rows.append(
            (
                issue,
                due and not issue,
                row,
                column,
                phase,
                row * tiling.columns + column,
                *ends,
                issue and ends[2] and phase == 0,
                issue and ends[3] and last,
                issue and ends[3] and last and ends[1],
                place == 0,
            )
        )
        if issue and place == 0:
            earliest = cycle + interval
        place = (place + issue) % len(order)
    return rows


def always_open(stage: Stage, cycles: int) -> Columns:
    """Nothing ever keeps the walk waiting, and a token comes back in every slot."""
    columns = {name: [1] * cycles for name in CONDITIONS}
    return columns | {"words": [stage.tiling.columns] * cycles, "hold": [0] * cycles}


def walked(stage: Stage, interval: int, columns: Columns) -> list[tuple[int, ...]]:
    """OUTPUTS in each cycle, of the hardware."""
    return respond(Walk(stage=stage, interval=interval), columns, OUTPUTS)


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("slack", [0, 1, 7])
def test_tiles_come_row_by_row_and_slots_one_interval_apart_without_other_gaps(
    slack: int, fold: tuple[int, int, bool]
) -> None:
    stage = stage_of(fold)
    interval = stage.cycles + slack
    seen = walked(stage, interval, always_open(stage, 4 * interval))
    order = positions(stage)
    for cycle, row in enumerate(seen):
        slot_cycle = cycle % interval
        assert row[0] == (slot_cycle < len(order)), f"cycle {cycle}"
        if row[0]:
            assert row[2:5] == order[slot_cycle]
        assert not row[1]


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("seed", range(3))
def test_every_output_is_as_derived_under_random_conditions(
    seed: int, fold: tuple[int, int, bool]
) -> None:
    stage, source = stage_of(fold), random.Random(seed)
    interval, cycles = stage.cycles + 2 * seed, 400
    columns = {name: [int(source.random() < 0.7) for _ in range(cycles)] for name in CONDITIONS}
    words = [source.randint(0, 2 * stage.tiling.columns) for _ in range(cycles)]
    columns |= {"words": words, "hold": [int(not bit) for bit in columns["hold"]]}
    assert walked(stage, interval, columns) == expected(stage, interval, columns)


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("name", [name for name in CONDITIONS if name != "returning"])
def test_a_condition_holds_the_walk_as_long_as_it_lasts_and_only_where_it_is_needed(
    name: str, fold: tuple[int, int, bool]
) -> None:
    """Slot after slot, the condition fails for some cycles from each place of the slot on."""
    stage = stage_of(fold)
    order = positions(stage)
    interval = len(order) + 4
    bad = int(name == "hold")
    now = {one: values[0] for one, values in always_open(stage, 1).items()} | {name: bad}
    needs = [place for place, where in enumerate(order) if lacking(stage, where, now)]
    assert needs
    columns = always_open(stage, 2 * (interval + 4) * len(order))
    issued: list[int] = []
    stalled: list[int] = []
    begin = 0  # the cycle in which the slot is due
    for place, length in product(range(len(order)), (1, 3)):
        window = range(place, place + length)
        columns[name][begin + place : begin + place + length] = [bad] * length
        first = next((n for n in window if n in needs), place + length)
        lost = range(first, place + length)
        issued += [begin + n for n in range(len(order) + len(lost)) if n not in lost]
        stalled += [begin + n for n in lost]
        begin = issued[-len(order)] + interval
    seen = walked(stage, interval, columns)[:begin]
    assert [cycle for cycle, row in enumerate(seen) if row[0]] == issued
    assert [cycle for cycle, row in enumerate(seen) if row[1]] == stalled


@pytest.mark.parametrize("fold", FOLDS)
def test_a_slot_without_a_returning_token_needs_neither_gradient_nor_room_for_one(
    fold: tuple[int, int, bool],
) -> None:
    stage = stage_of(fold)
    columns = always_open(stage, 3 * stage.cycles)
    for name in ("returning", "error_ready", "word_room"):
        columns[name] = [0] * len(columns[name])
    assert all(row[0] for row in walked(stage, stage.cycles, columns))


@pytest.mark.parametrize("fold", FOLDS)
def test_a_slot_that_waited_is_followed_at_once_by_the_one_that_is_overdue(
    fold: tuple[int, int, bool],
) -> None:
    """The interval counts from a slot's start: the next gap gives back what a slot loses."""
    stage = stage_of(fold)
    interval, lost = stage.cycles + 3, 8
    columns = always_open(stage, 4 * interval)
    last_row = (stage.tiling.rows - 1) * stage.tiling.row_cycles
    for cycle in range(last_row, last_row + lost):
        columns["row_room"][cycle] = 0
    seen = walked(stage, interval, columns)
    starts = [cycle for cycle, row in enumerate(seen) if row[0] and row[2:5] == (0, 0, 0)]
    if last_row:
        assert starts[:3] == [0, stage.cycles + lost, stage.cycles + lost + interval]
    else:
        assert starts[:2] == [lost, lost + interval]
