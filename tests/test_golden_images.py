"""Golden units and chains on images: what they share with dense layers, and with no pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Rounding
from counterflow.design.parts.geometry import Geometry
from counterflow.design.parts.recipe import MITIGATIONS
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained, epoch
from counterflow.design.schedule.planner import plan
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.slots import Stage
from counterflow.design.units.subsample import Subsampling
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.golden.chain import BorderRecord, Chain, Record, SlotRecord
from counterflow.golden.cycle_trace import Trace
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.start import initial_chain, initial_states
from counterflow.golden.units.convolution import Convolution
from counterflow.golden.units.loss import Loss
from counterflow.golden.units.pool import Pool
from counterflow.golden.units.subsample import Subsample
from counterflow.golden.units.update import Settings
from counterflow.sim.shapes import network, random_network

POOLED = [
    {"kind": "convolution", "outputs": 3, "kernel": 3, "padding": 1},
    {"kind": "max-pool", "kernel": 2},
    {"kind": "convolution", "outputs": 4, "kernel": [2, 3], "stride": [1, 2], "activation": "relu"},
    {"kind": "average-pool", "kernel": [1, 2]},
    {"outputs": 5},
]
FAST = {"learning_rate": 2.0**-5, "momentum": 0.75}


def pooled(**fields: Any) -> Description:
    recipe = {**FAST, **fields.pop("recipe", {})}
    return network((6, 10, 2), POOLED, recipe=recipe, fold={"multipliers": 20}, **fields)


def samples(description: Description, count: int, seed: int = 1) -> tuple[Integers, Integers]:
    """Any samples with any labels."""
    random, target = np.random.default_rng(seed), description.formats.input
    x = random.integers(target.min, target.max + 1, (count, description.elements))
    return x, random.integers(0, description.classes, count)


def assert_same(found: Chain | list[Convolution], expected: Chain | list[Convolution]) -> None:
    ours = found.units if isinstance(found, Chain) else found
    theirs = expected.units if isinstance(expected, Chain) else expected
    for one, other in zip(ours, theirs, strict=True):
        for name in ("weight", "velocity", "bias", "bias_velocity"):
            values = getattr(one.state, name), getattr(other.state, name)
            np.testing.assert_array_equal(*values, f"{one.stage.name}.{name}")
        assert one.state.generator == other.state.generator
        assert one.saturations == other.saturations


# ---- one unit as another -----------------------------------------------------------------------


def middle_unit(geometry: Geometry, lanes: Lanes, **changes: Any) -> Convolution:
    """A unit of this shape in the middle of a chain; equally many weights are equal ones."""
    width = geometry.taps * geometry.positions
    layers = [{"outputs": width}, {"outputs": geometry.outputs}]
    description = network(2, layers, recipe=FAST, fold={"multipliers": 40})
    schedule = plan(description).schedule
    stage, state = schedule.stages[1], initial_states(description, schedule, 1)[1]
    shape = {"taps": geometry.taps, "positions": geometry.positions, "outputs": geometry.outputs}
    numbers = replace(stage.arithmetic, **shape, horizon=2, compensation=60, **changes)
    random = np.random.default_rng(1)
    size = (geometry.outputs, geometry.taps)
    state.weight = random.integers(-(2**17), 2**17, size)
    state.velocity = random.integers(-(2**9), 2**9, size)
    tiling = Tiling(geometry, lanes, first=False)
    return Convolution(replace(stage, tiling=tiling, arithmetic=numbers), state)


@pytest.mark.parametrize("lanes", [(1, 1), (2, 3), (4, 2), (3, 6)])
@pytest.mark.parametrize("image", [(2, 3, 2), (3, 2, 3), (1, 6, 1), (4, 1, 6)])
def test_a_kernel_as_large_as_its_image_is_a_dense_layer_on_the_flat_image(
    image: tuple[int, int, int], lanes: tuple[int, int]
) -> None:
    """Tiles that divide a row of the kernel come in the same order, and draw the same bits."""
    whole = Geometry(image, 4, image[:2])
    dense = Geometry.dense(whole.inputs, 4)
    folded = Lanes(outputs=lanes[0], inputs=lanes[1])
    aligned = whole.row_taps % lanes[1] == 0
    rounding = {} if aligned else {"round_update": Rounding.NEAREST_EVEN}
    units = [middle_unit(shape, folded, **rounding) for shape in (whole, dense)]
    numbers = units[0].stage.arithmetic
    random = np.random.default_rng(3)
    for _ in range(5):
        x = np.maximum(random.integers(-100, numbers.x.max + 1, whole.inputs), 0)
        dy = random.integers(numbers.dy.min, numbers.dy.max + 1, 4)
        assert units[0].forward(x, True).tolist() == units[1].forward(x, True).tolist()
        assert units[0].backward(dy, x).tolist() == units[1].backward(dy, x).tolist()
        for unit in units:
            unit.learn(dy, x)
        if not aligned:  # other words saturate
            units[0].saturations = units[1].saturations
        assert_same(units[:1], units[1:])


@pytest.mark.parametrize("count", [2, 3, 7])
def test_samples_that_accumulate_move_weights_as_one_image_of_them_does(count: int) -> None:
    """A kernel of 1x1 sees in one image of `count` pixels what a dense layer sees in samples."""
    lanes = Lanes(outputs=2, inputs=3)
    image = middle_unit(Geometry((1, count, 5), 4), lanes)
    dense = middle_unit(Geometry.dense(5, 4), lanes, accumulate=count)
    assert dense.stage.arithmetic.gradient == image.stage.arithmetic.gradient
    random = np.random.default_rng(count)
    for _ in range(4):
        x, dy = random.integers(0, 256, (count, 5)), random.integers(-40, 41, (count, 4))
        image.learn(dy.ravel(), x.ravel())
        for number in range(count):
            before = dense.state.copy()
            dense.learn(dy[number], x[number], update=number == count - 1)
            if number < count - 1:
                assert (dense.state.weight == before.weight).all()
                assert dense.state.generator == before.generator
        assert_same([dense], [image])


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_a_1x1_kernel_on_a_vector_trains_as_a_dense_layer(mitigation: str) -> None:
    """The whole chain, with its fold and its delays."""
    chains = []
    for first in ({"outputs": 6}, {"kind": "convolution", "outputs": 6, "kernel": 1}):
        description = network(8, [first, {"outputs": 4}], recipe={**FAST, "mitigation": mitigation})
        schedule = plan(description).schedule
        chain = initial_chain(description, schedule)
        chain.run(epoch(description.recipe, range(40), schedule.delay), *samples(description, 40))
        chains.append(chain)
    assert_same(*chains)


# ---- chains ------------------------------------------------------------------------------------


def one_after_the_other(
    description: Description, x: Integers, labels: Integers
) -> tuple[list[Convolution], list[list[int]]]:
    """Training without any pipeline: forward through all units, then backward, then the next."""
    schedule = plan(description).schedule
    states = initial_states(description, schedule, 1)
    plain = Settings(predict=False, compensate=False)
    chain: list[Convolution | Pool | Subsample] = []
    for part in schedule.units[:-1]:
        if isinstance(part, Stage):
            chain.append(Convolution(part, states[part.index], plain))
        else:
            assert isinstance(part, PassingStage)
            kind = Subsample if isinstance(part.numbers, Subsampling) else Pool
            chain.append(kind(part.numbers))
    units = [unit for unit in chain if isinstance(unit, Convolution)]
    loss, scores = Loss(schedule.loss.arithmetic), []
    for sample, label in zip(x, labels, strict=True):
        inputs = [sample]
        for step in chain:
            way = (
                step.forward(inputs[-1])
                if not isinstance(step, Convolution)
                else step.forward(inputs[-1], True)
            )
            inputs.append(way)
        scores.append(inputs.pop().tolist())
        error, _ = loss(np.array(scores[-1]), int(label))
        for step, sees in zip(chain[::-1], inputs[::-1], strict=True):
            if not isinstance(step, Convolution):
                error = step.backward(error)
                continue
            arriving = error
            if step is not units[0]:
                error = step.backward(arriving, sees)
            step.learn(arriving, sees)
    return units, scores


@pytest.mark.parametrize("seed", [None, *range(12)])
def test_with_bubbles_between_samples_a_chain_trains_as_without_a_pipeline(
    seed: int | None,
) -> None:
    recipe = {"recipe": {**FAST, "mitigation": "none"}}
    description = pooled(**recipe) if seed is None else random_network(seed, **recipe)
    schedule = plan(description).schedule
    x, labels = samples(description, 25)
    expected, scores = one_after_the_other(description, x, labels)
    spaced = [drained([Token(Kind.TRAIN, i)], schedule.delay) for i in range(25)]
    tokens = [token for part in spaced for token in part]
    for mitigation in ("none", "stash"):
        changed = description.recipe.model_copy(update={"mitigation": mitigation})
        chain = initial_chain(description.model_copy(update={"recipe": changed}), schedule)
        found = chain.run(tokens, x, labels)
        assert [one.scores.tolist() for one in found] == scores
        for unit in expected:  # of bubbles the chain counts the saturations, too
            unit.saturations = chain.units[unit.stage.index].saturations
        assert_same(chain, expected)


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_inference_between_training_samples_leaves_no_trace(mitigation: str) -> None:
    description = pooled(recipe={"mitigation": mitigation})
    schedule = plan(description).schedule
    data = samples(description, 40)
    pattern = [Token(Kind.TRAIN, i) if i % 3 else BUBBLE for i in range(40)]
    filled = [Token(Kind.INFER, i) if t is BUBBLE else t for i, t in enumerate(pattern)]
    plain, mixed = initial_chain(description, schedule), initial_chain(description, schedule)
    plain.run(drained(pattern, schedule.delay), *data)
    mixed.run(drained(filled, schedule.delay), *data)
    assert (plain.states[0].weight != initial_states(description, schedule, 1)[0].weight).any()
    for unit, other in zip(mixed.units, plain.units, strict=True):
        unit.saturations = other.saturations
    assert_same(mixed, plain)


def test_weights_wait_for_the_last_of_the_samples_that_accumulate() -> None:
    description = pooled(recipe={"accumulate": 4})
    schedule = plan(description).schedule
    chain = initial_chain(description, schedule)
    learnt: list[list[int]] = [[] for _ in schedule.stages]

    def observe(record: Record) -> None:
        if isinstance(record, SlotRecord) and record.learnt:
            learnt[record.stage].append(record.slot - schedule.stages[record.stage].delay)

    data = samples(description, 10)
    waiting = [Token(Kind.ACCUMULATE, i) for i in range(3)]
    chain.run(drained(waiting, schedule.delay), *data)
    for state, start in zip(chain.states, initial_states(description, schedule, 1), strict=True):
        assert (state.weight == start.weight).all()
        assert (state.velocity == start.velocity).all()
    chain = initial_chain(description, schedule)
    chain.run(epoch(description.recipe, range(10), schedule.delay), *data, observe)
    assert learnt == [[3, 7, 9]] * len(schedule.stages)


# ---- the trace ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, *range(25)])
def test_a_trace_holds_every_value_of_every_stream_once_and_in_order(seed: int | None) -> None:
    description = pooled() if seed is None else random_network(seed)
    planned = plan(description)
    trace, expected = Trace(planned), dict[str, list[int]]()

    def observe(record: Record) -> None:
        trace(record)
        if isinstance(record, BorderRecord):
            name = f"{record.unit}.{record.port}"
            expected.setdefault(name, []).extend(record.values.tolist())

    tokens = [Token(Kind.TRAIN, i) for i in range(15)]
    chain = initial_chain(description, planned.schedule)
    chain.run(drained(tokens, planned.schedule.delay), *samples(description, 15), observe)
    rows, columns = trace.take(trace.end), {str(f): i for i, f in enumerate(trace.fields)}
    assert {f"{name}.data" for name in expected} == {c for c in columns if c.endswith(".data")}
    units = planned.schedule.units
    assert {f"{unit.name}.y" for unit in units[:-1]} <= expected.keys()
    assert {f"{unit.name}.dx" for unit in units[1:]} <= expected.keys()
    for name, values in expected.items():
        valid = rows[:, columns[f"{name}.valid"]] == 1
        assert rows[valid, columns[f"{name}.data"]].tolist() == values, name
