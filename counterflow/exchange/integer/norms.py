"""Norms: with the statistics as training left them, or with those of each image's groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.group_times import GroupNormStage
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal import (
    CENTRE_FRAC,
    GAMMA_FRAC,
    ROOT_STEPS,
    ROOTS,
    VARIANCE_FRAC,
)
from counterflow.design.units.normal_times import NormalStage
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.integer.images import shaped
from counterflow.exchange.integer.rounding import (
    divided,
    half_up,
    raised,
    rectified,
    saturate,
    shared,
)
from counterflow.golden.units.group_norm import GroupNorm
from counterflow.golden.units.norm import Norm


def norm(drawing: Drawing, stage: NormStage, state: Any, x: Value) -> tuple[str]:
    """y of x with constant statistics; [batch, elements] both."""
    numbers, seen = stage.numbers, Norm(stage, state).view()
    image = shaped(drawing, x, numbers.pixels, numbers.channels)
    e = drawing.apply("Sub", raised(drawing, image, CENTRE_FRAC), seen.centre)
    shift = seen.root.halvings + numbers.normal_shift
    xhat = half_up(drawing, drawing.apply("Mul", e, seen.root.root), shift)
    return (_scaled(drawing, stage, seen.learnt, xhat),)


def group_norm(drawing: Drawing, stage: GroupNormStage, state: Any, x: Value) -> tuple[str]:
    """y of x with the statistics of its own groups; [batch, elements] both."""
    numbers = stage.numbers
    image = shaped(drawing, x, numbers.pixels, numbers.groups, numbers.group)
    total, squares = (
        drawing.apply("ReduceSum", one, np.array([1, 3]), keepdims=1)
        for one in (image, drawing.apply("Mul", image, image))
    )
    centre = shared(drawing, total, numbers.centre_share)
    spread = drawing.apply(
        "Sub", drawing.apply("Mul", squares, numbers.count), drawing.apply("Mul", total, total)
    )
    variance = shared(drawing, spread, numbers.variance_share)
    root, power = _rooted(drawing, variance, numbers.halvings, numbers.normal_shift)
    e = drawing.apply("Sub", raised(drawing, image, CENTRE_FRAC), centre)
    half = divided(drawing, power, 2)
    lifted = drawing.apply("Add", drawing.apply("Mul", e, root), half)
    xhat = shaped(drawing, divided(drawing, lifted, power), numbers.pixels, numbers.channels)
    return (_scaled(drawing, stage, GroupNorm(stage, state).view(), xhat),)


def _rooted(
    drawing: Drawing, variance: Value, halvings: tuple[int, int], shift: int
) -> tuple[str, str]:
    """t of a variance, and 2^(h + shift), by tables over h.

    h is the number of powers of four, from 4 on, that the variance and a squared last place reach.
    """
    more = drawing.apply("Add", variance, 1 << VARIANCE_FRAC)
    least, most = halvings
    above: Value = 0
    for h in range(least + 1, most + 1):
        reached = drawing.apply("Cast", drawing.apply("Less", more, 1 << 2 * h), to=_INT64)
        above = drawing.apply("Add", drawing.apply("Sub", 1, reached), above)
    if above == 0:
        above = drawing.apply("Mul", more, 0)
    all_h = np.arange(least, most + 1)
    unit = drawing.apply("Gather", np.int64(1) << 2 * all_h, above, axis=0)
    steps = divided(drawing, raised(drawing, more, ROOT_STEPS), unit)
    root = drawing.apply(
        "Gather", np.array(ROOTS), drawing.apply("Sub", steps, 1 << ROOT_STEPS), axis=0
    )
    return root, drawing.apply("Gather", np.int64(1) << all_h + shift, above, axis=0)


_INT64 = 7  # the number of the type in ONNX


def _scaled(drawing: Drawing, stage: NormalStage, learnt: Any, xhat: Value) -> str:
    """y of xhat [batch, pixels, channels] before it is saturated."""
    numbers, edge = stage.numbers, stage.unit.outputs[0]
    y: Value = saturate(drawing, xhat, numbers.y)
    if numbers.gammas is not None:
        gamma, _ = learnt["gamma"]
        y = half_up(drawing, drawing.apply("Mul", y, gamma), GAMMA_FRAC)
    beta, _ = learnt["beta"]
    y = saturate(drawing, drawing.apply("Add", y, beta), numbers.y)
    if edge.rectified and not edge.returned:
        y = rectified(drawing, y)
    return shaped(drawing, y, numbers.elements)
