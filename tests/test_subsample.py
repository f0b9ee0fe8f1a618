"""Subsampling in exact integers and in float64: plain loops over pixels, and when what leaves."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.files import parse, to_toml
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.design.units.passing import Traffic
from counterflow.design.units.subsample import Subsampling
from counterflow.golden.reference.units.subsample import Subsample as FloatSubsample
from counterflow.golden.units.subsample import Subsample
from counterflow.sim.shapes import network
from tests.images import RECIPE

CONV = {"kind": "convolution", "outputs": 3, "kernel": 3, "padding": 1}
SEEDS = range(40)


def subsampling(seed: int, **changes: Any) -> Subsampling:
    """Images of any shape, strides up to their size."""
    chance = random.Random(seed)
    image = (chance.randint(1, 6), chance.randint(1, 6), chance.randint(1, 4))
    fields = {
        "image": image,
        "stride": (chance.randint(1, image[0]), chance.randint(1, image[1])),
        "outputs": image[2] + chance.randint(0, 3),
        "x": Format.parse("s7.3"),
        "error": Format.parse("s9.6"),
        "wanted": True,
    }
    return Subsampling(**{**fields, **changes})


def pairs(numbers: Subsampling) -> list[tuple[int, int]]:
    """(element of x, element of y) of all that is kept."""
    height, width, channels = numbers.image
    down, across = numbers.stride
    found, y = [], 0
    for row in range(0, height, down):
        for column in range(0, width, across):
            for channel in range(numbers.outputs):
                if channel < channels:
                    found.append(((row * width + column) * channels + channel, y))
                y += 1
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_pixel_and_every_strideth_after_it_pass_and_zeros_are_added(seed: int) -> None:
    numbers = subsampling(seed)
    source = np.random.default_rng(seed)
    x = source.integers(-64, 64, int(np.prod(numbers.image)))
    y = [0] * int(np.prod(numbers.result))
    for came, left in pairs(numbers):
        y[left] = int(x[came])
    assert Subsample(numbers).forward(x).tolist() == y
    twin = FloatSubsample(numbers.image, numbers.stride, numbers.outputs)
    assert twin.forward(0, x.astype(float)).tolist() == y


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_go_back_to_the_pixels_that_passed_and_to_no_others(seed: int) -> None:
    numbers = subsampling(seed)
    dy = np.random.default_rng(seed).integers(1, 256, int(np.prod(numbers.result)))
    dx = [0] * int(np.prod(numbers.image))
    for came, left in pairs(numbers):
        dx[came] = int(dy[left])
    assert Subsample(numbers).backward(dy).tolist() == dx
    twin = FloatSubsample(numbers.image, numbers.stride, numbers.outputs)
    assert twin.backward(0, dy.astype(float)).tolist() == dx


# ---- times -------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1, 2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_tokens_never_wait_for_each_other_however_close_they_are(seed: int, gap: int) -> None:
    """Every token leaves as the first one does, so that each cycle of y is known beforehand."""
    numbers, chance = subsampling(seed), random.Random(seed)
    inputs, outputs = int(np.prod(numbers.image)), int(np.prod(numbers.result))
    arrivals = np.cumsum([chance.randint(1, gap) for _ in range(inputs)])
    interval = max(outputs, int(arrivals[-1] - arrivals[0]) + 1)
    (times,) = numbers.forward([arrivals])
    assert (np.diff(times) > 0).all()
    assert times[-1] - times[0] < interval
    for came, left in pairs(numbers):
        assert times[left] > arrivals[came]
    fitted = numbers.fitted(Traffic([arrivals], [times + 5], interval, [0]))
    kept = [came for came, _ in pairs(numbers)]
    assert times[0] == arrivals[kept[fitted.begin - 1]] + 1
    if fitted.begin > 1:  # with one element less the last would be late for the next token
        earlier = arrivals[kept[fitted.begin - 2]] + 1
        between = max(inputs, interval)
        assert times[-1] >= earlier + between or outputs == between


def test_without_added_channels_each_element_leaves_in_the_cycle_after_it_came() -> None:
    numbers = subsampling(0, image=(4, 6, 2), stride=(2, 3), outputs=2)
    arrivals = 3 * np.arange(48)
    (times,) = numbers.forward([arrivals])
    assert times.tolist() == [arrivals[came] + 1 for came, _ in pairs(numbers)]


# ---- layers ------------------------------------------------------------------------------------


def test_defaults_and_pairs_are_kept_in_files() -> None:
    for layer, shape in (
        ({"stride": 2}, (3, 2, 3)),
        ({"stride": [1, 2], "outputs": 7}, (6, 2, 7)),
        ({"outputs": 4}, (6, 4, 4)),
    ):
        description = network((6, 4, 1), [CONV, {"kind": "subsample", **layer}])
        assert description.graph.units[1].outputs[0].shape == shape
        assert parse(to_toml(description)) == description
        assert parse(to_toml(description)).hash() == description.hash()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"outputs": 2},
            "it gets 3 channels and can add some, but leave none out; its outputs of 2 must be at "
            "least 3",
        ),
        (
            {"stride": 5},
            "it gets images of 6x4x3, whose width of 4 is less than its stride of 5",
        ),
        (
            {"stride": [7, 1]},
            "it gets images of 6x4x3, whose height of 6 is less than its stride of 7",
        ),
        (
            {},
            "it keeps every pixel and adds nothing to the 3 channels that it gets; leave the layer "
            "out, or give it a stride or more outputs",
        ),
        (
            {"stride": 1, "outputs": 3},
            "it keeps every pixel and adds nothing to the 3 channels that it gets; leave the layer "
            "out, or give it a stride or more outputs",
        ),
    ],
)
def test_a_layer_that_cannot_be_says_why(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"layers[1], a subsample layer: {message}")):
        network((6, 4, 1), [CONV, {"kind": "subsample", **layer}])


def test_a_relus_derivative_is_applied_by_the_reader_and_to_its_own_elements_only() -> None:
    """Behind a ReLU whoever reads it masks; behind a tanh or the input nobody does."""
    for before, rectified in (
        ([CONV], True),
        ([{**CONV, "activation": "tanh", "formats": {"activation": "s8.7"}}], False),
        ([], False),
    ):
        layers = [*before, {"kind": "subsample", "stride": 2, "outputs": 5}, {**CONV, "kernel": 3}]
        schedule = plan(network((6, 4, 1), layers, recipe=RECIPE)).schedule
        (unit,) = (one for one in schedule.units if one.unit.kind == "subsample")
        (edge,) = unit.unit.outputs
        assert edge.rectified is rectified
        assert edge.wanted is bool(before)
        reader = schedule.by_name[schedule.graph.reader(edge).name]
        assert reader.arithmetic.masks is rectified
