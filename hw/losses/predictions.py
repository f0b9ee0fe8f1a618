"""Predictions: what a loss unit says of a token, a score a transfer."""

from __future__ import annotations

from amaranth.lib import data, stream

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.losses import LossNumbers
from counterflow.hw.parts.narrow import shape_of


def prediction(numbers: LossNumbers) -> data.StructLayout:
    """One of a token's class scores, with the token's kind and loss; the last one is marked."""
    return data.StructLayout(
        {
            "score": shape_of(numbers.logit),
            "loss": shape_of(numbers.loss),
            "kind": KIND_BITS,
            "last": 1,
        }
    )


def prediction_stream(numbers: LossNumbers) -> stream.Signature:
    """A token's class scores, a transfer each."""
    return stream.Signature(prediction(numbers))
