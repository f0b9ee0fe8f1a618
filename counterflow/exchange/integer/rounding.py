"""Shifts, rounding and saturation in ONNX operators: what `golden.parts.narrow` computes.

ONNX shifts unsigned integers only, and its division of negative ones is not the same everywhere;
``x - Mod(x, 2^n)`` divides without a rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.normal import Share
from counterflow.exchange.drawing import Drawing, Value


def raised(drawing: Drawing, x: Value, bits: int) -> Value:
    """``x << bits``."""
    return drawing.apply("Mul", x, 1 << bits) if bits else x


def dropped(drawing: Drawing, x: Value, bits: int | NDArray[np.int64]) -> Value:
    """``x >> bits``, towards minus infinity; bits may be an array."""
    return divided(drawing, x, np.int64(1) << np.asarray(bits)) if np.any(bits) else x


def divided(drawing: Drawing, x: Value, by: Value) -> str:
    """``floor(x / by)``, of positive divisors."""
    whole = drawing.apply("Sub", x, drawing.apply("Mod", x, by))
    return drawing.apply("Div", whole, by)


def round_off(drawing: Drawing, x: Value, drop: int, rounding: Rounding) -> Value:
    """`x` without its lowest `drop` bits; a negative `drop` appends zeros."""
    if drop <= 0:
        return raised(drawing, x, -drop)
    if rounding is Rounding.TRUNCATE:
        return dropped(drawing, x, drop)
    odd = drawing.apply("Mod", dropped(drawing, x, drop), 2)
    lifted = drawing.apply("Add", x, (1 << drop - 1) - 1)
    return dropped(drawing, drawing.apply("Add", lifted, odd), drop)


def saturate(drawing: Drawing, x: Value, target: Format) -> str:
    """`x` clipped to the range of `target`."""
    return drawing.apply("Clip", x, target.min, target.max)


def narrow(drawing: Drawing, x: Value, frac: int, target: Format, rounding: Rounding) -> str:
    """`x` with `frac` fraction bits as `target`."""
    return saturate(drawing, round_off(drawing, x, frac - target.frac, rounding), target)


def half_up(drawing: Drawing, x: Value, drop: int | NDArray[np.int64]) -> Value:
    """`x` without its lowest `drop` bits, at least one, rounded half up."""
    return dropped(drawing, drawing.apply("Add", x, np.int64(1) << np.asarray(drop) - 1), drop)


def shared(drawing: Drawing, total: Value, share: Share) -> Value:
    """A sum divided by the number of its terms."""
    product = drawing.apply("Mul", total, share.factor)
    if share.shift <= 0:
        return raised(drawing, product, -share.shift)
    return half_up(drawing, product, share.shift)


def rectified(drawing: Drawing, x: Value) -> str:
    """What a ReLU makes of `x`."""
    return drawing.apply("Max", x, 0)
