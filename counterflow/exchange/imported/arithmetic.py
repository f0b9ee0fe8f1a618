"""Sums and products with constants, which weights take in, and norms with their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.exchange.imported.pieces import Floats, Piece
from counterflow.exchange.imported.walk import Affine, Walk, constant, shaped
from counterflow.exchange.nodes import Operator


def added(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    """A constant added to each channel or taken from it."""
    index, value = _constant_of(walk, node)
    offset = _by_channel(walk, node, index, value)
    minus = node.kind == "Sub"
    if minus and index == 0:
        raise walk.unfit(node, "subtracts from a constant")
    _apply(walk, node, pieces, np.ones(1), -offset if minus else offset)


def scaled(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    """Each channel multiplied or divided by a constant."""
    index, value = _constant_of(walk, node)
    factor = _by_channel(walk, node, index, value)
    if node.kind == "Div":
        if index == 0 or not factor.all():
            raise walk.unfit(node, "divides a constant, or by zero")
        factor = 1 / factor
    _apply(walk, node, pieces, factor, np.zeros(1))


def batch_norm(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    """Taken into the weights before it, where there are some; else a norm layer."""
    shape = walk.source.shape(node.inputs[0], node)
    walk.check_given(node, shape)
    scale, bias, mean, variance = (shaped(walk, node, index, shape[0]) for index in range(1, 5))
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    if node.attributes.get("training_mode", 0):
        raise walk.unfit(node, "has training_mode = 1; export the model for inference")
    if pieces and pieces[-1].weighted and pieces[-1].activation == "none":
        factor = scale / np.sqrt(variance + epsilon)
        _apply(walk, node, pieces, factor, bias - mean * factor)
        walk.notes.append(f"{node.kind} {node.name!r} is taken into the weights before it")
        return
    piece = Piece("norm", node.name, node.output, epsilon=epsilon)
    piece.tensors = {"running_mean": mean, "running_var": variance, "bias": bias}
    if (scale != 1).any():
        piece.fields["gamma"] = True
        piece.tensors["weight"] = scale
    pieces.append(piece)


def through_affine(walk: Walk, node: Operator, piece: Piece, *, padded: bool) -> None:
    """Take what is done to the input before into the weights of `piece`."""
    if walk.affine is None:
        return
    scale, offset, by = walk.affine
    if padded and offset.any():
        raise walk.unfit(
            node, f"pads with zeros what {by} has shifted; without padding it could be taken in"
        )
    weight = piece.tensors["weight"]
    channels = walk.inputs[0]
    wide = weight.reshape(len(weight), channels, -1)  # channels first, in dense layers as well
    shift = (wide * np.broadcast_to(offset, channels)[:, None]).sum(axis=(1, 2))
    piece.tensors["bias"] = piece.tensors["bias"] + shift
    product = wide * np.broadcast_to(scale, channels)[:, None]
    piece.tensors["weight"] = product.reshape(weight.shape)
    walk.notes.append(f"{by} is taken into the weights behind it")
    walk.affine = None


def past_affine(walk: Walk, node: Operator, *, maximum: bool, padded: bool) -> None:
    """Whether a pool may come before what is done to the input; UnfitError where it may not."""
    if walk.affine is None:
        return
    scale, offset, by = walk.affine
    if maximum and (scale <= 0).any():
        raise walk.unfit(
            node, f"takes maxima of what {by} multiplies by {scale.min():g}; expected above 0"
        )
    if padded and offset.any():
        raise walk.unfit(
            node, f"pads what {by} has shifted; without padding the shift could be taken in later"
        )


def _apply(walk: Walk, node: Operator, pieces: list[Piece], factor: Floats, offset: Floats) -> None:
    """``factor x + offset`` by channel, of what the last piece gives, or of what comes in."""
    if not pieces and walk.begun:
        raise walk.unfit(
            node,
            "is at the beginning of a branch; it may be right behind a layer with weights, or "
            "before all layers",
        )
    if not pieces:
        before = walk.affine or Affine(np.ones(1), np.zeros(1), str(node))
        walk.affine = Affine(before.scale * factor, before.offset * factor + offset, before.by)
        return
    piece = pieces[-1]
    if not piece.weighted or piece.activation != "none":
        raise walk.unfit(
            node,
            f"is behind {piece.kind} with {piece.activation} as its activation; it may be "
            "right behind a layer with weights, or before all layers",
        )
    weight, bias = piece.tensors["weight"], piece.tensors["bias"]
    wide = np.broadcast_to(factor, len(weight)).reshape(-1, *[1] * (weight.ndim - 1))
    piece.tensors = {"weight": weight * wide, "bias": bias * factor + offset}
    piece.end = node.output


def _constant_of(walk: Walk, node: Operator) -> tuple[int, Floats]:
    """Which input is constant, and its value."""
    index = 0 if node.inputs[0] in walk.source.constants else 1
    return index, constant(walk, node, index)


def _by_channel(walk: Walk, node: Operator, index: int, value: Any) -> Floats:
    """Input number `index`, `value`, as [channels], or [1] of all; it must be the same everywhere
    in an image, and leaves the shape of the other input as it is.
    """
    shape = walk.source.shape(node.inputs[1 - index], node)
    wanted = (shape[0], *[1] * (len(shape) - 1))
    found = np.asarray(value, np.float64)
    while found.ndim > len(shape) and found.shape[0] == 1:
        found = found[0]
    if found.size != 1 and found.shape != wanted:
        raise walk.unfit(
            node,
            f"has a constant {node.inputs[index]!r} of the shape {list(np.shape(value))}; one "
            f"number, or one for each channel, {list(wanted)}, is possible",
        )
    walk.check_given(node, shape)
    return found.reshape(-1)
