"""Formats for what was counted: wide enough for the values, fine enough for what is done with them.

    range     holds ROOM times the magnitude that 99.9 % of the values do not exceed
    fraction  the noise of rounding, 2^-frac / sqrt(12), is at most NOISE of their root mean square

A velocity and its weight share the fraction bits that the updates need.  Rounded to nearest, a
velocity stands still once it is below 2^(k-1) last places, for a momentum of 1 - 2^-k: k bits more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from counterflow.design.choice.homes import ROLES, Home
from counterflow.design.choice.tally import Tally
from counterflow.design.network.description import MIN_LOGIT, Description
from counterflow.design.parts.fields import MAX_TANH_BITS
from counterflow.design.parts.formats import MAX_BITS, Format, Rounding

ROOM = 1.5
NOISE = 0.02
SHARE = 0.999


@dataclass(frozen=True)
class Choice:
    """The format that is proposed for a home, and why, in a sentence."""

    home: Home
    format: Format
    why: str

    @property
    def changes(self) -> bool:
        """Whether it is another one than there is."""
        return self.format != self.home.format


def choices(description: Description, tallies: Mapping[Home, Tally]) -> list[Choice]:
    """A format for every home of which something was counted; ``tallies`` are those of floats."""
    updates = {
        home.where: _fraction_of_updates(description, tally)
        for home, tally in tallies.items()
        if home.role == "update"
    }
    found = []
    for home in sorted(tallies, key=lambda one: (one.layer, ROLES.index(one.role))):
        tally = tallies[home]
        if home.role == "update" or not tally.others:
            continue
        if home.role in ("weight", "velocity"):
            if home.where in updates:
                found.append(_parameter(home, tally, *updates[home.where]))
        else:
            found.append(_value(description, home, tally))
    return found


def shared_fraction(choice: Choice, frac: int, why: str) -> Choice:
    """`choice` with another fraction of as much range, and a sentence about it."""
    more = frac - choice.format.frac
    bits = max(2, min(MAX_BITS, choice.format.bits + more))
    return Choice(choice.home, Format(choice.format.signed, bits, frac), f"{choice.why}{why}")


def _above(least: float) -> int:
    """Bits above the point, perhaps fewer than none, of a format that holds `least`."""
    return math.floor(math.log2(least)) + 1


def _fraction(rms: float) -> int:
    """Fraction bits whose noise is at most NOISE of `rms`."""
    return max(0, math.ceil(-math.log2(NOISE * math.sqrt(12) * rms)))


def _value(description: Description, home: Home, tally: Tally) -> Choice:
    """That of what is narrowed afresh with every sample."""
    most, frac = tally.percentile(SHARE), _fraction(tally.rms)
    if home.bounded:
        # Nothing is beyond what bounds it, and a last place less than that is near enough.
        above, room = math.ceil(math.log2(max(tally.largest, 2.0**-frac))), ""
        said = f"the largest value is {tally.largest:.3g}"
    else:
        above, room = _above(ROOM * most), f", with room for {ROOM:g} times that"
        said = f"99.9 % of the values are within {most:.3g}"
    least, needs = _least_above(description, home)
    if above < least:
        above, said = least, f"{needs}"
        room = ""
    frac = max(frac, 1 - above)
    if home.role == "preactivation" or (home.role == "activation" and home.bounded):
        frac = min(frac, MAX_TANH_BITS - 1 - above)
    number = _format(home.format.signed, above, frac)
    noise = f"{number.frac} fraction bits keep the noise of rounding within {_noise(number, tally)}"
    return Choice(home, number, f"{said}{room}; {noise} of their root mean square {tally.rms:.3g}.")


def _least_above(description: Description, home: Home) -> tuple[int, str]:
    """Bits above the point that a description asks of a format, and why."""
    if home.role == "logit":
        return math.ceil(math.log2(MIN_LOGIT)), f"scores need a range of at least {MIN_LOGIT}"
    if home.role == "error" and home.layer == description.weighted[-1].name:
        return 1, "the error of a label can be a little below -1"
    if home.role in ("operand", "weight"):
        taps = {unit.name: unit.geometry.taps for unit in description.weighted}
        needed = min(1.0, math.sqrt(2 / taps[home.layer])) if home.layer in taps else 1.0
        return math.ceil(math.log2(needed)), f"initial weights are mostly within {needed:.2g}"
    return -MAX_BITS, ""


def _fraction_of_updates(description: Description, tally: Tally) -> tuple[int, str]:
    """Fraction bits of weight and velocity, and why."""
    if not tally.others:
        return 0, "no weight was to move"
    frac, extra = _fraction(tally.rms), ""
    k = description.recipe.momentum_shift
    if k and description.rounding.update is not Rounding.STOCHASTIC:
        frac += k
        extra = f", {k} of them as a velocity rounded to nearest stands still below 2^{k - 1} places"
    size = f"updates have the root mean square {tally.rms:.2g}"
    return min(frac, MAX_BITS), f"{size}, which takes {frac} fraction bits{extra}"


def _parameter(home: Home, tally: Tally, frac: int, why: str) -> Choice:
    most, above = tally.percentile(SHARE), 0
    above = _above(ROOM * most)
    if home.role == "weight":
        above = max(above, 0)
    number = _format(True, above, frac)
    within = f"99.9 % of the values are within {most:.2g}"
    return Choice(home, number, f"{within}, with room for {ROOM:g} times that; {why}.")


def _format(signed: bool, above: int, frac: int) -> Format:
    """The format of so many bits above the point, with fewer below it where it would be too wide."""
    sign, least = int(signed), 2 if signed else 1
    frac = min(frac, MAX_BITS, MAX_BITS - sign - above)
    return Format(signed, max(least, sign + above + frac), frac)


def _noise(number: Format, tally: Tally) -> str:
    return f"{100 * 2.0**-number.frac / math.sqrt(12) / tally.rms:.1f} %"
