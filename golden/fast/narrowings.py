"""Roundings and updates as the compiled loops do them, and how wide their machine words must be.

Each narrowing is a shift with constants, each update a linear form in old velocity u and gradient g
(see `design.units.arithmetic`); powers of two that its coefficients share are taken out:

    u' = narrow((2**d - 2**(d - k)) u + 2**s g)             d = velocity_drop, s = gradient_shift
    step = narrow(c 2**d u + (2**f - c) 2**(k + s) g)       with compensation; f = COMPENSATION_FRAC

What decays of a weight is a narrowing of it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.arithmetic import COMPENSATION_FRAC, RANDOM_BITS, UnitArithmetic
from counterflow.design.units.losses import LossNumbers
from counterflow.design.units.slots import Stage
from counterflow.golden.units.update import Settings

WHOLE = 64  # more bits than any rounding drops


def fields(*names: str) -> list[tuple[str, Any]]:
    """Fields of a record, each an int64."""
    return [(name, np.int64) for name in names]


NARROW = np.dtype(fields("lift", "drop", "half", "even", "low", "high"))
"""A narrowing: append `lift` zero bits, drop `drop` bits, clip to `low`..`high`.

Dropping adds `half`, and the lowest bit that is kept where `even` is 1, and truncates.
"""

UPDATE = np.dtype([*fields("velocity", "gradient", "shift", "mask"), ("to", NARROW)])
"""narrow(`velocity` u + `gradient` g + random bits), where these are draw >> `shift` & `mask`."""

BOUND = np.dtype(fields("low", "high"))
"""What a gradient saturates at before an update takes it."""

DECAY = np.dtype([*fields("shift", "mask"), ("to", NARROW)])
"""What decays of w: narrow(w + random bits), where these are draw >> `shift` & `mask`."""


@dataclass(frozen=True)
class Linear:
    """narrow(`velocity` u + `gradient` g) with `drop` bits to drop and no common factor of two."""

    velocity: int
    gradient: int
    drop: int

    @classmethod
    def reduced(cls, velocity: int, gradient: int, drop: int) -> Linear:
        """Every bit below the lowest set one of both coefficients is zero and changes nothing."""
        spare = min(_trailing_zeros(velocity), _trailing_zeros(gradient), drop)
        return cls(velocity >> spare, gradient >> spare, drop - spare)

    def magnitude(self, velocity: int, gradient: int) -> int:
        """Largest magnitude before the bits are dropped, given those of u and g."""
        return abs(self.velocity) * velocity + abs(self.gradient) * gradient + (1 << self.drop)


def _trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1 if value else WHOLE


def velocity_form(numbers: UnitArithmetic, extra_shift: int) -> Linear:
    """The new velocity as a linear form."""
    drop, k = numbers.velocity_drop, numbers.momentum_shift
    return Linear.reduced(
        (1 << drop) - (1 << (drop - k)), 1 << numbers.gradient_shift(extra_shift), drop
    )


def step_form(numbers: UnitArithmetic, extra_shift: int) -> Linear:
    """The compensated step of the weight as a linear form."""
    c = numbers.compensation
    shift = numbers.gradient_shift(extra_shift) + numbers.momentum_shift
    return Linear.reduced(
        c << numbers.velocity_drop, ((1 << COMPENSATION_FRAC) - c) << shift, numbers.weight_drop
    )


def error_magnitude(stage: Stage, loss: LossNumbers) -> int:
    """Largest magnitude of an error that arrives at the stage.

    The label's error is minus the sum of the others.  It is not clipped, but these are parts of a
    whole: about one, rounded once each.
    """
    own = stage.arithmetic.dy.magnitude
    if stage.arithmetic.relu:
        return own
    return max(own, loss.error.magnitude, (2 << loss.error.frac) + loss.classes)


def fits(stage: Stage, loss: LossNumbers, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value of the unit's vector loops.

    Where gradients are sums, updates are made in 64 bits, and words must hold the sums alone.
    """
    numbers, dy = stage.arithmetic, error_magnitude(stage, loss)
    weight, velocity = numbers.weight.magnitude, numbers.velocity.magnitude
    drop = numbers.weight.frac - numbers.operand.frac
    largest = [weight + numbers.horizon * velocity + (1 << drop)]
    products = numbers.taps * numbers.operand.magnitude * numbers.loaded.magnitude
    bias = numbers.bias_operand.magnitude
    largest.append(largest_narrowed(products + bias, numbers.forward_sum.frac - numbers.y.frac))
    if numbers.dx is not None:
        sums = numbers.overlaps * numbers.outputs * numbers.operand.magnitude * dy
        largest.append(largest_narrowed(sums, numbers.backward_sum.frac - numbers.dx.frac))
    if numbers.frozen:
        return max(largest) < 1 << (bits - 1) and drop < bits - 1
    product, shifts = dy * max(numbers.loaded.magnitude, 1), [drop, numbers.decay_drop]
    largest.append(weight + (1 << numbers.decay_drop))
    if numbers.sums_gradients:
        largest.append(product * numbers.positions * numbers.accumulate)
    for extra in range(numbers.rate_span + 1):
        for form in (velocity_form(numbers, extra), step_form(numbers, extra)):
            shifts.append(form.drop)
            if not numbers.sums_gradients:
                mixed = form.magnitude(velocity, product)
                largest += [mixed, weight + (mixed >> form.drop) + 1]
    return max(largest) < 1 << (bits - 1) and max(shifts) < bits - 1


