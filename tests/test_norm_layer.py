"""The layer of a norm: what it holds and loads, what is said where it cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from counterflow.design.network.complaints import complaint
from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import plan
from counterflow.design.units.normal_times import update_cycles
from counterflow.sim.shapes import network
from tests.norm_streams import (
    PLAIN,
    STREAMS,
    Numbers,
    around,
    golden,
    noise,
    stage_of,
)

# ---- what is held, and what is loaded ----------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "unsigned, at the input", "gamma"])
def test_what_the_bus_carries_is_the_state_again(name: str) -> None:
    numbers, fields = STREAMS[name]
    stage, random = stage_of(numbers, **fields), np.random.default_rng(1)
    state = golden(stage).state
    for one in stage.parameters:
        setattr(state, one.name, noise(random, one.number, *one.shape))
    (pairs,) = stage.to_pairs(state)
    (block,) = stage.blocks
    assert pairs.first.shape == pairs.second.shape == (block.words, block.lanes)
    again = stage.from_pairs([pairs])
    assert {name: again[name].tolist() for name in state.arrays} == {
        name: values.tolist() for name, values in state.arrays.items()
    }
    for channel in range(stage.numbers.channels):
        for pair, names in enumerate(stage.pairs):
            word = pair * stage.numbers.channels + channel
            first, second = (state.arrays[name][channel] for name in names)
            assert (pairs.first[word, 0], pairs.second[word, 0]) == (first, second)
    assert all(one.number.bits <= 32 for one in stage.parameters)


def test_a_norm_begins_with_mean_0_and_variance_1_or_the_largest_that_there_is() -> None:
    for name, variance in (("plain", 2**18), ("fine", 2**28), ("coarse", 2**12)):
        numbers, fields = STREAMS[name]
        found = stage_of(numbers, **fields).initial()
        assert found.pop("variance").tolist() == [variance] * 2
        assert not any(one.any() for one in found.values())
    numbers, fields = STREAMS["gamma"]
    assert stage_of(numbers, **fields).initial()["gamma"].tolist() == [2**18] * 2
    unit = stage_of(Numbers(x="s8.8"))
    assert unit.initial()["variance"].tolist() == [unit.numbers.variance.max] * 2


# ---- what cannot be ----------------------------------------------------------------------------

RECTIFIED = "what it normalises comes from a ReLU; give the layer below the activation 'none'"
FEW = "but running statistics need images of at least 4 pixels; leave the norm out there."
UNFIT = "but what is normalised is signed, and at most 8 fraction bits of it can be made; use one"
WIDE = "too wide for sums over 64 pixels; a format of fewer bits would do, or a smaller image."
ROOM = "leaves no room for the running statistics of gradients; use one such as s12.12."
BELOW = "leaves no room for their running mean; give the layer below one of error such as s12.12."
Formats = dict[str, Any]
WRONG: dict[str, tuple[Formats, Formats, str]] = {
    "too fine": (
        {},
        {"activation": "s12.9"},
        f"layers[1], a norm layer: its format of activations is s12.9, {UNFIT} such as s9.5.",
    ),
    "unsigned": (
        {},
        {"activation": "u8.4"},
        f"layers[1], a norm layer: its format of activations is u8.4, {UNFIT} such as s9.5.",
    ),
    "wide": (
        {"activation": "s24.12"},
        {},
        f"layers[1], a norm layer: what it normalises has the format s24.12, {WIDE}",
    ),
    "a beta that no activation holds": (
        {},
        {"activation": "s9.8", "weight": "s20.17"},
        "layers[1], a norm layer: its format of weight is s20.17, in which beta can be more than "
        "twice as large as what its format of activations, s9.8, holds; use a weight within 2.",
    ),
    "a gamma that is never 1": (
        {},
        {"weight": "s20.19", "gamma": True},
        "layers[1], a norm layer: its format of weight is s20.19, but gamma begins at 1 and is "
        "used with 8 fraction bits; use one such as s20.18.",
    ),
    "a gamma too coarse": (
        {},
        {"weight": "s10.7", "gamma": True},
        "layers[1], a norm layer: its format of weight is s10.7, but gamma begins at 1 and is "
        "used with 8 fraction bits; use one such as s20.18.",
    ),
    "gradients of many bits": (
        {},
        {"error": "s22.12"},
        f"layers[1], a norm layer: its format of error is s22.12, which {ROOM}",
    ),
    "gradients too fine": (
        {},
        {"activation": "s4.0", "error": "s20.21"},
        f"layers[1], a norm layer: its format of error is s20.21, which {ROOM}",
    ),
    "gradients too fine below": (
        {"error": "s14.21"},
        {},
        f"layers[1], a norm layer: the format of gradients that leave it is s14.21, which {BELOW}",
    ),
}


def complained(image: tuple[int, int, int], below: dict[str, Any], own: dict[str, Any]) -> str:
    """What is said of a norm behind a layer."""
    layers = [{"kind": "convolution", "outputs": 4, "kernel": 1, **below}, {"kind": "norm", **own}]
    with pytest.raises(ValidationError) as error:
        network(image, layers, formats={"error": "s12.10"})
    return complaint(error.value, Description)


@pytest.mark.parametrize(("below", "own", "said"), WRONG.values(), ids=WRONG)
def test_formats_that_cannot_be_are_said_in_a_sentence(
    below: Formats, own: Formats, said: str
) -> None:
    linear = {"activation": "none", "formats": {"activation": "s12.5", **below}}
    gamma = own.get("gamma", False)
    formats = {role: number for role, number in own.items() if role != "gamma"}
    assert complained((8, 8, 1), linear, {"formats": formats, "gamma": gamma}) == said


def test_a_norm_behind_a_relu_or_of_few_pixels_is_refused() -> None:
    said = complained((8, 8, 1), {}, {})
    assert said == f"layers[1], a norm layer: {RECTIFIED} and a signed format such as s12.5."
    linear = {"activation": "none", "formats": {"activation": "s12.5"}}
    said = complained((1, 3, 1), linear, {})
    assert said == f"layers[1], a norm layer: it gets images of 1x3x4, {FEW}"


def test_a_norm_behind_a_residual_layer_with_a_relu_is_refused() -> None:
    inner = {"kind": "convolution", "outputs": 4, "kernel": 1}
    below = {"kind": "residual", "body": [inner], "activation": "relu"}
    with pytest.raises(ValidationError, match="what it normalises comes from a ReLU"):
        network((8, 8, 1), [inner, below, {"kind": "norm"}])


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"statistics": "batch"},
            "layers[1].statistics is the text 'batch', expected 'running' or 'group'.",
        ),
        ({"gamma": 2}, "layers[1].gamma is 2, expected true or false."),
        ({"activation": "tanh"}, "layers[1].activation is the text 'tanh', expected 'relu' or "),
        ({"momentum": 0.9}, "unknown key 'momentum' in layers[1]; Possible are kind, statistics,"),
    ],
)
def test_keys_that_cannot_be_are_said_in_a_sentence(own: dict[str, Any], said: str) -> None:
    assert complained((8, 8, 1), {}, own).startswith(said)


def test_a_velocity_that_does_not_match_its_weight_is_refused_by_the_planner() -> None:
    with pytest.raises(ValueError, match=r"layers\[1\]: velocity s14.17 and weight s20.18 "):
        plan(around(PLAIN._replace(velocity="s14.17")))


def test_slots_leave_time_for_two_updates_however_few_the_pixels_are() -> None:
    schedule = plan(around(image=(2, 2, 10))).schedule
    (unit,) = (one for one in schedule.graph.units if one.kind == "norm")
    assert unit.bound == 2 * update_cycles(10) > unit.inputs[0].elements
    assert schedule.interval >= unit.bound
