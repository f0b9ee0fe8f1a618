"""Networks that are generated have the shapes of the literature."""

from __future__ import annotations

from itertools import pairwise

import pytest

from counterflow.design.network.families import DEPTHS
from counterflow.design.network.files import DescriptionError, load
from counterflow.design.schedule.planner import plan


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_residual_network_has_as_many_layers_with_weights_as_its_name_says(depth: int) -> None:
    """Shortcuts have none here: 6 n + 1 convolutions and a dense layer."""
    description = load(f"resnet{depth}")
    assert len(description.weighted) == depth
    assert [unit.kind for unit in description.graph.units].count("norm") == depth - 2


def test_resnet20_has_the_parameters_of_the_literature() -> None:
    """He et al. (arXiv 1512.03385, table 6): 0.27 million; by hand, without norms' factors."""
    convolutions = 27 * 16 + 6 * 9 * 16 * 16
    convolutions += 9 * 16 * 32 + 5 * 9 * 32 * 32 + 9 * 32 * 64 + 5 * 9 * 64 * 64
    biases = 7 * 16 + 6 * 32 + 6 * 64
    betas = 7 * 16 + 6 * 32 + 5 * 64
    dense = 64 * 10 + 10
    assert load("resnet20").parameters == convolutions + biases + betas + dense


def test_the_three_stages_halve_the_image_and_double_the_channels() -> None:
    shapes = [unit.geometry.result for unit in load("resnet20-w4").weighted[:-1]]
    assert shapes == [(32, 32, 4)] * 7 + [(16, 16, 8)] * 6 + [(8, 8, 16)] * 6


def test_the_deep_one_for_digits_has_two_stages() -> None:
    shapes = [unit.geometry.result for unit in load("digits-resnet30").weighted[:-1]]
    assert shapes == [(8, 8, 8)] * 15 + [(4, 4, 16)] * 14


def test_vgg11_ends_in_one_pixel() -> None:
    description = load("vgg11")
    assert [unit.geometry.outputs for unit in description.weighted] == [
        *(64, 128, 256, 256, 512, 512, 512, 512),
        10,
    ]
    assert description.weighted[-1].geometry.image == (1, 1, 512)


def test_delays_grow_by_one_slot_a_convolution() -> None:
    """Forward passes overlap within a slot; gradients take a slot a convolution."""
    delays = [stage.delay for stage in plan(load("resnet20-w4")).schedule.weighted]
    steps = [above - below for above, below in pairwise(delays)]
    assert set(steps) <= {1, 2}
    assert sum(steps) < 1.3 * len(steps)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "resnet21",
            "there is no such residual network of 21 layers; they have 6 n + 2, such as 8,",
        ),
        ("digits-resnet20", "there is no such residual network of 20 layers; they have 4 n + 2"),
        ("resnet20-w0", "its first stage would have 0 channels; 1 to 256 are possible"),
        ("vgg12", "VGG has 11, 13, 16, 19 layers, not 12"),
        ("resnet20-w300", "its first stage would have 300 channels"),
        ("resnet-20", "there is no network 'resnet-20'"),
    ],
)
def test_what_a_family_does_not_have_is_said(name: str, complaint: str) -> None:
    with pytest.raises(DescriptionError) as error:
        load(name)
    assert complaint in str(error.value)
