"""The comparison of a record with the golden trace names where they part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from counterflow.design.data.sets import Dataset, synthetic
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.cycle_trace import Trace
from counterflow.golden.training.start import initial_chain
from counterflow.sim.bench.compare import Layout, locate

SAMPLES = 30


def quantised(description: Description, data: Dataset) -> NDArray[Any]:
    return data.scaling.codes(data.train_x, description.formats.input)


@pytest.fixture(scope="module")
def design() -> Plan:
    return plan(load("tiny"))


@pytest.fixture(scope="module")
def trace(design: Plan) -> Trace:
    description = design.description
    data = synthetic(description.elements, description.classes, SAMPLES, 1)
    tokens = drained([Token(Kind.TRAIN, i) for i in range(SAMPLES)], design.schedule.delay)
    watched = Trace(design)
    initial_chain(description, design.schedule, 1).run(
        list(tokens), quantised(description, data), data.train_y, watched
    )
    return watched


def test_bits_keep_every_value_of_every_field(design: Plan, trace: Trace) -> None:
    layout = Layout(trace.fields)
    random = np.random.default_rng(3)
    rows = np.stack(
        [
            random.integers(-(1 << (f.bits - 1)), 1 << (f.bits - 1), 50)
            if f.signed
            else random.integers(0, 1 << f.bits, 50)
            for f in trace.fields
        ],
        axis=1,
    )
    bits = layout.to_bits(rows)
    for row in (0, 49):
        values = [layout.value(bits[row], column) for column in range(len(trace.fields))]
        assert values == rows[row].tolist()


def test_a_single_wrong_bit_is_named_by_cycle_slot_unit_stream_index_and_operation(
    design: Plan, trace: Trace
) -> None:
    layout, schedule = Layout(trace.fields), design.schedule
    rows = trace.take(trace.end)
    expected = layout.to_bits(rows)
    names = [str(field) for field in trace.fields]
    column = names.index("dense0.y.data")
    stage, slot, element = schedule.stages[0], 12, 3
    cycle = int(stage.output_times[element]) + slot * schedule.interval
    found = expected.copy()
    found[cycle, layout.start[column]] ^= 1
    assert layout.differences(expected, found) == [(cycle, column)]
    place = locate(schedule, layout, cycle, column, expected[cycle], found[cycle])
    assert (place.cycle, place.slot, place.index) == (cycle, slot, element)
    assert abs(place.found - place.expected) == 1
    text = str(place)
    assert text.startswith(f"cycle {cycle}, slot {slot}: dense0.y.data at index {element} is ")
    assert text.endswith("(made by golden.units.convolution.Convolution.forward)")


def test_of_what_differs_in_a_cycle_gradients_come_last_from_the_loss_down(design: Plan) -> None:
    """Units that are wires pass an error on in the same cycle."""
    fields = Trace(design).fields
    layout = Layout(fields)
    expected = np.zeros((2, layout.bits), np.uint8)
    found = expected.copy()
    found[1] = 1
    names = [str(fields[column]) for _, column in layout.differences(expected, found)]
    assert len(names) == len(fields)
    back = [index for index, name in enumerate(names) if ".dx" in name]
    assert back == list(range(len(names) - len(back), len(names)))
    forward = [str(field) for field in fields if ".dx" not in str(field)]
    assert names[: back[0]] == forward
    units = list(dict.fromkeys(name.split(".")[0] for name in names[back[0] :]))
    assert units == [one.name for one in reversed(design.schedule.units) if one.name in units]
    assert len(units) > 1


def test_the_trace_is_the_same_in_blocks_and_in_one_piece(design: Plan) -> None:
    description = design.description
    data = synthetic(description.elements, description.classes, SAMPLES, 1)
    tokens = [Token(Kind.TRAIN, i) for i in range(SAMPLES)]
    samples = quantised(description, data)
    whole = Trace(design)
    initial_chain(description, design.schedule, 1).run(tokens, samples, data.train_y, whole)
    parts = Trace(design)
    chain = initial_chain(description, design.schedule, 1)
    blocks = []
    for first in range(0, SAMPLES, 7):
        chain.run(tokens[first : first + 7], samples, data.train_y, parts)
        blocks.append(parts.take(parts.complete()))
    blocks.append(parts.take(parts.end))
    assert np.array_equal(np.concatenate(blocks), whole.take(whole.end))
