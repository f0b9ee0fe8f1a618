"""Averages over any area: what a division by shifts and additions makes of every sum there is."""

from __future__ import annotations

import numpy as np
import pytest

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.division import Division
from counterflow.golden.parts.narrow import narrow

NEAREST, TRUNCATE = Rounding.NEAREST_EVEN, Rounding.TRUNCATE
AREAS = [*range(2, 65), 81, 96, 100, 121, 144, 169, 196, 225, 400, 625, 900, 961, 992, 1024]
WIDE = Format.parse("s32.0")


def quotients(by: Division, sums: object) -> object:
    """Sums divided, with `lift` fraction bits more than they have."""
    product = np.asarray(sums) * by.multiplier + by.offset
    target = Format(True, 48, by.lift)
    found, clipped = narrow(product, by.shift, target, by.rounding)
    assert not clipped.any()
    return found


@pytest.mark.parametrize("bits", [2, 8])
def test_a_mean_is_the_exact_one_but_for_ties_and_never_a_place_off(bits: int) -> None:
    """Every sum of every area of elements of so many bits, of either sign."""
    for area in AREAS:
        largest = area * ((1 << bits) - 1)
        sums = np.arange(-largest, largest + 1)
        by = Division(area, largest)
        found = np.asarray(quotients(by, sums))
        rest = 2 * (sums - found * area)  # twice the distance from the mean, times the area
        assert np.abs(rest).max() <= area
        ties = np.abs(rest) == area
        if area & (area - 1) == 0:
            assert not (found[ties] & 1).any()
        floor = np.asarray(quotients(Division(area, largest, rounding=TRUNCATE), sums))
        np.testing.assert_array_equal(floor, sums // area)


@pytest.mark.parametrize("lift", [1, 4])
def test_a_finer_quotient_is_as_exact(lift: int) -> None:
    for area in (3, 6, 9, 12, 25, 49):
        sums = np.arange(-3000, 3001)
        found = np.asarray(quotients(Division(area, 3000, lift), sums))
        assert np.abs(2 * ((sums << lift) - found * area)).max() <= area
        floor = np.asarray(quotients(Division(area, 3000, lift, TRUNCATE), sums))
        np.testing.assert_array_equal(floor, (sums << lift) // area)


@pytest.mark.parametrize("area", [3, 9, 49, 961])
def test_with_a_much_coarser_multiplier_it_would_be_off(area: int) -> None:
    largest = area * 255
    sums, shift = np.arange(-largest, largest + 1), Division(area, largest).shift
    off = []
    for less in (0, 6):
        multiplier = round(2.0 ** (shift - less) / area)
        found, _ = narrow(sums * multiplier, shift - less, WIDE, NEAREST)
        off.append(bool((np.abs(2 * (sums - found * area)) > area).any()))
    assert off == [False, True]


def test_a_power_of_two_is_a_shift() -> None:
    for area in (1, 2, 4, 1024):
        by = Division(area, 255 * area, 3, TRUNCATE)
        assert (by.multiplier, by.offset, 1 << by.shift, by.latency) == (1, 0, area, 0)


def test_terms_are_the_non_zero_digits() -> None:
    for area in AREAS:
        for rounding in (NEAREST, TRUNCATE):
            by = Division(area, 255 * area, 0, rounding)
            rest, digits = by.multiplier, 0
            while rest:
                if rest & 1:
                    rest -= 2 - (rest & 3)
                    digits += 1
                rest >>= 1
            assert by.terms == digits + (by.offset > 0)


def test_what_the_model_cannot_hold_is_refused() -> None:
    Division(9, 9 << 24).check("sums in u24.4")
    with pytest.raises(ValueError, match="which divides sums in u28"):
        Division(9, 9 << 28).check("sums in u28.4")
