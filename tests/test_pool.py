"""Pooling in exact integers, by its definition, and the times and depths that are foretold."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.pooling import BACKWARD, FORWARD, Pooling
from counterflow.golden.units.pool import Pool

NEAREST, TRUNCATE = Rounding.NEAREST_EVEN, Rounding.TRUNCATE
SHAPES = (  # height, width, channels, kernel
    (4, 6, 3, (2, 2)),
    (3, 4, 1, (1, 2)),
    (4, 3, 5, (2, 1)),
    (6, 3, 1, (3, 3)),
    (4, 6, 3, (2, 3)),
    (4, 8, 1, (4, 4)),
)


def pooling(shape: Any = SHAPES[0], average: bool = False, **changes: Any) -> Pooling:
    numbers: dict[str, Any] = {
        "relu": False,
        "x": Format.parse("s8.4"),
        "dy": Format.parse("s10.6"),
        "dx": Format.parse("s10.6"),
        "round_activation": NEAREST,
        "round_error": NEAREST,
        "tokens": 2,
    }
    return Pooling(*shape, average, **(numbers | changes))


def noise(number: Format, size: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(number.min, number.max + 1, size)


def windows(numbers: Pooling) -> list[list[int]]:
    """The elements of x in each window, in raster order, window after window."""
    high, wide = numbers.kernel
    return [
        [
            ((row + down) * numbers.width + column + right) * numbers.channels + channel
            for down in range(high)
            for right in range(wide)
        ]
        for row in range(0, numbers.height, high)
        for column in range(0, numbers.width, wide)
        for channel in range(numbers.channels)
    ]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_windows_are_those_of_images_with_channels_last(shape: Any) -> None:
    numbers = pooling(shape)
    wanted = windows(numbers)
    assert numbers.outputs == len(wanted)
    assert numbers.last_of.tolist() == [max(window) for window in wanted]
    for output, window in enumerate(wanted):
        assert np.flatnonzero(numbers.window_of == output).tolist() == sorted(window)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_maximum_is_the_largest_and_its_gradient_goes_to_the_first_of_equals(shape: Any) -> None:
    numbers = pooling(shape)
    for low, high in ((-128, 128), (-1, 2), (0, 1), (-5, -3)):
        x = np.random.default_rng(1).integers(low, high, numbers.inputs)
        dy = noise(numbers.dy, numbers.outputs)
        unit = Pool(numbers)
        y = unit.forward(x)
        dx = np.zeros(numbers.inputs, np.int64)
        for output, window in enumerate(windows(numbers)):
            elements = x[window].tolist()
            assert y[output] == max(elements)
            dx[window[elements.index(max(elements))]] = dy[output]
        np.testing.assert_array_equal(unit.backward(dy), dx)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rounding", [NEAREST, TRUNCATE])
def test_an_average_and_its_gradient_are_the_exact_ones_rounded_once(
    rounding: Rounding, relu: bool
) -> None:
    def rounded(value: Fraction) -> int:
        return round(value) if rounding is NEAREST else value.__floor__()

    for shape in (SHAPES[0], SHAPES[1], SHAPES[5]):
        numbers = pooling(shape, True, relu=relu, round_activation=rounding, round_error=rounding)
        x, dy = noise(numbers.x, numbers.inputs), noise(numbers.dy, numbers.outputs)
        unit = Pool(numbers)
        y, dx = unit.forward(x), unit.backward(dy)
        for output, window in enumerate(windows(numbers)):
            assert y[output] == rounded(Fraction(int(x[window].sum()), len(window)))
            part = rounded(Fraction(int(dy[output]), len(window)))
            assert dx[window].tolist() == [part if x[i] > 0 or not relu else 0 for i in window]


def test_gradients_are_rounded_and_saturated_to_their_format() -> None:
    numbers = pooling((2, 1, 1, (2, 1)), dy=Format.parse("s10.6"), dx=Format.parse("s6.4"))
    unit = Pool(numbers)
    for dy, dx in ((511, 31), (-512, -32), (2, 0), (6, 2), (5, 1)):
        unit.forward(np.array([3, -3]))
        assert unit.backward(np.array([dy])).tolist() == [dx, 0]


@pytest.mark.parametrize("average", [False, True])
def test_gradients_belong_to_the_token_that_has_waited_longest(average: bool) -> None:
    numbers = pooling(average=average, relu=True)
    unit, alone = Pool(numbers), Pool(numbers)
    samples = [noise(numbers.x, numbers.inputs, seed) for seed in range(5)]
    dy = noise(numbers.dy, numbers.outputs)
    for x in samples:
        unit.forward(x)
    for x in samples:
        alone.forward(x)
        np.testing.assert_array_equal(unit.backward(dy), alone.backward(dy))
    with pytest.raises(IndexError):
        unit.backward(dy)


def test_a_copy_goes_its_own_way_and_a_reset_forgets() -> None:
    numbers = pooling()
    unit = Pool(numbers)
    unit.forward(noise(numbers.x, numbers.inputs))
    other = unit.copy()
    other.remembered[0][:] = 0
    other.forward(noise(numbers.x, numbers.inputs, 1))
    assert len(unit.remembered) == 1
    assert unit.remembered[0].any()
    unit.reset()
    assert not unit.remembered
    assert len(other.remembered) == 2


WRONG = [
    ({"shape": (5, 6, 3, (2, 2))}, "windows of 2x2 do not tile an image of 5x6"),
    ({"shape": (4, 6, 3, (2, 4))}, "windows of 2x4 do not tile an image of 4x6"),
    ({"shape": (4, 6, 3, (1, 1))}, "a window of 1x1 elements pools nothing"),
    ({"shape": (4, 6, 3, (2, 0))}, "a window of 2x0 elements pools nothing"),
    ({"shape": (4, 6, 0, (2, 2))}, "channels is 0, but must be positive"),
    ({"tokens": 0}, "tokens is 0, but must be positive"),
    ({"gradient_rows": 0}, "gradient_rows is 0, but must be positive"),
    (
        {"shape": SHAPES[4], "average": True, "x": Format.parse("s32.4")},
        "the mean of 6 elements, which divides sums in s32.4, takes products of 69 bits",
    ),
    (
        {"shape": SHAPES[4], "average": True, "dy": Format.parse("s32.4")},
        "which divides gradients in s32.4, takes products of",
    ),
    ({"round_error": Rounding.STOCHASTIC}, "no random bits"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_what_cannot_be_built_is_refused_in_a_sentence(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        pooling(**changes)
    assert "\n" not in str(caught.value)


def test_an_output_leaves_a_fixed_time_after_the_last_element_of_its_window() -> None:
    numbers = pooling((2, 4, 1, (2, 2)))
    assert numbers.output_times(np.arange(8) * 10).tolist() == [50 + FORWARD, 70 + FORWARD]


def test_gradients_leave_one_a_cycle_in_order_and_wait_for_theirs() -> None:
    numbers = pooling((2, 4, 1, (2, 2)))
    together, apart = np.array([0, 1]), np.array([0, 10])
    assert numbers.gradient_times(together).tolist() == [BACKWARD + n for n in range(8)]
    steps = [0, 1, 10, 11, 12, 13, 14, 15]
    assert numbers.gradient_times(apart).tolist() == [BACKWARD + n for n in steps]
    assert numbers.gradient_interval(together) == numbers.interval == 8
    assert numbers.gradient_interval(apart) == 16


def test_the_stash_costs_a_place_a_window_or_a_bit_an_element() -> None:
    for shape, bits in zip(SHAPES, (2, 1, 1, 4, 3, 4), strict=True):
        numbers = pooling(shape, tokens=5)
        assert numbers.stash_bits == 5 * numbers.outputs * bits
    assert pooling(average=True, relu=True, tokens=5).stash_bits == 5 * 4 * 6 * 3
    assert pooling(average=True, relu=False, tokens=5).stash_bits == 0


def test_two_tokens_of_gradient_are_the_most_that_ever_wait() -> None:
    for seed, shape in enumerate(SHAPES):
        numbers = pooling(shape)
        source = np.random.default_rng(seed)
        for gap in (2, 5, 40):
            arrivals = np.cumsum(source.integers(1, gap, numbers.outputs))
            span = int(arrivals[-1] - arrivals[0]) + 1
            interval = max(span, numbers.gradient_interval(arrivals))
            held = numbers.gradients_held(arrivals, interval)
            assert 1 <= held <= 2 * numbers.outputs + BACKWARD
