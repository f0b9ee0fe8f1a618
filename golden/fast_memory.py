"""What the compiled loops of `golden.fast_kernels` work on: the numbers and state of every unit.

Each narrowing is a shift with constants, each update a linear form in old velocity u and gradient g
(see `counterflow.arithmetic`); powers of two that its coefficients share are taken out:

    u' = narrow((2**d - 2**(d - k)) u + 2**s g)             d = velocity_drop, s = gradient_shift
    step = narrow(c 2**d u + (2**f - c) 2**(k + s) g)       with compensation; f = COMPENSATION_FRAC
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.arithmetic import COMPENSATION_FRAC, RANDOM_BITS, UnitArithmetic
from counterflow.formats import Format, Rounding
from counterflow.schedule import Schedule, Stage
from counterflow.softmax import EXP2, EXP_FRAC, LOG2, LOG2E_NUMERATOR, LOG_FRAC, LossArithmetic
from golden.convolution import Settings, UnitState
from golden.fast_words import FILL

LINE = 64  # bytes of a cache line
WHOLE = 64  # more bits than any rounding drops

Words = NDArray[np.signedinteger[Any]]


def _fields(*names: str) -> list[tuple[str, Any]]:
    return [(name, np.int64) for name in names]


NARROW = np.dtype(_fields("lift", "drop", "half", "even", "low", "high"))
"""A narrowing: append `lift` zero bits, drop `drop` bits, clip to `low`..`high`.

Dropping adds `half`, and the lowest bit that is kept where `even` is 1, and truncates.
"""

UPDATE = np.dtype([*_fields("velocity", "gradient", "shift", "mask"), ("to", NARROW)])
"""narrow(`velocity` u + `gradient` g + random bits), where these are draw >> `shift` & `mask`."""

UNIT = np.dtype(
    [
        *_fields("inputs", "outputs", "rows", "columns", "high", "wide", "delay", "relu", "one"),
        *_fields("horizon", "compensate", "stochastic"),
        *_fields("weights", "biases", "stash", "errors"),  # where its part of the memory starts
        *[(name, NARROW) for name in ("operand", "bias", "y", "dx")],
        *[(name, UPDATE) for name in ("new_velocity", "step")],
    ]
)
"""One dense unit; `one` is the number 1 in the format of its inputs."""

LOSS = np.dtype([*_fields("numerator", "shift", "log_frac", "exp_frac"), ("error", NARROW)])


class Memory(NamedTuple):
    """All that a chain remembers, units one after the other, and room to work in.

    ``units`` has one entry more than there are units: its ``stash`` is where the logits go.
    ``stash`` and ``errors`` hold ``delay`` + 1 tokens of each unit, ``kinds`` those of the first.
    """

    units: NDArray[np.void]
    loss: NDArray[np.void]
    exp2: NDArray[np.int64]
    log2: NDArray[np.int64]
    weight: Words
    velocity: Words
    bias: NDArray[np.int64]
    bias_velocity: NDArray[np.int64]
    generator: NDArray[np.uint32]
    saturations: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    stash: Words
    errors: Words
    velocity_random: Words
    step_random: Words
    hits: Words
    sums: Words
    exponents: NDArray[np.int64]


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


def error_magnitude(stage: Stage, loss: LossArithmetic) -> int:
    """Largest magnitude of an error that arrives at the stage.

    The label's error is minus the sum of the others.  It is not clipped, but these are parts of a
    whole: about one, rounded once each.
    """
    if stage.arithmetic.relu:
        return stage.arithmetic.dy.magnitude
    return max(loss.error.magnitude, (2 << loss.error.frac) + loss.classes)


def fits(stage: Stage, loss: LossArithmetic, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value of the unit's vector loops."""
    numbers, dy = stage.arithmetic, error_magnitude(stage, loss)
    weight, velocity = numbers.weight.magnitude, numbers.velocity.magnitude
    drop = numbers.weight.frac - numbers.operand.frac
    predicted = weight + numbers.horizon * velocity + (1 << drop)
    forward = numbers.taps * numbers.operand.magnitude * numbers.x.magnitude
    backward = numbers.outputs * numbers.operand.magnitude * dy
    largest, shifts = max(predicted, forward, backward), [drop]
    for extra in range(numbers.rate_span + 1):
        for form in (velocity_form(numbers, extra), step_form(numbers, extra)):
            mixed = form.magnitude(velocity, dy * max(numbers.x.magnitude, 1))
            largest = max(largest, mixed, weight + (mixed >> form.drop) + 1)
            shifts.append(form.drop)
    return largest < 1 << (bits - 1) and max(shifts) < bits


def _narrow(frac: int, to: Format, rounding: Rounding) -> tuple[int, ...]:
    """The fields of NARROW that take `frac` fraction bits to those of `to`."""
    return _dropping(frac - to.frac, to, rounding)