def largest_narrowed(magnitude: int, drop: int) -> int:
    """Largest magnitude while `drop` fraction bits are dropped (or appended, where negative)."""
    return (magnitude << max(-drop, 0)) + (1 << max(drop, 0))


def narrowing(frac: int, to: Format, rounding: Rounding) -> tuple[int, ...]:
    """The fields of NARROW that take `frac` fraction bits to those of `to`."""
    return _dropping(frac - to.frac, to, rounding)


def _dropping(drop: int, to: Format, rounding: Rounding) -> tuple[int, ...]:
    """The fields of NARROW; random bits, if any, are added elsewhere."""
    nearest = rounding is Rounding.NEAREST_EVEN and drop > 0
    half = (1 << (drop - 1)) - 1 if nearest else 0
    return max(-drop, 0), max(drop, 0), half, int(nearest), to.min, to.max


def _random(drop: int, exact: int, position: int) -> tuple[int, int]:
    """(shift, mask) of random bits for `drop`.  Those of all `exact` ones start at `position`."""
    return (position + exact - drop, (1 << drop) - 1) if drop else (0, 0)


def _update(form: Linear, exact: int, position: int, to: Format, rounding: Rounding) -> Any:
    """The fields of UPDATE; see `_random`."""
    shift, mask = _random(form.drop, exact, position)
    return form.velocity, form.gradient, shift, mask, _dropping(form.drop, to, rounding)


def _decay(numbers: UnitArithmetic, extra_shift: int) -> Any:
    """The fields of DECAY."""
    drop = numbers.decay_shift + extra_shift
    shift, mask = _random(drop, numbers.decay_drop, numbers.velocity_drop)
    return shift, mask, _dropping(drop, numbers.weight, numbers.round_update)


def set_unit(unit: Any, numbers: UnitArithmetic, settings: Settings) -> None:
    """Write into the record `unit` what depends on the settings."""
    if not 0 <= settings.extra_shift <= numbers.rate_span:
        raise ValueError(
            f"extra_shift is {settings.extra_shift}, but the recipe's rate drops allow 0 to "
            f"{numbers.rate_span}"
        )
    rounding = numbers.round_update
    unit["horizon"] = numbers.horizon if settings.predict else 0
    unit["compensate"] = settings.compensate
    form = velocity_form(numbers, settings.extra_shift)
    unit["new_velocity"] = _update(form, numbers.velocity_drop, 0, numbers.velocity, rounding)
    form, drop = step_form(numbers, settings.extra_shift), numbers.weight_drop
    unit["step"] = _update(form, drop, RANDOM_BITS - drop, numbers.weight, rounding)
    unit["clips"] = numbers.clips
    unit["bound"] = numbers.clipped.min, numbers.clipped.max
    unit["decays"] = numbers.decay_shift > 0
    if numbers.decay_shift:
        unit["decayed"] = _decay(numbers, settings.extra_shift)
