"""The planner: folds within budget, as fast as promised, at the predicted cost."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.network.description import Description, Fold
from counterflow.design.network.files import load
from counterflow.design.parts.geometry import Geometry
from counterflow.design.schedule.build import build_schedule
from counterflow.design.schedule.folding import SLACK, choices, fold, in_luts
from counterflow.design.schedule.planner import plan
from counterflow.design.units.convolution import Dense
from counterflow.design.units.loss import loss_bound
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import slot_bound

DIGITS = (64, 32, 32, 10)


def network(widths: tuple[int, ...], wanted: Fold) -> Description:
    layers = [Dense(outputs=outputs) for outputs in widths[1:-1]]
    layers.append(Dense(outputs=widths[-1], activation="none"))
    return Description(name="net", inputs=widths[0], layers=tuple(layers), fold=wanted)


def some_widths() -> st.SearchStrategy[tuple[int, ...]]:
    sizes = st.lists(st.sampled_from([1, 2, 3, 5, 7, 8, 16, 33, 64]), min_size=1, max_size=4)
    return st.builds(lambda hidden, last: (*hidden, last), sizes, st.integers(2, 12))


def some_tilings() -> st.SearchStrategy[Tiling]:
    @st.composite
    def build(draw: st.DrawFn) -> Tiling:
        outputs, inputs = draw(st.integers(1, 13)), draw(st.integers(1, 13))
        lanes = Lanes(
            outputs=draw(st.integers(1, outputs)),
            inputs=draw(st.integers(1, inputs)),
            shared=draw(st.booleans()),
        )
        return Tiling(Geometry.dense(inputs, outputs), lanes, first=draw(st.booleans()))

    return build()


# ---- tiles -------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(tiling=some_tilings())
def test_tiles_hold_every_weight_once_where_the_docstring_says(tiling: Tiling) -> None:
    high, wide = tiling.lanes.outputs, tiling.lanes.inputs
    matrix = np.arange(1, tiling.outputs * tiling.geometry.taps + 1).reshape(tiling.outputs, -1)
    tiles = tiling.in_tiles(matrix)
    assert tiles.shape == (tiling.tiles, high * wide)
    for (o, i), value in np.ndenumerate(matrix):
        tile = (o // high) * tiling.columns + i // wide
        assert tiling.tile_of[o, i] == tile
        assert tiles[tile, (o % high) * wide + i % wide] == value
    assert np.count_nonzero(tiles) == matrix.size  # the rest is padding
    np.testing.assert_array_equal(tiling.from_tiles(tiles), matrix)
    rows = tiling.in_rows(matrix[:, 0])
    assert rows.shape == (tiling.rows, high)
    np.testing.assert_array_equal(rows.ravel()[: tiling.outputs], matrix[:, 0])
    assert np.count_nonzero(rows) == tiling.outputs


@settings(derandomize=True, deadline=None)
@given(tiling=some_tilings())
def test_cycles_and_multipliers_are_counted_by_walking_the_tiles(tiling: Tiling) -> None:
    """In each cycle each multiplier makes one product, useful where its lane is no padding."""
    kinds = ["forward", "gradient"] if tiling.first else ["forward", "backward", "gradient"]
    lanes = tiling.lanes.outputs * tiling.lanes.inputs
    ones = tiling.in_tiles(np.ones((tiling.outputs, tiling.geometry.taps), np.int64))
    cycles = useful = 0
    for tile in ones:
        for together in [[kind] for kind in kinds] if tiling.lanes.shared else [kinds]:
            cycles += 1
            assert tiling.multipliers == lanes * len(together)
            useful += int(tile.sum()) * len(together)
    assert tiling.cycles == cycles
    assert tiling.useful == useful


# ---- budget and speed --------------------------------------------------------------------------


def test_digits_on_66_multipliers() -> None:
    planned = plan(network(DIGITS, Fold(multipliers=66))).schedule
    assert (planned.multipliers, planned.interval) == (64, 128)
    assert planned.utilisation == 8128 / (64 * 128)  # 2 x 64 x 32 + 3 x 32 x 32 + 3 x 32 x 10


def test_more_multipliers_are_never_slower_and_never_more_than_the_budget() -> None:
    intervals = []
    for budget in range(3, 300):
        planned = plan(network(DIGITS, Fold(multipliers=budget))).schedule
        assert planned.multipliers <= budget
        intervals.append(planned.interval)
    assert all(slower >= faster for slower, faster in pairwise(intervals))
    assert intervals[0] == 2 * 64 * 32  # one shared multiplier makes two products a weight
    assert intervals[-1] == 64  # one input element a cycle


@settings(derandomize=True, max_examples=60, deadline=None)
@given(widths=some_widths(), budgets=st.tuples(st.integers(4, 200), st.integers(4, 200)))
def test_a_larger_budget_is_never_slower(widths: tuple[int, ...], budgets: tuple[int, int]) -> None:
    small, large = (plan(network(widths, Fold(multipliers=b))).schedule for b in sorted(budgets))
    assert large.interval <= small.interval


@settings(derandomize=True, max_examples=60, deadline=None)
@given(widths=some_widths(), budget=st.integers(4, 200))
def test_predicted_utilisation_is_useful_products_over_multipliers_and_cycles(
    widths: tuple[int, ...], budget: int
) -> None:
    planned = plan(network(widths, Fold(multipliers=budget))).schedule
    sizes = [inputs * outputs for inputs, outputs in pairwise(widths)]
    useful = 3 * sum(sizes) - sizes[0]  # the first layer makes no input gradient
    exact = Fraction(useful, planned.multipliers * planned.interval)
    assert planned.utilisation == float(exact)
    assert 0 < exact <= 1
    assert planned.multipliers == sum(stage.tiling.multipliers for stage in planned.stages)


def every_tiling(outputs: int, inputs: int, first: bool) -> list[Tiling]:
    found = []
    for high, wide, shared in product(range(1, outputs + 1), range(1, inputs + 1), (False, True)):
        lanes = Lanes(outputs=high, inputs=wide, shared=shared)
        tiling = Tiling(Geometry.dense(inputs, outputs), lanes, first)
        if tiling.rows == 1 or tiling.row_cycles >= high:
            found.append(tiling)
    return found


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (12, 9), (16, 3), (3, 16)])
@pytest.mark.parametrize("first", [False, True])
def test_the_choices_of_a_layer_are_the_best_of_all_its_tilings(
    shape: tuple[int, int], first: bool
) -> None:
    """Against brute force: for every interval the fewest multipliers that keep up with it."""
    everything = every_tiling(*shape, first)
    best = choices(Geometry.dense(*reversed(shape)), first)
    assert min(slot_bound(t) for t in everything) == best[0][0]
    for interval in range(best[0][0], max(slot_bound(t) for t in everything) + 1):
        fewest = min(t.multipliers for t in everything if slot_bound(t) <= interval)
        chosen = [tiling for bound, tiling in best if bound <= interval][-1]
        assert chosen.multipliers == fewest


@pytest.mark.parametrize("budget", [2, 3, 5, 8, 13, 20, 30, 60])
def test_a_fold_is_the_fastest_in_its_budget_or_idles_less_within_a_tenth_of_it(
    budget: int,
) -> None:
    widths = (9, 12, 5)
    planned = plan(network(widths, Fold(multipliers=budget))).schedule
    floor = loss_bound(widths[-1])
    first, second = every_tiling(12, 9, True), every_tiling(5, 12, False)
    pairs = {
        (a.multipliers + b.multipliers, max(slot_bound(a), slot_bound(b), floor))
        for a in first
        for b in second
        if a.multipliers + b.multipliers <= budget
    }
    fastest = min(interval for _, interval in pairs)
    assert fastest <= planned.interval <= 1.1 * fastest
    idle = planned.multipliers * planned.interval
    assert idle == min(m * i for m, i in pairs if i <= 1.1 * fastest)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(widths=some_widths(), wanted=st.integers(64, 600))
def test_a_target_interval_is_kept_with_the_fewest_multipliers(
    widths: tuple[int, ...], wanted: int
) -> None:
    planned = plan(network(widths, Fold(interval=wanted))).schedule
    assert planned.interval <= wanted
    for index, stage in enumerate(planned.stages):
        offered = choices(stage.tiling.geometry, index == 0)
        keep_up = [t for bound, t in offered if bound <= wanted]
        assert stage.tiling.multipliers == min(t.multipliers for t in keep_up)


def test_lanes_by_hand_are_taken_as_they_are() -> None:
    lanes = (Lanes(outputs=2, inputs=3), Lanes(outputs=4, inputs=1, shared=True))
    description = network((7, 5, 4), Fold(lanes=lanes))
    assert fold(description) == lanes
    assert tuple(stage.tiling.lanes for stage in plan(description).schedule.stages) == lanes


# ---- memory ------------------------------------------------------------------------------------


def test_memory_bits_are_those_of_the_words_that_are_stored() -> None:
    """Formats of the description: x u8.8 and u8.4, w s20.18, u s14.18, errors s10.8."""
    lanes = (Lanes(outputs=2, inputs=3), Lanes(outputs=4, inputs=2))
    planned = plan(network((7, 5, 4), Fold(lanes=lanes)))
    first, second = planned.units
    word = 20 + 14
    assert first.weights == (6 * 9 + 6) * word  # 5 x 7 padded to 6 x 9, and 6 biases
    assert second.weights == (4 * 6 + 4) * word  # 4 x 5 padded to 4 x 6, and 4 biases
    for unit, stage, x in zip(planned.units, planned.schedule.stages, (3 * 8, 2 * 8), strict=True):
        depths, high = stage.depths, stage.tiling.lanes.outputs
        errors = depths.errors * high * 10
        assert unit.stash == depths.stash * x
        assert unit.window == depths.window * x + errors
    first_depths, second_depths = (stage.depths for stage in planned.schedule.stages)
    assert first.sums == 0
    assert second.sums == 6 * planned.schedule.stages[1].arithmetic.backward_sum.bits
    assert first.queues == first_depths.outputs * 2 * (8 + 2)  # a kind of two bits with each
    assert second.queues == second_depths.outputs * 4 * (12 + 2) + second_depths.gradients * 6 * 10
    assert planned.memory_bits == first.memory_bits + second.memory_bits
    for unit in planned.units:
        parts = (unit.weights, unit.stash, unit.window, unit.sums, unit.queues)
        assert unit.memory_bits == sum(parts)


@pytest.mark.parametrize("blocks", [3, 20, 66])
@pytest.mark.parametrize("more", [0, 1, 5, 24, 57])
def test_multipliers_of_luts_join_where_the_blocks_are_used_up(blocks: int, more: int) -> None:
    asked = Fold(multipliers=blocks, lut_multipliers=more)
    schedule = plan(network(DIGITS, asked)).schedule
    tilings = [stage.tiling for stage in schedule.weighted]
    taken = sum(tiling.multipliers for tiling in tilings)
    of_luts = in_luts(tilings, [tiling.lanes for tiling in tilings])
    assert of_luts <= more
    assert taken - of_luts <= blocks
    assert (of_luts > 0) == (taken > blocks)
    without = plan(network(DIGITS, Fold(multipliers=blocks))).schedule
    assert schedule.interval <= without.interval * (1 + SLACK)


# ---- folds that cannot be ----------------------------------------------------------------------


def test_multipliers_of_luts_are_lanes_and_take_no_other_units_blocks() -> None:
    wanted = load("tiny-res")
    few = wanted.other_multipliers - 1
    fold = Fold(multipliers=few, lut_multipliers=1000)
    with pytest.raises(ValueError, match=f"fold.multipliers is {few}, but tiny-res needs at least"):
        plan(wanted.model_copy(update={"fold": fold}))


@pytest.mark.parametrize(
    ("widths", "wanted", "message"),
    [
        (
            DIGITS,
            Fold(multipliers=2),
            "fold.multipliers is 2, but net needs at least 3 (one a unit)",
        ),
        (DIGITS, Fold(interval=63), "fold.interval is 63 cycles, but net needs at least 64"),
        ((4, 3, 40), Fold(interval=133), "fold.interval is 133 cycles, but net needs at least 134"),
        (
            DIGITS,
            Fold(multipliers=66, interval=100),
            "66 multipliers give an interval of 128 cycles, but fold.interval asks for at most 100",
        ),
        (
            DIGITS,
            Fold(multipliers=66, memory=1000),
            "fold.memory is 1000 bits, but net needs ",
        ),
        (
            (4, 3, 2),
            Fold(lanes=(Lanes(outputs=1, inputs=5), Lanes(outputs=1, inputs=1))),
            "layers[0] is folded to 1x5 lanes but has only 3 outputs and 4 inputs",
        ),
        (
            (4, 3, 2),
            Fold(lanes=(Lanes(outputs=1, inputs=4), Lanes(outputs=3, inputs=1))),
            "layers[1] is folded to 3x1 lanes but has only 2 outputs and 3 inputs",
        ),
        (
            (4, 3, 2),
            Fold(lanes=(Lanes(outputs=1, inputs=4, in_luts=5), Lanes(outputs=1, inputs=1))),
            "layers[0] has 5 lanes of LUTs, but 4 in all",
        ),
        (
            DIGITS,
            Fold(multipliers=40, lut_multipliers=26, interval=100),
            "40 multipliers and 26 of LUTs give an interval of 128 cycles, but fold.interval asks",
        ),
        (
            (2, 4, 6),
            Fold(lanes=(Lanes(outputs=1, inputs=1), Lanes(outputs=3, inputs=2))),
            "layers[1] with 3x2 lanes makes 3 outputs every 2 cycles",
        ),
    ],
)
def test_an_impossible_fold_says_what_is_wrong_and_what_would_do(
    widths: tuple[int, ...], wanted: Fold, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        plan(network(widths, wanted))


def test_the_memory_error_names_the_largest_unit() -> None:
    planned = plan(network(DIGITS, Fold(multipliers=66)))
    largest = max(planned.units, key=lambda unit: unit.memory_bits)
    limit = planned.memory_bits - 1
    message = f"needs {planned.memory_bits}, most of it ({largest.memory_bits}) in dense0"
    with pytest.raises(ValueError, match=re.escape(message)):
        plan(network(DIGITS, Fold(multipliers=66, memory=limit)))
    assert plan(network(DIGITS, Fold(multipliers=66, memory=limit + 1))).memory_bits == limit + 1


def test_what_the_planner_calls_least_is_possible() -> None:
    assert plan(network(DIGITS, Fold(multipliers=3))).schedule.multipliers == 3
    assert plan(network(DIGITS, Fold(interval=64))).schedule.interval == 64
    assert plan(network((4, 3, 40), Fold(interval=134))).schedule.interval == 134
    assert plan(network(DIGITS, Fold(multipliers=66, interval=128))).schedule.interval == 128


def test_a_longer_interval_can_be_asked_of_a_schedule() -> None:
    description = network(DIGITS, Fold(multipliers=66))
    assert build_schedule(description, fold(description), 1000).interval == 1000
    assert build_schedule(description, fold(description), 5).interval == 128
