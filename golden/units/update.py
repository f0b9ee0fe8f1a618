"""How parameters move: the update of `design.units.arithmetic`, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterflow.design.units.arithmetic import COMPENSATION_FRAC, RANDOM_BITS, UnitArithmetic
from counterflow.golden.parts.narrow import Integers, round_off, saturate, tell


@dataclass(frozen=True)
class Settings:
    """What can be switched at run time; the learning rate is divided by 2**extra_shift."""

    predict: bool = True
    compensate: bool = True
    extra_shift: int = 0


def updated(
    numbers: UnitArithmetic,
    settings: Settings,
    weight: Integers,
    velocity: Integers,
    gradient: Integers,
    random: Integers,
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """(weight', velocity', where one saturated), with the ``random`` bits of each weight."""
    k, rounding = numbers.momentum_shift, numbers.round_update
    beyond: NDArray[np.bool_] | bool = False
    if numbers.clips:
        gradient, beyond = saturate(gradient, numbers.clipped)
    old = velocity << numbers.velocity_drop
    scaled = gradient << numbers.gradient_shift(settings.extra_shift)
    low = random & ((1 << numbers.velocity_drop) - 1)
    kept = old - (velocity << (numbers.velocity_drop - k))
    exact, frac = kept + scaled, numbers.update_frac
    rounded = round_off(exact, numbers.velocity_drop, rounding, low)
    new_velocity, velocity_clipped = saturate(rounded, numbers.velocity)
    tell("velocity", exact, frac, new_velocity, numbers.velocity, velocity_clipped)
    step = new_velocity
    if settings.compensate:
        high = random >> (RANDOM_BITS - numbers.weight_drop)
        whole = (scaled << k) << COMPENSATION_FRAC
        exact = whole + numbers.compensation * (old - (scaled << k))
        step, frac = round_off(exact, numbers.weight_drop, rounding, high), frac + COMPENSATION_FRAC
    tell("update", exact, frac, step, numbers.weight)
    moved = weight - step - _decayed(numbers, settings, weight, random)
    new_weight, weight_clipped = saturate(moved, numbers.weight)
    tell("weight", moved, numbers.weight.frac, new_weight, numbers.weight, weight_clipped)
    return new_weight, new_velocity, velocity_clipped | weight_clipped | beyond


def _decayed(
    numbers: UnitArithmetic, settings: Settings, weight: Integers, random: Integers
) -> Integers | int:
    """What decays of each weight; its random bits are those above the velocity's."""
    if not numbers.decay_shift:
        return 0
    aligned = weight << (numbers.rate_span - settings.extra_shift)
    middle = (random >> numbers.velocity_drop) & ((1 << numbers.decay_drop) - 1)
    return round_off(aligned, numbers.decay_drop, numbers.round_update, middle)
