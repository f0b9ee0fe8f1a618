"""Norms in `golden.fast.chain`: their records; `golden.fast.normalise` has the loops."""

from __future__ import annotations

import math
from typing import Any

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import normal
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal import Normal, Share
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.normalisation import (
    DECAY,
    MEAN_GUARD,
    SCALE_CONTROL,
    SHIFT_CONTROL,
    Normalisation,
)
from counterflow.golden.fast.lanes import LANES, filled
from counterflow.golden.fast.narrowings import largest_narrowed, narrowing
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import passing


def stages(schedule: Schedule) -> list[NormalStage]:
    """The norms of a schedule, whatever their source of statistics."""
    return list(schedule.norms)


def record(stage: NormStage, where: Places) -> dict[str, Any]:
    """The fields of its record but for those that say where its own part of the memory starts."""
    numbers = stage.numbers
    formats = {one.name: one.number for one in stage.parameters}
    return common(stage, where) | {
        "guard": numbers.guard,
        "control_drop": numbers.control_drop,
        "centre_drop": MEAN_GUARD - normal.CENTRE_FRAC,
        "decay": DECAY,
        "pull_drop": numbers.shift_drop,
        "mean": _share(numbers.mean_share, formats["mean"]),
        "variance": _share(numbers.variance_share, formats["variance"]),
        "scale": _share(numbers.scale_share, SCALE_CONTROL),
        "shift": _share(numbers.shift_share, SHIFT_CONTROL),
    }


def common(stage: NormalStage, where: Places) -> dict[str, Any]:
    """Those of its fields that every norm has."""
    numbers, gammas = stage.numbers, stage.numbers.gammas
    down, across, channels = stage.unit.outputs[0].shape
    wide, rounding = Format(True, 2, numbers.wide_frac), numbers.round_error
    paths = stage.unit.outputs[0].paths
    passed = where.passed[stage.name, paths[-1]] if paths else 0
    return passing(stage, where, entries=filled(numbers.elements)) | {
        "index": stage.index,
        "channels": channels,
        "period": math.lcm(channels, LANES),
        "delay": stage.delay,
        "relu": stage.unit.outputs[0].rectified,
        "backward": numbers.dx is not None,
        "down": down,
        "line": across * channels,
        "views_depth": max(passed, stage.delay) + 3 if paths else 1,  # frozen, one stays
        "sums_depth": stage.delay - passed + 1,
        "centre_frac": normal.CENTRE_FRAC,
        "normal_shift": numbers.normal_shift,
        "lift": numbers.lift,
        "scaled_shift": numbers.scaled_shift + numbers.lift,
        "steps_frac": normal.ROOT_STEPS,
        "variance_one": 1 << normal.VARIANCE_FRAC,
        "scaled": gammas is not None,
        "gamma_frac": normal.GAMMA_FRAC,
        "gamma_drop": numbers.gamma_drop,
        "frozen": not stage.unit.moves,
        **_learnt(channels, numbers.parameters, numbers.beta),
        "gammas": {} if gammas is None else _learnt(channels, gammas, numbers.gamma),
        "y_to": narrowing(numbers.y.frac, numbers.y, rounding),
        "dx": narrowing(wide.frac, numbers.dx or wide, rounding),
    }


def _learnt(channels: int, moves: UnitArithmetic, operand: Format) -> dict[str, Any]:
    """The fields of LEARNT but for where it stands."""
    return {
        "taps": channels,
        "row_taps": channels,
        "rows": 1,
        "kernel_rows": 1,
        "parts": channels,
        "columns": channels,
        "wide": 1,
        "stochastic": moves.round_update is Rounding.STOCHASTIC,
        "ahead": moves.horizon,
        "bias": narrowing(moves.weight.frac, operand, moves.round_operand),
    }


def _share(share: Share, number: Format) -> tuple[int, ...]:
    """The fields of SHARE."""
    return share.factor, share.shift, number.min, number.max


def sent(numbers: Normal) -> tuple[int, list[int], list[int]]:
    """(The largest xhat, other values, shifts) of y and of gamma dy, whatever the statistics."""
    most = numbers.halvings[1] + numbers.normal_shift
    xhat = numbers.y.magnitude + numbers.beta.magnitude  # and more than y less beta
    largest = [numbers.difference.magnitude * max(normal.ROOTS) + (1 << most), xhat]
    if numbers.gammas is not None:
        gamma, half = numbers.gamma.magnitude, 1 << normal.GAMMA_FRAC
        largest.append(gamma * max(numbers.y.magnitude, numbers.dy.magnitude) + half)
        largest.append((gamma * numbers.y.magnitude >> normal.GAMMA_FRAC) + xhat + 1)
    return xhat, largest, [most]


def fits(numbers: Normalisation, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value but for sums over an image."""
    root, (_, halvings) = max(normal.ROOTS), numbers.halvings
    xhat, largest, shifts = sent(numbers)
    if numbers.dx is not None:
        control = SCALE_CONTROL.magnitude * xhat + (1 << numbers.control_drop)
        z = (numbers.given.magnitude << numbers.guard) + (control >> numbers.control_drop)
        shift = numbers.scaled_shift + numbers.lift
        scaled = (z * root << numbers.lift) + (1 << halvings + shift)
        pull = (SHIFT_CONTROL.magnitude >> numbers.shift_drop) + 1
        wide = (scaled >> numbers.halvings[0] + shift) + pull
        largest += [control, scaled, largest_narrowed(wide, numbers.wide_frac - numbers.dx.frac)]
        shifts += [numbers.control_drop, halvings + shift]
    return max(largest) < 1 << (bits - 1) and max(shifts) < bits - 1
