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

from counterflow.design.choice.homes import Home, in_order
from counterflow.design.choice.tally import Tally
from counterflow.design.network.description import Description
from counterflow.design.network.ends import MIN_LOGIT
from counterflow.design.parts.fields import MAX_TANH_BITS
from counterflow.design.parts.formats import MAX_BITS, Format, Rounding

ROOM = 1.5
NOISE = 0.02
SHARE = 0.999
ROOMY = f"with room for {ROOM:g} times that"


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
        home.where: _fraction_of_updates(description, _smaller(tallies, home.where))
        for home in tallies
        if home.role == "update"
    }
    found = []
    for home in in_order(description, tallies):
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


def _smaller(tallies: Mapping[Home, Tally], where: str) -> Tally:
    """That of a layer's updates or of its velocities, whichever are smaller."""
    both = [
        tally
        for home, tally in tallies.items()
        if home.where == where and home.role in ("update", "velocity") and tally.others
    ]
    return min(both, key=lambda one: one.rms, default=Tally())


def _above(least: float) -> int:
    """Bits above the point, perhaps fewer than none, of a format that holds `least`."""
    return math.floor(math.log2(least)) + 1


def _fraction(rms: float) -> int:
    """Fraction bits whose noise is at most NOISE of `rms`."""
    return max(0, math.ceil(-math.log2(NOISE * math.sqrt(12) * rms)))


def _value(description: Description, home: Home, tally: Tally) -> Choice:
    """That of what is narrowed afresh with every sample."""
    frac = _fraction(tally.rms)
    above, said = _range(home, tally, frac)
    least, needs = _least_above(description, home)
    if above < least:
        above, said = least, needs
    if home.role == "preactivation" or home.table:
        frac = min(frac, MAX_TANH_BITS - 1 - above)
    number = _format(home.format.signed, above, max(frac, 1 - above))
    noise = 100 * 2.0**-number.frac / math.sqrt(12) / tally.rms
    return Choice(
        home,
        number,
        f"{said}; {number.frac} fraction bits keep the noise of rounding within {noise:.1f} % of "
        f"the values' root mean square {tally.rms:.3g}.",
    )


def _range(home: Home, tally: Tally, frac: int) -> tuple[int, str]:
    """Bits above the point, and what follows from them in words."""
    if home.bounded:  # nothing is beyond, and a last place less than that is near enough
        largest = max(tally.largest, 2.0**-frac)
        return math.ceil(math.log2(largest)), f"the largest value is {tally.largest:.3g}"
    most = tally.percentile(SHARE)
    return _above(ROOM * most), f"99.9 % of the values are within {most:.3g}, {ROOMY}"


def _least_above(description: Description, home: Home) -> tuple[int, str]:
    """Bits above the point that a description asks of a format, and why."""
    if home.role == "logit" and description.loss != "mse":
        return math.ceil(math.log2(MIN_LOGIT)), f"scores need a range of at least {MIN_LOGIT}"
    last = description.weighted[-1].name
    if home.role == "error" and home.layer == last and description.loss != "mse":
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
    frac, extra, k = _fraction(tally.rms), "", description.recipe.momentum_shift
    if k and description.rounding.update is not Rounding.STOCHASTIC:
        frac += k
        still = f"a velocity that is not rounded stochastically stands still below 2^{k - 1} last"
        extra = f", {k} of them since {still} places"
    frac = min(frac, MAX_BITS)
    size = f"updates or velocities have the root mean square {tally.rms:.2g}"
    return frac, f"{size}, which takes {frac} fraction bits{extra}"


def _parameter(home: Home, tally: Tally, frac: int, why: str) -> Choice:
    most = tally.percentile(SHARE)
    above = _above(ROOM * most)
    if home.role == "weight":
        above = max(above, 0)  # initial weights are within 1
    number = _format(True, above, frac)
    return Choice(home, number, f"99.9 % of the values are within {most:.2g}, {ROOMY}; {why}.")


def _format(signed: bool, above: int, frac: int) -> Format:
    """The format of so many bits above the point; with fewer below where it would be too wide."""
    sign, least = int(signed), 2 if signed else 1
    frac = max(0, min(frac, MAX_BITS, MAX_BITS - sign - above))
    return Format(signed, max(least, sign + above + frac), frac)
