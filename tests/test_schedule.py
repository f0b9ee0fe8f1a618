"""The schedule against a second derivation: every element followed, cycle by cycle."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.network.description import Description, Fold
from counterflow.design.parts.geometry import Geometry
from counterflow.design.parts.recipe import MITIGATIONS, Recipe
from counterflow.design.parts.tokens import epoch, updates_in_flight
from counterflow.design.schedule.build import build_schedule
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.arithmetic import COMPENSATION_FRAC
from counterflow.design.units.convolution import Dense
from counterflow.design.units.latency import (
    BIASED,
    BORDER,
    FETCH,
    FREE,
    INTAKE,
    ISSUE,
    LOSS_FIXED,
    MEMORY,
    NARROW,
    OPERANDS,
    PRODUCT,
    QUEUE,
    ROUND,
    SUM,
    TREE_RADIX,
    TURN,
    UPDATE,
    WORD,
    tree_latency,
)
from counterflow.design.units.loss import loss_bound
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import slot_bound
from counterflow.design.units.turns import bias_reads, bias_turns
from counterflow.golden.chain import Record, SlotRecord
from counterflow.golden.training.start import initial_chain


def recipe_of(**fields: object) -> Recipe:
    return Recipe.model_validate(fields)


def network(widths: tuple[int, ...], recipe: Recipe | None = None) -> Description:
    layers = [Dense(outputs=outputs) for outputs in widths[1:-1]]
    layers.append(Dense(outputs=widths[-1], activation="none"))
    return Description(
        name="net", inputs=widths[0], layers=tuple(layers), recipe=recipe or Recipe()
    )


def folded(widths: tuple[int, ...], multipliers: int, recipe: Recipe | None = None) -> Schedule:
    description = network(widths, recipe)
    fold = Fold(multipliers=multipliers)
    return plan(description.model_copy(update={"fold": fold})).schedule


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Of any network with any lanes that are legal, some with stretched slots."""
    sizes = st.sampled_from([1, 2, 3, 5, 7, 8, 16, 21])
    hidden = draw(st.lists(sizes, min_size=1, max_size=4))
    widths = (*hidden, draw(st.integers(2, 12)))
    lanes = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        wide, shared = draw(st.integers(1, inputs)), draw(st.booleans())
        high = draw(st.integers(1, outputs))
        choice = Lanes(outputs=high, inputs=wide, shared=shared)
        tiling = Tiling(Geometry.dense(inputs, outputs), choice, first=index == 0)
        if tiling.rows > 1:  # a row may not make more outputs than the stream carries meanwhile
            high = min(high, tiling.row_cycles)
        lanes.append(Lanes(outputs=high, inputs=wide, shared=shared))
    return build_schedule(network(widths), tuple(lanes), draw(st.sampled_from([None, 60, 200])))


# ---- a second derivation -----------------------------------------------------------------------


def serialised(words: list[tuple[int, int]]) -> list[int]:
    """Cycles at which elements leave a queue, one a cycle; `words` are (cycle, elements)."""
    leaving: list[int] = []
    for cycle, elements in words:
        for _ in range(elements):
            leaving.append(max(cycle, leaving[-1] + 1) if leaving else cycle)
    return leaving


def word_arrivals(elements: list[int], lanes: int) -> list[int]:
    """Cycles from which words of `lanes` elements can be read out of a queue."""
    return [max(elements[i : i + lanes]) + QUEUE for i in range(0, len(elements), lanes)]


def sizes(total: int, lanes: int) -> list[int]:
    return [min(lanes, total - first) for first in range(0, total, lanes)]


def outputs_leave(tiling: Tiling, start: int) -> list[int]:
    """A row is complete with its last tile; the forward product is the first phase of a tile."""
    latency = ISSUE + OPERANDS + PRODUCT + tree_latency(tiling.lanes.inputs)
    latency += SUM + BIASED + QUEUE
    rows, issue = [], start
    for elements in sizes(tiling.outputs, tiling.lanes.outputs):
        for _ in range(tiling.columns):
            last, issue = issue, issue + tiling.phases
        rows.append((last + latency, elements))
    return serialised(rows)


