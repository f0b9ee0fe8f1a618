"""Windows that lie anyhow: where they lie, their walks, and pooling over them by its definition."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.latency import MEMORY, QUEUE
from counterflow.design.units.pooling import FORWARD, WRITE
from counterflow.design.units.sliding import Sliding
from counterflow.design.units.windows import Axis, Windows
from counterflow.golden.units.pool import Pool

NEAREST, TRUNCATE = Rounding.NEAREST_EVEN, Rounding.TRUNCATE
AXES = [
    Axis(size, kernel, stride, padding)
    for size, kernel, stride, padding in itertools.product(
        range(1, 9), range(1, 6), range(1, 7), range(5)
    )
    if padding < kernel <= size + 2 * padding
]
Case = tuple[tuple[int, int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
CASES: dict[str, Case] = {  # image, kernel, stride, padding
    "3x3 every 2": ((5, 5, 2), (3, 3), (2, 2), (0, 0)),
    "3x3 every 1": ((5, 5, 1), (3, 3), (1, 1), (0, 0)),
    "2x2 every 1": ((4, 5, 3), (2, 2), (1, 1), (0, 0)),
    "2x2 every 3": ((7, 6, 2), (2, 2), (3, 3), (0, 0)),
    "edges that no window reaches": ((5, 5, 1), (2, 2), (2, 2), (0, 0)),
    "padded": ((5, 4, 2), (3, 3), (1, 1), (1, 1)),
    "strided and padded": ((6, 5, 1), (3, 3), (2, 2), (1, 1)),
    "padded to the full": ((4, 4, 2), (3, 3), (1, 1), (2, 2)),
    "unequal": ((5, 6, 1), (3, 2), (1, 3), (2, 1)),
    "along rows": ((6, 5, 2), (1, 3), (2, 1), (0, 1)),
    "along columns": ((6, 1, 3), (3, 1), (2, 1), (1, 0)),
    "windows larger than the image": ((2, 2, 1), (3, 3), (1, 1), (1, 1)),
    "more channels than a memory that is read at once": ((2, 3, 35), (2, 2), (1, 1), (0, 0)),
    "mostly padding": ((4, 4, 1), (5, 5), (2, 2), (3, 3)),
}
FORMATS = (  # of x, dy and dx
    ("s8.4", "s10.6", "s10.6"),
    ("u8.4", "s12.8", "s9.5"),  # a coarser dx, rounded and saturated
    ("u1.0", "s6.2", "s14.9"),  # equal elements everywhere, a finer dx
)


def sliding(
    case: Case,
    average: bool = False,
    formats: tuple[str, str, str] = FORMATS[0],
    rounding: Rounding = NEAREST,
    **changes: Any,
) -> Sliding:
    """A unit of a case; three tokens may be between their passes."""
    (height, width, channels), kernel, stride, padding = case
    x, dy, dx = map(Format.parse, formats)
    fields: dict[str, Any] = {"relu": False, "tokens": 3} | changes
    return Sliding(
        height, width, channels, kernel, average, x=x, dy=dy, dx=dx, stride=stride,
        padding=padding, round_activation=rounding, round_error=rounding, **fields,
    )  # fmt: skip


# ---- where they lie ----------------------------------------------------------------------------


def pixels(axis: Axis) -> list[list[int]]:
    """The pixels of the image in each window, counted out."""
    starts = range(-axis.padding, axis.size + axis.padding - axis.kernel + 1, axis.stride)
    found = [range(start, start + axis.kernel) for start in starts]
    return [[pixel for pixel in window if 0 <= pixel < axis.size] for window in found]


def test_a_walk_forward_ends_each_window_behind_its_last_pixel_and_before_the_next() -> None:
    for axis in AXES:
        last = [max(window) for window in pixels(axis)]
        ends = axis.ends.tolist()
        assert len(ends) == axis.count == len(last)
        assert all(end >= pixel for end, pixel in zip(ends, last, strict=True))
        assert ends == sorted(set(ends))
        assert axis.steps - axis.padding <= axis.size <= axis.steps == ends[-1] + 1
        assert axis.last_pixel == last[-1]


def test_a_walk_back_begins_each_window_before_its_first_pixel_and_after_the_one_before() -> None:
    for axis in AXES:
        first = [min(window) for window in pixels(axis)]
        begins = axis.begins.tolist()
        assert all(one - axis.lead <= pixel for one, pixel in zip(begins, first, strict=True))
        assert begins == sorted(set(begins))
        assert begins[-1] < axis.steps_back == axis.lead + axis.size
        assert axis.lead <= axis.padding


def test_as_many_windows_are_kept_as_can_be_unfinished_between_two_pixels() -> None:
    for axis in AXES:
        starts = np.arange(40) * axis.stride
        between = [
            int(((starts < pixel) & (starts + axis.kernel > pixel)).sum()) for pixel in range(60)
        ]
        over = [((starts <= pixel) & (starts + axis.kernel > pixel)).sum() for pixel in range(60)]
        assert axis.kept_back == max(between)
        assert axis.overlap == max(over)
        assert axis.kept == (max(between) if axis.kernel >= axis.stride else 1)


def test_a_window_ends_behind_the_pixels_that_are_left_out_before_the_next_begins() -> None:
    """Whatever gradient of theirs leaves behind its own, the pixels have come before."""
    for axis in AXES:
        begins = [*axis.begins.tolist()[1:], axis.steps_back]
        for end, following in zip(axis.ends.tolist(), begins, strict=True):
            assert end >= following - axis.lead - 1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_elements_are_covered_and_walked_in_the_order_of_images(case: Case) -> None:
    (height, width, channels), kernel, stride, padding = case
    windows = Windows.of((height, width, channels), kernel, stride, padding)
    rows = pixels(Axis(height, kernel[0], stride[0], padding[0]))
    columns = pixels(Axis(width, kernel[1], stride[1], padding[1]))
    wanted = [
        [(row * width + column) * channels + channel for row in down for column in across]
        for down in rows
        for across in columns
        for channel in range(channels)
    ]
    assert windows.result == (len(rows), len(columns), channels)
    for found, window in zip(windows.covered, wanted, strict=True):
        assert found[found >= 0].tolist() == window
    for steps, count in (
        (windows.taken, windows.steps),
        (windows.ended, windows.steps),
        (windows.begun, windows.steps_back),
        (windows.given, windows.steps_back),
    ):
        assert (np.diff(steps) > 0).all()
        assert 0 <= steps[0] <= steps[-1] < count
    for output, window in enumerate(wanted):
        assert windows.taken[window].max() <= windows.ended[output]
        assert windows.given[window].min() >= windows.begun[output]


def test_windows_side_by_side_are_told_from_others() -> None:
    assert Axis(6, 3, 3).tiled
    for other in (Axis(7, 3, 3), Axis(6, 3, 2), Axis(6, 2, 3), Axis(5, 3, 3, 2)):
        assert not other.tiled


# ---- what they are -----------------------------------------------------------------------------


def noise(number: Format, size: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(number.min, number.max + 1, size)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_maximum_ignores_the_padding_and_gives_its_gradient_to_the_first_of_equals(
    case: Case,
) -> None:
    numbers = sliding(case)
    windows = numbers.windows.covered
    for low, high in ((-128, 128), (-1, 2), (-128, -127), (-5, -3)):
        x = np.random.default_rng(1).integers(low, high, numbers.inputs)
        dy = noise(Format.parse("s7.6"), numbers.outputs)
        unit, dx = Pool(numbers), np.zeros(numbers.inputs, np.int64)
        y = unit.forward(x)
        for output, places in enumerate(windows):
            inside = places[places >= 0]
            assert y[output] == x[inside].max()
            dx[inside[x[inside].argmax()]] += dy[output]
        np.testing.assert_array_equal(unit.backward(dy), np.clip(dx, -512, 511))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rounding", [NEAREST, TRUNCATE])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_average_counts_the_padding_as_zeros_and_sums_gradients_before_it_rounds_once(
    case: Case, rounding: Rounding, relu: bool
) -> None:
    def rounded(value: Fraction) -> tuple[int, ...]:
        """What it may be: of an exact tie, either neighbour, unless the area is a power of two."""
        if rounding is TRUNCATE:
            return (value.__floor__(),)
        ties = numbers.elements & (numbers.elements - 1) and value.denominator == 2
        return (value.__floor__(), value.__ceil__()) if ties else (round(value),)

    numbers = sliding(case, True, rounding=rounding, relu=relu)
    x, dy = noise(numbers.x, numbers.inputs), noise(Format.parse("s7.6"), numbers.outputs)
    unit = Pool(numbers)
    y, dx = unit.forward(x), unit.backward(dy)
    sums = np.zeros(numbers.inputs, np.int64)
    for output, places in enumerate(numbers.windows.covered):
        inside = places[places >= 0]
        assert y[output] in rounded(Fraction(int(x[inside].sum()), numbers.elements))
        sums[inside] += dy[output]
    for element, total in enumerate(sums):
        shut = relu and x[element] <= 0
        assert dx[element] in ((0,) if shut else rounded(Fraction(int(total), numbers.elements)))


def test_gradients_of_several_windows_are_narrowed_once() -> None:
    """Each is too small to be seen alone."""
    case = ((1, 3, 1), (1, 2), (1, 1), (0, 0))
    numbers = sliding(case, formats=("s8.4", "s10.6", "s6.4"))
    unit = Pool(numbers)
    unit.forward(np.array([1, 5, 2]))
    assert unit.backward(np.array([2, 2])).tolist() == [0, 1, 0]
    unit.forward(np.array([1, 5, 2]))
    assert unit.backward(np.array([100, 100])).tolist() == [0, 31, 0]


# ---- when --------------------------------------------------------------------------------------


def test_times_follow_from_the_walks() -> None:
    numbers = sliding(((1, 3, 1), (1, 2), (1, 1), (0, 0)))
    assert numbers.output_times(np.array([0, 10, 20])).tolist() == [10 + FORWARD, 20 + FORWARD]
    found = numbers.gradient_times(np.array([0, 10]))
    assert (found - MEMORY - WRITE - numbers.step_latency).tolist() == [0, 10, 11]


def test_a_walk_starts_so_late_that_it_ends_before_the_next_one_starts() -> None:
    numbers = sliding(((3, 3, 1), (3, 3), (1, 1), (1, 1)))
    assert (numbers.windows.steps, numbers.windows.steps_back) == (16, 16)
    together = np.arange(9)
    assert numbers.ahead_of(together) == 1
    assert numbers.steps_of(together)[[0, -1]].tolist() == [QUEUE, QUEUE + 15]
    apart = np.arange(9) * 3
    assert numbers.interval == 16
    late = int(apart[-1]) + QUEUE + 5  # a step beside the last row and four below
    ahead = numbers.ahead_of(apart)
    steps = numbers.steps_of(apart)
    assert steps[0] == apart[ahead - 1] + QUEUE
    assert steps[-1] == late
    assert late - steps[0] < apart[-1] + 1
    assert late - (apart[ahead - 2] + QUEUE) >= apart[-1] + 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"stride": (1, 1), "kernel": (9, 9)}, "its kernel has a height of 9, but the padded image"),
    ({"padding": (0, 3)}, "its padding of 3 is not smaller than its kernel's width of 3"),
    ({"queue_words": 0}, "queue_words, ahead and waiting_words must be positive"),
    ({"kernel": (1, 1)}, "a window of 1x1 elements pools nothing"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_what_cannot_be_built_is_refused_in_a_sentence(changes: Any, message: str) -> None:
    fields = {"kernel": (3, 3), "stride": (1, 1), "padding": (0, 0)} | changes
    case = (5, 5, 2), fields.pop("kernel"), fields.pop("stride"), fields.pop("padding")
    with pytest.raises(ValueError, match=message) as caught:
        sliding(case, **fields)
    assert "\n" not in str(caught.value)
