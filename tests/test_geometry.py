"""A kernel's way over an image, against plain loops over pixels."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from counterflow.design.parts.geometry import Geometry, Indices
from counterflow.sim.shapes import ODD, random_geometry

SHAPES = {**ODD, **{f"random {seed}": random_geometry(seed) for seed in range(60)}}
every = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def windows(shape: Geometry) -> list[list[tuple[int, int, int]]]:
    """For each position (y, x, channel) under each tap, outside of the image where it is so."""
    down = range(-shape.padding[0], shape.image[0] + shape.padding[0] - shape.kernel[0] + 1)
    across = range(-shape.padding[1], shape.image[1] + shape.padding[1] - shape.kernel[1] + 1)
    return [
        [
            (top + y, left + x, channel)
            for y, x, channel in product(*map(range, (*shape.kernel, shape.channels)))
        ]
        for top in down[:: shape.stride[0]]
        for left in across[:: shape.stride[1]]
    ]


def element(shape: Geometry, place: tuple[int, int, int]) -> int:
    """Number of an element in a stream of rows of pixels, channels last; -1 outside."""
    height, width, channels = shape.image
    y, x, channel = place
    inside = 0 <= y < height and 0 <= x < width
    return (y * width + x) * channels + channel if inside else -1


def some(count: int, seed: int = 0) -> Indices:
    return np.random.default_rng(seed).integers(-9, 10, count)


# ---- what is where -----------------------------------------------------------------------------


@every
def test_every_tap_covers_the_element_that_lies_under_it(shape: Geometry) -> None:
    expected = [[element(shape, place) for place in window] for window in windows(shape)]
    assert shape.covered.tolist() == expected


@every
def test_sizes_are_those_of_the_windows(shape: Geometry) -> None:
    found = windows(shape)
    assert shape.positions == len(found) == shape.places[0] * shape.places[1]
    assert shape.taps == len(found[0]) == shape.kernel[0] * shape.row_taps
    assert shape.result == (*shape.places, shape.outputs)
    assert shape.elements == shape.positions * shape.outputs
    assert shape.inputs == shape.image[0] * shape.row_inputs


@every
def test_the_last_cover_of_an_element_is_marked_once_and_none_follows(shape: Geometry) -> None:
    last = {}
    for position, window in enumerate(windows(shape)):
        for tap, place in enumerate(window):
            last[element(shape, place)] = (position, tap)
    last.pop(-1, None)
    assert {tuple(found) for found in np.argwhere(shape.last_cover).tolist()} == set(last.values())


@every
def test_rows_and_columns_are_reached_where_a_window_lies_over_them(shape: Geometry) -> None:
    seen = {place[:2] for window in windows(shape) for place in window}
    rows, columns = shape.reached(0), shape.reached(1)
    for y, x in product(range(shape.image[0]), range(shape.image[1])):
        assert ((y, x) in seen) == (rows[y] and columns[x])


@every
def test_rows_are_done_when_no_lower_row_of_places_sees_them(shape: Geometry) -> None:
    """Those that none sees, at the bottom, are done at the end."""
    down, across = shape.places
    lines = [
        {y for window in windows(shape)[p * across : (p + 1) * across] for y, _, _ in window}
        for p in range(down)
    ]
    for place in range(down - 1):
        below = set.union(*lines[place + 1 :])
        assert shape.rows_done(place) == min(y for y in range(99) if y in below)
    assert shape.rows_done(down - 1) == shape.image[0]


# ---- gathering and scattering ------------------------------------------------------------------


def padded(shape: Geometry, image: Indices) -> Indices:
    vertical, horizontal = shape.padding
    return np.pad(image.reshape(shape.image), [(vertical,) * 2, (horizontal,) * 2, (0, 0)])


@every
def test_windows_are_cut_out_of_the_image_with_zeros_around_it(shape: Geometry) -> None:
    image = some(shape.inputs)
    cut = np.lib.stride_tricks.sliding_window_view(padded(shape, image), shape.kernel, (0, 1))
    cut = cut[:: shape.stride[0], :: shape.stride[1]].transpose(0, 1, 3, 4, 2)
    assert shape.gathered(image).tolist() == cut.reshape(shape.positions, -1).tolist()


@every
def test_a_convolution_is_a_sum_of_shifted_images(shape: Geometry) -> None:
    """One image, shifted and thinned out, for every tap of the kernel, and no window at all."""
    image, weights = some(shape.inputs), some(shape.outputs * shape.taps, 1)
    kernel = weights.reshape(shape.outputs, *shape.kernel, shape.channels)
    around, (down, across) = padded(shape, image), shape.places
    expected = np.zeros(shape.result, np.int64)
    for y, x in product(*map(range, shape.kernel)):
        last_y, last_x = (down - 1) * shape.stride[0] + 1, (across - 1) * shape.stride[1] + 1
        shifted = around[y : y + last_y : shape.stride[0], x : x + last_x : shape.stride[1]]
        expected += shifted @ kernel[:, y, x].T
    found = shape.gathered(image) @ weights.reshape(shape.outputs, -1).T
    assert found.ravel().tolist() == expected.ravel().tolist()


@every
def test_scattering_adds_every_window_where_it_was_cut_out(shape: Geometry) -> None:
    cut = some(shape.positions * shape.taps).reshape(shape.positions, shape.taps)
    expected = [0] * shape.inputs
    for line, window in zip(cut.tolist(), windows(shape), strict=True):
        for value, place in zip(line, window, strict=True):
            if element(shape, place) >= 0:
                expected[element(shape, place)] += value
    assert shape.scattered(cut).tolist() == expected


@every
def test_scattering_is_the_transpose_of_gathering(shape: Geometry) -> None:
    image, cut = some(shape.inputs), some(shape.positions * shape.taps, 1)
    inner = int((shape.gathered(image).ravel() * cut).sum())
    assert inner == int((image * shape.scattered(cut.reshape(-1, shape.taps))).sum())


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (7, 5), (64, 10)])
def test_a_dense_layer_has_one_window_which_is_its_input(inputs: int, outputs: int) -> None:
    shape = Geometry.dense(inputs, outputs)
    assert (shape.positions, shape.taps, shape.elements) == (1, inputs, outputs)
    assert shape.gathered(some(inputs)).tolist() == [some(inputs).tolist()]
    assert shape.last_cover.all()


# ---- what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "message"),
    [
        (
            (5, 2),
            (1, 1),
            (0, 0),
            "its kernel has a height of 5, but the padded image only 4; use a smaller kernel or "
            "more padding",
        ),
        (
            (3, 8),
            (1, 1),
            (0, 1),
            "its kernel has a width of 8, but the padded image only 7; use a smaller kernel or "
            "more padding",
        ),
        (
            (2, 2),
            (1, 1),
            (2, 0),
            "its padding of 2 is not smaller than its kernel's height of 2, so that whole windows "
            "would be zeros; use at most 1",
        ),
    ],
)
def test_a_kernel_that_cannot_pass_says_why_and_what_would_do(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Geometry((4, 5, 2), 3, kernel, stride, padding)