def gradients_leave(tiling: Tiling, start: int) -> list[int]:
    """A column's input gradient is complete with its tile in the last row of tiles."""
    latency = ISSUE + OPERANDS + PRODUCT + tree_latency(tiling.lanes.outputs) + TURN + SUM
    latency += ROUND + NARROW + FETCH + QUEUE  # a finished word waits in a memory
    phase = 1 if tiling.lanes.shared else 0  # forward, backward, gradient
    columns = []
    issue = start + (tiling.rows - 1) * tiling.columns * tiling.phases
    for elements in sizes(tiling.geometry.inputs, tiling.lanes.inputs):
        columns.append((issue + phase + latency, elements))
        issue += tiling.phases
    return serialised(columns)


def arrivals_of_inputs(schedule: Schedule) -> list[list[int]]:
    """For each stage and then the loss unit the cycle of each input element of token 0."""
    inputs = schedule.stages[0].tiling.geometry.inputs
    last_accepted = inputs - 1  # cycle 0 accepts the first
    found = [[last_accepted + INTAKE + i for i in range(inputs)]]
    for stage in schedule.stages:
        found.append(outputs_leave(stage.tiling, stage.start))
    return [[cycle + BORDER for cycle in cycles] for cycles in found]


def arrivals_of_gradients(schedule: Schedule) -> list[list[int]]:
    """For each stage the cycle at which each element of token 0's gradient arrives there."""
    classes = schedule.loss.arithmetic.classes
    after_loss = schedule.loss.start + 2 * classes + LOSS_FIXED
    found = [[after_loss + i for i in range(classes)]]
    for stage in schedule.stages[:0:-1]:
        slot = stage.start + stage.delay * schedule.interval
        found.append(gradients_leave(stage.tiling, slot))
    return [[cycle + BORDER for cycle in cycles] for cycles in found[::-1]]


@settings(derandomize=True, max_examples=150, deadline=None)
@given(schedule=schedules())
def test_slots_start_with_the_first_word_after_which_no_other_can_be_late(
    schedule: Schedule,
) -> None:
    arrivals = arrivals_of_inputs(schedule)
    for stage, elements in zip(schedule.stages, arrivals, strict=False):
        words = word_arrivals(elements, stage.tiling.lanes.inputs)
        in_time = [
            all(word <= start + column * stage.tiling.phases for column, word in enumerate(words))
            for start in words
        ]
        assert stage.start == words[in_time.index(True)]
        assert stage.threshold == in_time.index(True) + 1
    assert schedule.loss.start == max(arrivals[-1])


@settings(derandomize=True, max_examples=150, deadline=None)
@given(schedule=schedules())
def test_a_delay_is_the_least_that_finds_every_gradient_in_time(schedule: Schedule) -> None:
    for stage, elements in zip(schedule.stages, arrivals_of_gradients(schedule), strict=True):
        words = word_arrivals(elements, stage.tiling.lanes.outputs)
        row = stage.tiling.columns * stage.tiling.phases
        late = [word - stage.start - r * row for r, word in enumerate(words)]
        assert max(late) <= stage.delay * schedule.interval
        assert max(late) > (stage.delay - 1) * schedule.interval
    assert all(a.delay > b.delay >= 1 for a, b in pairwise(schedule.stages))


@settings(derandomize=True, max_examples=150, deadline=None)
@given(schedule=schedules())
def test_what_waits_for_a_unit_fits_where_it_waits(schedule: Schedule) -> None:
    """And needs every place, in a stall-free run.

    A word takes its place with its first element and frees it when the slot that reads it is over:
    that of the forward pass in the window, that of the backward pass in the stash.  A word of error
    is there when it is whole, and in use until its row ends; when a run ends, those tokens are left
    over that the unit behind has got back and this one has not.  A whole image of input gradient
    takes a place when its slot begins, until its last element leaves.
    """
    gradients = arrivals_of_gradients(schedule)
    below = [[], *([cycle - BORDER for cycle in one] for one in gradients[:-1])]  # as it is sent
    arrivals = arrivals_of_inputs(schedule)[:-1]
    behind = [*(stage.delay for stage in schedule.stages[1:]), 0]
    for stage, delay_behind, inputs, errors, sent in zip(
        schedule.stages, behind, arrivals, gradients, below, strict=True
    ):
        tiling, depths, slot = stage.tiling, stage.depths, schedule.interval
        back = stage.start + stage.delay * slot
        words = inputs[:: tiling.lanes.inputs]
        for held, begin in ((depths.window, stage.start), (depths.stash, back)):
            free = begin + stage.cycles - 1 + FREE
            assert held == most_at_once([(word, free) for word in words], slot)
        came = word_arrivals(errors, tiling.lanes.outputs)
        row = tiling.columns * tiling.phases
        held_errors = [(word - QUEUE, back + (r + 1) * row) for r, word in enumerate(came)]
        left_over = (stage.delay - delay_behind) * tiling.rows
        assert depths.errors == max(most_at_once(held_errors, slot), left_over)
        assert depths.gradients == (most_at_once([(back, sent[-1] + 1)], slot) if sent else 0)


