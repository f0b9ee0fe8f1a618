"""Fork and sum in exact integers and in float64: plain arithmetic, and the laws of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.fork import Fork
from counterflow.design.units.sum import Branch, Sum
from counterflow.golden.reference.units.fork import Fork as FloatFork
from counterflow.golden.reference.units.sum import Sum as FloatSum
from counterflow.golden.units.fork import Fork as GoldenFork
from counterflow.golden.units.sum import Sum as GoldenSum

NEAREST, TRUNCATE = Rounding.NEAREST_EVEN, Rounding.TRUNCATE
ROUNDINGS = some.sampled_from((NEAREST, TRUNCATE))
ELEMENTS = 6


@some.composite
def formats(draw: Any, signed: bool | None = None) -> Format:
    bits = draw(some.integers(2, 12))
    return Format(
        draw(some.booleans()) if signed is None else signed, bits, draw(some.integers(0, 9))
    )


@some.composite
def forks(draw: Any) -> Fork:
    return Fork(
        elements=ELEMENTS,
        branches=draw(some.integers(2, 4)),
        x=draw(formats()),
        error=draw(formats(signed=True)),
        round_error=draw(ROUNDINGS),
        wanted=True,
        queues=(1,) * 4,
    )


@some.composite
def sums(draw: Any) -> Sum:
    branches = some.builds(
        Branch, formats(), formats(signed=True), some.booleans(), some.booleans()
    )
    return Sum(
        elements=ELEMENTS,
        branches=tuple(draw(some.lists(branches, min_size=2, max_size=4))),
        y=draw(formats()),
        dy=draw(formats(signed=True)),
        round_activation=draw(ROUNDINGS),
        round_error=draw(ROUNDINGS),
        queues=(1,) * 4,
        stash_words=ELEMENTS,
        relu=draw(some.booleans()),
    )


def noise(number: Format, seed: int) -> Any:
    """Whole ranges; zeros and both ends are frequent."""
    random = np.random.default_rng(seed)
    wide = random.integers(number.min, number.max + 1, ELEMENTS)
    ends = random.choice([number.min, number.max, 0], ELEMENTS)
    return np.where(random.random(ELEMENTS) < 0.5, ends, wide)


def plain(value: Fraction, number: Format, rounding: Rounding) -> int:
    """A value in a format, rounded once and limited."""
    exact = value * 2**number.frac
    whole = round(exact) if rounding is NEAREST else exact.__floor__()
    return min(max(whole, number.min), number.max)


def inputs(numbers: Sum, seed: int) -> list[Any]:
    return [noise(branch.x, seed + index) for index, branch in enumerate(numbers.branches)]


def gradients(numbers: Fork, seed: int) -> list[Any]:
    return [noise(numbers.error, seed + index) for index in range(numbers.branches)]


# ---- fork --------------------------------------------------------------------------------------


@given(forks(), some.integers(0, 999))
def test_a_fork_gives_its_input_to_each_branch_and_sums_their_gradients(
    numbers: Fork, seed: int
) -> None:
    unit, x, dy = GoldenFork(numbers), noise(numbers.x, seed), gradients(numbers, seed)
    assert [y.tolist() for y in unit.forward(x)] == [x.tolist()] * numbers.branches
    for element, found in enumerate(unit.backward(*dy).tolist()):
        total = sum(Fraction(int(one[element]), 2**numbers.error.frac) for one in dy)
        assert found == plain(Fraction(total), numbers.error, numbers.round_error)


@given(forks(), some.integers(0, 999), some.randoms())
def test_the_order_of_the_branches_of_a_fork_does_not_matter(
    numbers: Fork, seed: int, random: Any
) -> None:
    unit, dy = GoldenFork(numbers), gradients(numbers, seed)
    other = random.sample(dy, len(dy))
    np.testing.assert_array_equal(unit.backward(*dy), unit.backward(*other))


@given(forks(), some.integers(0, 999), some.integers(0, 3))
def test_where_all_other_gradients_are_zero_a_fork_sends_the_one_back(
    numbers: Fork, seed: int, branch: int
) -> None:
    dy = [np.zeros(ELEMENTS, np.int64) for _ in range(numbers.branches)]
    dy[branch % numbers.branches] = one = noise(numbers.error, seed)
    np.testing.assert_array_equal(GoldenFork(numbers).backward(*dy), one)


@given(forks(), some.integers(0, 999))
def test_the_exact_sum_of_gradients_has_a_format_of_its_own(numbers: Fork, seed: int) -> None:
    worst = numbers.branches * numbers.error.min
    assert numbers.total.min <= worst <= numbers.branches * numbers.error.max <= numbers.total.max


def test_gradients_are_limited_once_behind_the_exact_sum() -> None:
    """120 + 120 - 128 fits, though its first two do not."""
    numbers = Fork(1, 3, Format.parse("u8.4"), Format.parse("s8.4"), NEAREST, True, (1,) * 3)
    unit = GoldenFork(numbers)
    for dy, dx in (((120, 120, -128), 112), ((120, 120, 0), 127), ((-100, -100, 3), -128)):
        assert unit.backward(*(np.array([one]) for one in dy)).tolist() == [dx]


# ---- sum ---------------------------------------------------------------------------------------


@given(sums(), some.integers(0, 999))
def test_a_sum_is_exact_and_narrowed_once(numbers: Sum, seed: int) -> None:
    x = inputs(numbers, seed)
    for element, found in enumerate(GoldenSum(numbers).forward(*x).tolist()):
        pairs = zip(x, numbers.branches, strict=True)
        total = sum(Fraction(int(one[element]), 2**branch.x.frac) for one, branch in pairs)
        active = max(total, 0) if numbers.relu else total
        assert found == plain(Fraction(active), numbers.y, numbers.round_activation)
        assert numbers.total.min <= total * 2**numbers.total.frac <= numbers.total.max


@given(sums(), some.integers(0, 999))
def test_each_branch_gets_the_gradient_in_its_format_where_its_relu_is_open(
    numbers: Sum, seed: int
) -> None:
    assume(numbers.wanted)
    unit, x, dy = GoldenSum(numbers), inputs(numbers, seed), noise(numbers.dy, seed)
    unit.forward(*x)
    expected = [
        [
            plain(Fraction(int(one), 2**numbers.dy.frac), branch.dx, numbers.round_error)
            if value > 0 or not branch.masks
            else 0
            for one, value in zip(dy, values, strict=True)
        ]
        for values, branch in zip(x, numbers.branches, strict=True)
        if branch.wanted
    ]
    assert [dx.tolist() for dx in unit.backward(dy)] == expected


@given(sums(), some.integers(0, 999), some.randoms())
def test_a_sum_commutes(numbers: Sum, seed: int, random: Any) -> None:
    x, dy = inputs(numbers, seed), noise(numbers.dy, seed)
    order = random.sample(range(len(x)), len(x))
    turned = replace(numbers, branches=tuple(numbers.branches[index] for index in order))
    one, other = GoldenSum(numbers), GoldenSum(turned)
    np.testing.assert_array_equal(one.forward(*x), other.forward(*(x[index] for index in order)))
    if not numbers.wanted:
        assert not any((one.remembered, other.remembered))
        return
    wanted = [index for index in range(len(x)) if numbers.branches[index].wanted]
    found = dict(zip(wanted, one.backward(dy), strict=True))
    again = [index for index in order if numbers.branches[index].wanted]
    for index, dx in zip(again, other.backward(dy), strict=True):
        np.testing.assert_array_equal(dx, found[index])


def two(x: tuple[str, str], y: str, **changes: Any) -> Sum:
    number, error = [Format.parse(one) for one in x], Format.parse("s8.4")
    branches = tuple(Branch(one, error, True, True) for one in number)
    plain = Sum(1, branches, Format.parse(y), error, NEAREST, NEAREST, (1, 1), 1)
    return replace(plain, **changes)


def test_fractions_of_branches_that_each_alone_is_rounded_away_make_a_sum() -> None:
    """1/4 + 1/4 is 1/2 and rounds to even; 3/4 + 3/4 is 2 halves, not one and one."""
    unit = GoldenSum(two(("u8.2", "u8.2"), "u8.1"))
    for x, y in (((1, 1), 1), ((3, 3), 3), ((1, 0), 0), ((3, 0), 2)):
        assert unit.forward(np.array([x[0]]), np.array([x[1]])).tolist() == [y]


def test_branches_of_other_formats_are_aligned_and_the_sum_is_limited() -> None:
    unit = GoldenSum(two(("u8.4", "s8.7"), "s6.4"))
    cases = ((16, 64, 24), (255, 127, 31), (0, -128, -16), (0, -127, -16), (1, -4, 0))
    for one, other, y in cases:
        assert unit.forward(np.array([one]), np.array([other])).tolist() == [y]


def test_a_relu_comes_before_the_one_rounding_and_may_end_in_an_unsigned_format() -> None:
    """-3/4 is 0 behind it; truncated first, -1/4 were -1 and stays 0; 7/4 + 3/4 is limited."""
    cases = ((-3, 0, 0), (-1, 0, 0), (-3, 5, 0), (-3, 7, 1), (7, 3, 2), (127, 127, 63))
    for y in ("u6.0", "s7.0"):
        unit = GoldenSum(two(("s8.2", "s8.2"), y, relu=True, round_activation=TRUNCATE))
        for one, other, found in cases:
            assert unit.forward(np.array([one]), np.array([other])).tolist() == [found]
        bare = GoldenSum(two(("s8.2", "s8.2"), "s7.0", round_activation=TRUNCATE))
        assert bare.forward(np.array([-3]), np.array([0])).tolist() == [-1]


def test_gradients_belong_to_the_token_that_has_waited_longest() -> None:
    unit, alone = GoldenSum(two(("s8.4", "s8.4"), "s9.4")), GoldenSum(two(("s8.4", "s8.4"), "s9.4"))
    tokens = [(np.array([a]), np.array([b])) for a, b in ((1, 0), (0, 1), (-1, 5), (2, 2))]
    for x in tokens:
        unit.forward(*x)
    other = unit.copy()
    for x in tokens:
        alone.forward(*x)
        for one, expected in zip(
            unit.backward(np.array([9])), alone.backward(np.array([9])), strict=True
        ):
            np.testing.assert_array_equal(one, expected)
    with pytest.raises(IndexError):
        unit.backward(np.array([9]))
    assert len(other.remembered) == 4
    other.reset()
    assert not other.remembered


# ---- in float64 --------------------------------------------------------------------------------


@given(some.integers(2, 4), some.integers(0, 999))
def test_the_float_units_do_the_same_without_rounding(branches: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, dy = random.normal(size=(branches, ELEMENTS)), random.normal(size=(branches, ELEMENTS))
    fork, masks = FloatFork(branches), tuple(random.random(branches) < 0.5)
    assert all(y is x[0] for y in fork.forward(0, x[0]) if y.base is None)
    np.testing.assert_allclose(fork.backward(0, *dy), dy.sum(axis=0), rtol=0, atol=1e-14)
    unit = FloatSum(masks, (True,) * branches)
    np.testing.assert_allclose(unit.forward(3, *x), x.sum(axis=0), rtol=0, atol=1e-14)
    active = FloatSum(masks, (True,) * branches, relu=True)
    np.testing.assert_array_equal(active.forward(3, *x), np.maximum(unit.forward(3, *x), 0))
    for one, values, masked in zip(unit.backward(3, dy[0]), x, masks, strict=True):
        np.testing.assert_array_equal(one, np.where((values > 0) | (not masked), dy[0], 0))
