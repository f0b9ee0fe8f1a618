"""Number formats for pieces, from the ranges of their weights and activations.

Weights are known.  Activations are as large as samples make them; without samples they get room
for 64, what is normalised for 16, and two bits more.  A range is rounded up to a power of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from counterflow.design.parts.formats import MAX_BITS, Format
from counterflow.exchange.imported.pieces import Piece

OPERAND_BITS = 10  # of a weight as multipliers see it
WEIGHT_BITS = 20  # ... and as memories hold it
VELOCITY_BITS = 14
ACTIVATION_BITS = 10  # without a sign; of scores, too
MORE_BITS = 2  # where no samples tell the range
TANH = {"activation": "s9.8", "preactivation": "s12.8"}
UNKNOWN = {"norm": 16.0}  # what activations can be without samples that tell, and ...
ELSE = 64.0  # ... those of all other kinds
NORM_ERROR = "s14.12"  # errors between norms, and ...
END_ERROR = "s10.8"  # ... at the last layer, where a label's is -1
NORM_FRAC = 8  # the most fraction bits of what is normalised

Ranges = Mapping[str, float]
"""The largest magnitude of tensors, by name."""


def holding(most: float, bits: int, *, signed: bool, frac: int = 30) -> Format:
    """A format of `bits` bits, and a sign, that holds magnitudes up to `most`.

    It has at most `frac` fraction bits, and no more than bits.  ValueError, the end of a sentence
    that says of what `most` is, where a description can have none.
    """
    limit = MAX_BITS - signed
    if not most <= 2.0**limit:  # or not a number, as of a difference of infinite ones
        raise ValueError(f"{most:.3g}; magnitudes below 2^{limit} = {2.0**limit:.3g} are possible")
    whole = math.ceil(math.log2(most)) if most > 0 else 0
    wanted = min(bits - whole, frac, bits)
    total = bits if wanted >= 0 else bits - wanted
    return Format(signed, total + signed, max(wanted, 0))


def formats_of(piece: Piece, ranges: Ranges | None, *, norms: bool, last: bool) -> dict[str, str]:
    """What a description says of the numbers of `piece`; ``norms``: the network has some.

    ValueError for numbers that no format holds.
    """
    found: dict[str, Any] = {}
    if piece.weighted:
        found |= _weights(piece)
    most, bits = _range(piece, ranges)
    if piece.kind == "norm":
        found["activation"] = _of_values(most, bits, signed=True, frac=NORM_FRAC)
    elif piece.activation == "tanh":
        found |= TANH
    elif (piece.weighted or piece.kind == "residual") and not last:
        signed = piece.activation != "relu"
        found["activation"] = _of_values(most, bits, signed=signed)
    if norms and last:
        found["error"] = END_ERROR
    return {role: str(number) for role, number in found.items()}


def logit(piece: Piece, ranges: Ranges | None) -> Format:
    """That of the scores; it holds 4 at least, as a softmax needs.  ValueError as `formats_of`."""
    most, bits = _range(piece, ranges)
    return _of_values(max(most, 4.0), bits + MORE_BITS, signed=True)


def _of_values(most: float, bits: int, *, signed: bool, frac: int = 30) -> Format:
    """As `holding`, of what a layer gives."""
    try:
        return holding(most, bits, signed=signed, frac=frac)
    except ValueError as error:
        raise ValueError(f"its values reach {error}") from error


def _weights(piece: Piece) -> dict[str, Format]:
    """Weight and bias share one format, and the operand has the range of the weight.

    ValueError for what no format holds.
    """
    weight, bias = piece.tensors["weight"], piece.tensors["bias"]
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ValueError("its weights hold what is no finite number")
    for leaf, values in (("weight", weight), ("bias", bias)):
        try:
            holding(_largest(values), WEIGHT_BITS - 1, signed=True)
        except ValueError as error:
            called = piece.constants.get(leaf)
            of = "" if called is None else f", of the constant {called!r},"
            raise ValueError(f"its {leaf}{of} reaches {error}") from error
    initial = min(math.sqrt(2 / weight[0].size), 1)  # what a description makes sure of
    operand = holding(max(_largest(weight), initial), OPERAND_BITS - 1, signed=True)
    both = max(_largest(weight), _largest(bias), initial)
    whole = holding(both, WEIGHT_BITS - 1, signed=True)
    return {
        "operand": operand,
        "weight": whole,
        "velocity": Format(True, VELOCITY_BITS, whole.frac),
    }


def _largest(values: Any) -> float:
    """The largest magnitude, and a little: a power of two itself is beyond what it bounds."""
    return float(np.abs(values).max()) * (1 + 2.0**-WEIGHT_BITS)


def _range(piece: Piece, ranges: Ranges | None) -> tuple[float, int]:
    """The largest magnitude of what a piece gives, before a norm's ReLU, and bits to hold it."""
    if ranges is None:
        return UNKNOWN.get(piece.kind, ELSE), ACTIVATION_BITS + MORE_BITS
    before = piece.kind == "norm" and piece.sums
    return ranges[piece.sums if before else piece.end], ACTIVATION_BITS