def most_at_once(spans: list[tuple[int, int]], interval: int) -> int:
    """The most that is there together, where one token's things are there in [begin, end)."""
    first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
    changes: Counter[int] = Counter()
    for shift in range(0, 2 * (last - first) + 2 * interval, interval):
        for begin, end in spans:
            changes[begin + shift] += 1
            changes[end + shift] -= 1
    held = most = 0
    for cycle in sorted(changes):
        held += changes[cycle]
        most = max(most, held)
    return most


@settings(derandomize=True, max_examples=150, deadline=None)
@given(schedule=schedules())
def test_an_interval_is_the_slowest_bound_and_no_weight_is_read_before_it_is_written(
    schedule: Schedule,
) -> None:
    assert schedule.interval >= loss_bound(schedule.loss.arithmetic.classes)
    for stage in schedule.stages:
        tiling = stage.tiling
        assert schedule.interval >= slot_bound(tiling)
        streamed = max(tiling.geometry.inputs, tiling.outputs)
        assert slot_bound(tiling) >= max(tiling.cycles, streamed)
        for tile, write in enumerate(stage.weight_writes):
            last_phase = (tile + 1) * tiling.phases - 1
            last_turn = tiling.move_turns - 1
            assert write == last_phase + ISSUE + OPERANDS + PRODUCT + UPDATE + last_turn
            assert write < slot_bound(tiling) + tile * tiling.phases + ISSUE
        turns = bias_turns(tiling)
        for number, write in enumerate(stage.bias_writes):
            row, turn = divmod(number, turns)
            assert write + last_turn == stage.weight_writes[row * tiling.columns] + turn
            read = slot_bound(tiling) + row * tiling.row_cycles + ISSUE
            assert write < read + bias_reads(tiling) + turn + WORD - MEMORY


@pytest.mark.parametrize("operands", [1, 2, 3, 4, 5, 16, 17, 64, 65])
def test_an_adder_tree_has_as_many_levels_as_sums_need(operands: int) -> None:
    levels = tree_latency(operands)
    assert TREE_RADIX**levels >= operands
    assert levels == 0 or TREE_RADIX ** (levels - 1) < operands


# ---- known schedules ---------------------------------------------------------------------------


def test_digits_on_66_multipliers_has_delays_8_5_2() -> None:
    schedule = folded((64, 32, 32, 10), 66)
    assert [stage.delay for stage in schedule.stages] == [8, 5, 2]
    assert schedule.delay == 8


@pytest.mark.parametrize("multipliers", [180, 300])
def test_the_deep_chain_has_two_slots_a_stage(multipliers: int) -> None:
    """The textbook's 2 (S - 1 - s), and 2 more for the way through the loss unit."""
    schedule = folded((64, *[32] * 16, 10), multipliers)
    assert [stage.delay for stage in schedule.stages] == [2 * (17 - s) for s in range(17)]


def test_where_slots_are_short_the_registers_on_the_way_cost_another() -> None:
    schedule = folded((64, *[32] * 16, 10), 400)
    assert [stage.delay for stage in schedule.stages] == [*range(50, 4, -3), 2]