def _dropping(drop: int, to: Format, rounding: Rounding) -> tuple[int, ...]:
    """The fields of NARROW; random bits, if any, are added elsewhere."""
    nearest = rounding is Rounding.NEAREST_EVEN and drop > 0
    half = (1 << (drop - 1)) - 1 if nearest else 0
    return max(-drop, 0), max(drop, 0), half, int(nearest), to.min, to.max


def _update(form: Linear, exact: int, position: int, to: Format, rounding: Rounding) -> Any:
    """The fields of UPDATE.  The random bits of all `exact` dropped ones start at `position`."""
    spare = exact - form.drop
    shift, mask = (position + spare, (1 << form.drop) - 1) if form.drop else (0, 0)
    return form.velocity, form.gradient, shift, mask, _dropping(form.drop, to, rounding)


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


def _units(schedule: Schedule) -> NDArray[np.void]:
    """The records of all units and of the end of the chain, without what depends on settings."""
    units = np.zeros(len(schedule.stages) + 1, UNIT)
    weights = biases = stash = errors = 0
    for stage, unit in zip(schedule.stages, units, strict=False):
        tiling, numbers = stage.tiling, stage.arithmetic
        unit["inputs"], unit["outputs"] = tiling.geometry.inputs, tiling.outputs
        unit["rows"], unit["columns"] = tiling.rows, tiling.columns
        unit["high"], unit["wide"] = tiling.lanes.outputs, tiling.lanes.inputs
        unit["delay"], unit["relu"], unit["one"] = stage.delay, numbers.relu, 1 << numbers.x.frac
        unit["stochastic"] = numbers.round_update is Rounding.STOCHASTIC
        unit["weights"], unit["biases"] = weights, biases
        unit["stash"], unit["errors"] = stash, errors
        weights += tiling.outputs * tiling.geometry.inputs
        biases += tiling.outputs
        stash += (stage.delay + 1) * tiling.geometry.inputs
        errors += (stage.delay + 1) * tiling.outputs
        frac, rounding = numbers.weight.frac, numbers.round_operand
        unit["operand"] = _narrow(frac, numbers.operand, rounding)
        unit["bias"] = _narrow(frac, numbers.bias_operand, rounding)
        unit["y"] = _narrow(numbers.forward_sum.frac, numbers.y, numbers.round_activation)
        if numbers.dx is not None:
            unit["dx"] = _narrow(numbers.backward_sum.frac, numbers.dx, numbers.round_error)
    units[-1]["inputs"], units[-1]["stash"] = schedule.loss.arithmetic.classes, stash
    return units


def _aligned(count: int, word: Any) -> Any:
    """Zeros that start at a cache line, so that no vector of them straddles two."""
    size = np.dtype(word).itemsize
    whole = np.zeros(count + LINE // size, word)
    start = -whole.ctypes.data % LINE // size
    return whole[start : start + count]


def _joined(parts: list[NDArray[np.int64]], word: Any) -> Any:
    """Matrices one after the other, aligned."""
    joined = _aligned(sum(part.size for part in parts), word)
    np.concatenate([part.ravel() for part in parts], out=joined, casting="unsafe")
    return joined


def build_memory(schedule: Schedule, states: Iterable[UnitState], rounding: Rounding) -> Memory:
    """An empty chain with `states`; `rounding` is that of errors.  Settings are still to be set."""
    loss, held = schedule.loss.arithmetic, list(states)
    small = all(fits(stage, loss, 32) for stage in schedule.stages)
    word: Any = np.int32 if small else np.int64
    units = _units(schedule)
    tilings = [stage.tiling for stage in schedule.stages]
    widest = max(tiling.columns * tiling.lanes.inputs for tiling in tilings) + FILL
    losses = np.zeros(1, LOSS)
    how = _narrow(EXP_FRAC, loss.error, rounding)
    losses[0] = (LOG2E_NUMERATOR, loss.exponent_shift, LOG_FRAC, EXP_FRAC, how)
    return Memory(
        units=units,
        loss=losses,
        exp2=np.array(EXP2, np.int64),
        log2=np.array(LOG2, np.int64),
        weight=_joined([state.weight for state in held], word),
        velocity=_joined([state.velocity for state in held], word),
        bias=np.concatenate([state.bias for state in held]),
        bias_velocity=np.concatenate([state.bias_velocity for state in held]),
        generator=np.array([state.generator for state in held], np.uint32),
        saturations=np.zeros(len(held), np.int64),
        kinds=np.zeros(schedule.delay + 1, np.uint8),
        stash=_aligned(units[-1]["stash"] + loss.classes, word),
        errors=_aligned(
            units[-2]["errors"] + units[-2]["outputs"] * (units[-2]["delay"] + 1), word
        ),
        velocity_random=_aligned(widest, word),
        step_random=_aligned(widest, word),
        hits=_aligned(widest, word),
        sums=_aligned(widest, word),
        exponents=np.zeros(loss.classes, np.int64),
    )
