"""Narrowing is exact rational rounding, then saturation; formats are as wide as they must be."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.parts.formats import MAX_BITS, Format, Rounding, signed_for
from counterflow.golden.parts.generator import draws
from counterflow.golden.parts.narrow import narrow, round_off, saturate

DETERMINISTIC = [Rounding.TRUNCATE, Rounding.NEAREST_EVEN]


def exactly_rounded(value: Fraction, rounding: Rounding) -> int:
    """The oracle; Python rounds a `Fraction` to the nearest integer, ties to the even one."""
    return math.floor(value) if rounding is Rounding.TRUNCATE else round(value)


def some_formats() -> st.SearchStrategy[Format]:
    def build(signed: bool, bits: int, frac: int) -> Format:
        return Format(signed, bits, frac)

    return st.builds(build, st.booleans(), st.integers(2, 16), st.integers(0, 16))


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("drop", range(-3, 8))
def test_rounding_off_is_exact_rational_rounding_of_every_value(
    rounding: Rounding, drop: int
) -> None:
    values = np.arange(-1030, 1031)
    expected = [exactly_rounded(Fraction(int(v)) / Fraction(2) ** drop, rounding) for v in values]
    np.testing.assert_array_equal(round_off(values, drop, rounding), expected)


@pytest.mark.parametrize("rounding", DETERMINISTIC)
@pytest.mark.parametrize("signed", [False, True])
def test_narrowing_is_rounding_then_saturation_for_every_value_and_small_format(
    rounding: Rounding, signed: bool
) -> None:
    values = np.arange(-300, 301)
    for bits in range(2, 8):
        for frac in range(7):
            target = Format(signed, bits, frac)
            exact = [
                exactly_rounded(Fraction(int(v), 2**4) * 2**frac, rounding)  # v has 4 fraction bits
                for v in values
            ]
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
            narrowed, clipped = narrow(values, 4, target, rounding)
            np.testing.assert_array_equal(narrowed, [min(max(e, low), high) for e in exact])
            np.testing.assert_array_equal(clipped, [not low <= e <= high for e in exact])


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    values=st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=20),
    frac=st.integers(0, 24),
    target=some_formats(),
    rounding=st.sampled_from(DETERMINISTIC),
)
def test_narrowing_keeps_order_is_close_and_is_idempotent(
    values: list[int], frac: int, target: Format, rounding: Rounding
) -> None:
    wide = np.array(sorted(values))
    narrowed, clipped = narrow(wide, frac, target, rounding)
    assert (np.diff(narrowed) >= 0).all()
    assert target.min <= narrowed.min()
    assert narrowed.max() <= target.max
    again, clipped_again = narrow(narrowed, target.frac, target, rounding)
    np.testing.assert_array_equal(again, narrowed)
    assert not clipped_again.any()
    for before, after, outside in zip(wide, narrowed, clipped, strict=True):
        error = Fraction(int(after)) - Fraction(int(before)) * Fraction(2) ** (target.frac - frac)
        if outside:
            assert after in (target.min, target.max)
        elif rounding is Rounding.TRUNCATE:
            assert -1 < error <= 0
        else:
            assert abs(error) <= Fraction(1, 2)


@pytest.mark.parametrize("drop", range(1, 9))
def test_stochastic_rounding_is_unbiased_over_all_random_numbers(drop: int) -> None:
    randoms = np.arange(2**drop)
    for value in range(-(2**9), 2**9, 7):
        results = round_off(np.full(2**drop, value), drop, Rounding.STOCHASTIC, randoms)
        assert int(results.sum()) == value  # mean value * 2**-drop, to the last bit
        assert set(results.tolist()) <= {value >> drop, (value >> drop) + 1}


@pytest.mark.parametrize("where", ["lowest", "highest"])
def test_stochastic_rounding_by_the_generator_is_unbiased(where: str) -> None:
    """The mean over many draws is within five standard deviations of the exact value."""
    drop, count = 10, 50_000
    random = draws(0x1234567, count)
    random = random >> (32 - drop) if where == "highest" else random & (2**drop - 1)
    for value in (1, 300, 512, 1000, -1, -700, 5 * 1024 + 77):
        results = round_off(np.full(count, value), drop, Rounding.STOCHASTIC, random)
        chance = (value % 2**drop) / 2**drop
        deviation = math.sqrt(chance * (1 - chance) / count)
        assert abs(results.mean() - value / 2**drop) < 5 * deviation


def test_stochastic_rounding_without_random_bits_is_an_error() -> None:
    with pytest.raises(ValueError, match="stochastic rounding needs random bits"):
        round_off(np.array([1]), 1, Rounding.STOCHASTIC)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(target=some_formats(), value=st.integers(-(2**20), 2**20))
def test_saturation_moves_to_the_nearest_value_of_the_format(target: Format, value: int) -> None:
    result, clipped = saturate(np.array([value]), target)
    inside = target.min <= value <= target.max
    assert bool(clipped[0]) is not inside
    assert int(result[0]) == (value if inside else target.min if value < 0 else target.max)


@settings(derandomize=True, deadline=None)
@given(signed=st.booleans(), bits=st.integers(2, MAX_BITS), frac=st.integers(0, MAX_BITS))
def test_a_format_reads_back_what_it_writes_and_holds_its_number_of_integers(
    signed: bool, bits: int, frac: int
) -> None:
    target = Format(signed, bits, frac)
    assert Format.parse(str(target)) == target
    assert target.max - target.min + 1 == 2**bits
    assert target.min == (-(2 ** (bits - 1)) if signed else 0)
    assert target.magnitude == max(abs(target.min), abs(target.max))
    assert target.value(target.max) == float(Fraction(target.max, 2**frac))


def test_the_format_for_a_magnitude_is_the_narrowest_that_holds_it() -> None:
    for magnitude in [*range(1, 2000), 2**20 - 1, 2**20, 2**20 + 1]:
        chosen = signed_for(magnitude, 3)
        assert chosen.frac == 3
        assert chosen.min <= -magnitude
        assert magnitude <= chosen.max
        if chosen.bits > 2:
            assert magnitude > Format(True, chosen.bits - 1, 3).max


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8.4", "'8.4' is not a number format"),
        ("s8", "'s8' is not a number format"),
        (12, "12 is not a number format"),
        ("s1.0", "format s1.0 has 1 bits; 2 to "),
        ("u0.0", "format u0.0 has 0 bits; 1 to "),
        (f"u{MAX_BITS + 1}.0", f"format u{MAX_BITS + 1}.0 has {MAX_BITS + 1} bits; 1 to "),
        (f"s8.{MAX_BITS + 1}", f"format s8.{MAX_BITS + 1} has {MAX_BITS + 1} fraction bits; 0 to "),
    ],
)
def test_a_bad_format_is_quoted(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Format.parse(text)