def test_a_unit_that_reads_outputs_as_they_are_made_costs_less_than_two_slots() -> None:
    """One row of tiles a cycle upstream, columns downstream: forward passes overlap in a slot."""
    description = network((16, 16, 2))
    lanes = (Lanes(outputs=1, inputs=16), Lanes(outputs=2, inputs=1))
    overlapping = build_schedule(description, lanes, 100)
    assert [stage.delay for stage in overlapping.stages] == [2, 1]


# ---- what the recipe makes of the delays -------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize(
    ("recipe", "updates"),
    [
        (Recipe(), [8, 5, 2]),
        (Recipe(scheme="sequential"), [0, 0, 0]),
        (Recipe(scheme="fill-and-drain", batch=4), [3, 3, 2]),
    ],
)
def test_horizons_are_the_updates_in_flight_times_the_recipes_multiple(
    recipe: Recipe, updates: list[int], horizon: int
) -> None:
    recipe = recipe.model_copy(update={"horizon": horizon})
    schedule = folded((64, 32, 32, 10), 66, recipe)
    assert [s.arithmetic.horizon for s in schedule.stages] == [horizon * u for u in updates]
    assert updates == [updates_in_flight(recipe, stage.delay) for stage in schedule.stages]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.875, 1 - 2.0**-7, 1 - 2.0**-12])
@pytest.mark.parametrize("horizon", [1, 2])
def test_the_compensation_coefficient_is_momentum_to_the_horizon_and_one(
    momentum: float, horizon: int
) -> None:
    """c = m**(D + 1), nearest with COMPENSATION_FRAC fraction bits."""
    recipe = recipe_of(momentum=momentum, learning_rate=2.0**-5, horizon=horizon)
    layers = (Dense(outputs=8), Dense(outputs=3, activation="none"))
    rounding = {"update": "nearest-even"}
    description = Description.model_validate(
        {
            "name": "net",
            "inputs": 8,
            "layers": [layer.model_dump() for layer in layers],
            "recipe": recipe.model_dump(),
            "rounding": rounding,
            "fold": {"multipliers": 20},
        }
    )
    for stage in plan(description).schedule.stages:
        exact = momentum ** (stage.delay * horizon + 1) * 2**COMPENSATION_FRAC
        exact = min(exact, 2**COMPENSATION_FRAC - 1)  # it never rounds to one
        assert abs(stage.arithmetic.compensation - exact) <= 0.5


# ---- slots and stash as the chain makes them ---------------------------------------------------


@pytest.mark.parametrize("scheme", ["pipelined", "sequential", "fill-and-drain"])
def test_an_epoch_takes_exactly_the_slots_of_the_schedule(scheme: str) -> None:
    """The last sample is learnt by the first stage in the last slot, and by stage s D_s later."""
    batch = 4 if scheme == "fill-and-drain" else 1
    recipe = recipe_of(scheme=scheme, batch=batch)
    description = network((5, 6, 4, 3), recipe)
    description = description.model_copy(update={"fold": Fold(multipliers=12)})
    schedule = plan(description).schedule
    samples, labels = np.full((10, 5), 100), np.zeros(10, np.int64)
    learnt: list[list[int]] = [[] for _ in schedule.stages]

    def observe(record: Record) -> None:
        if isinstance(record, SlotRecord) and record.learnt:
            learnt[record.stage].append(record.slot)

    chain = initial_chain(description, schedule)
    tokens = list(epoch(recipe, range(10), schedule.delay))
    chain.run(tokens, samples, labels, observe)
    depth = schedule.delay
    slots = {
        "pipelined": 10 + depth,
        "sequential": 10 * (depth + 1),
        "fill-and-drain": 10 + 3 * depth,
    }
    assert chain.slot == len(tokens) == slots[scheme]
    assert learnt[0][-1] == chain.slot - 1
    fed = [slot for slot, token in enumerate(tokens) if token.sample >= 0]
    for stage, slots_learnt in zip(schedule.stages, learnt, strict=True):
        assert slots_learnt == [slot + stage.delay for slot in fed]


def test_a_schedule_says_the_same_for_every_mitigation() -> None:
    """Delays are the machine's; a recipe cannot change them."""
    found = {
        tuple(stage.delay for stage in folded((16, 8, 4), 20, recipe_of(mitigation=name)).stages)
        for name in MITIGATIONS
    }
    assert len(found) == 1
