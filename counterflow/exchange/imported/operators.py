"""What each operator becomes: a layer, or a part of the one before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from counterflow.exchange.imported.arithmetic import (
    added,
    batch_norm,
    past_affine,
    scaled,
    through_affine,
)
from counterflow.exchange.imported.pieces import Piece
from counterflow.exchange.imported.walk import Walk, constant, misshapen, shaped
from counterflow.exchange.nodes import Operator

ABLE = {
    "relu": ("dense", "convolution", "norm", "residual"),
    "tanh": ("dense", "convolution"),
}
"""The layers that can have each activation."""


def _gemm(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    take = node.attributes.get
    if take("transA", 0):
        raise walk.unfit(node, "has transA = 1, which exchanges samples and inputs")
    if take("transB", 0):
        weight = shaped(walk, node, 1, "outputs", _elements(walk, node))
    else:
        weight = shaped(walk, node, 1, _elements(walk, node), "outputs").T
    bias = np.zeros(len(weight))
    if len(node.inputs) > 2 and node.inputs[2]:
        given = constant(walk, node, 2)
        *rows, size = (1, *given.shape)
        if size not in (1, len(bias)) or any(one != 1 for one in rows):
            raise misshapen(walk, node, 2, given.shape, len(bias))
        bias = np.broadcast_to(given.ravel(), bias.shape) * take("beta", 1.0)
    _dense(walk, node, pieces, weight * take("alpha", 1.0), bias)


def _matmul(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    if node.inputs[0] in walk.source.constants:
        raise walk.unfit(node, "has its constant on the left, expected samples times weights")
    weight = shaped(walk, node, 1, _elements(walk, node), "outputs").T
    _dense(walk, node, pieces, weight, np.zeros(len(weight)))


def _elements(walk: Walk, node: Operator) -> int:
    """Those of the vectors that come in."""
    shape = walk.source.shape(node.inputs[0], node)
    if len(shape) != 1:
        raise walk.unfit(node, f"gets samples of shape {list(shape)}, expected vectors")
    return shape[0]


def _dense(walk: Walk, node: Operator, pieces: list[Piece], weight: Any, bias: Any) -> None:
    walk.check_given(node, [len(weight)])
    piece = Piece("dense", node.name, node.output, {"outputs": len(weight)})
    piece.tensors = {"weight": weight, "bias": bias}
    piece.constants = _constants(node)
    through_affine(walk, node, piece, padded=False)
    pieces.append(piece)


def _convolution(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    sides = len(walk.source.shape(node.inputs[0], node)) - 1
    if sides != 2 and constant(walk, node, 1).ndim == 2 + sides:
        raise walk.unfit(
            node, f"has a kernel of {sides} dimensions; convolutions of images have two"
        )
    if node.attributes.get("group", 1) != 1:
        raise walk.unfit(node, f"has {node.attributes['group']} groups; one is possible")
    channels, *_ = _image(walk, node)
    weight = shaped(walk, node, 1, "outputs", channels, "height", "width")
    biased = len(node.inputs) > 2 and node.inputs[2]
    piece = Piece("convolution", node.name, node.output, {"outputs": len(weight)})
    piece.fields |= _window(walk, node, weight.shape[2:], len(weight))
    bias = shaped(walk, node, 2, len(weight)) if biased else np.zeros(len(weight))
    piece.tensors = {"weight": weight, "bias": bias}
    piece.constants = _constants(node)
    through_affine(walk, node, piece, padded="padding" in piece.fields)
    pieces.append(piece)


def _constants(node: Operator) -> dict[str, str]:
    """What the arrays of weights and bias are called in the graph."""
    return dict(zip(("weight", "bias"), filter(None, node.inputs[1:]), strict=False))


def _image(walk: Walk, node: Operator) -> tuple[int, ...]:
    """[channels, height, width] of what comes in."""
    shape = walk.source.shape(node.inputs[0], node)
    if len(shape) != 3:
        raise walk.unfit(
            node, f"gets samples of shape {list(shape)}, expected images [channels, height, width]"
        )
    return shape


def _pool(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    average = node.kind == "AveragePool"
    kernel = node.attributes["kernel_shape"]
    if len(kernel) != 2:
        raise walk.unfit(node, f"has windows of {len(kernel)} dimensions; those of images have two")
    fields = _window(walk, node, kernel, _image(walk, node)[0])
    if average and "padding" in fields and not node.attributes.get("count_include_pad", 0):
        raise walk.unfit(
            node, "leaves its padding out of the mean; count_include_pad = 1 is possible"
        )
    past_affine(walk, node, maximum=not average, padded="padding" in fields)
    fields["stride"] = fields.get("stride", [1, 1])
    if fields["stride"] == fields["kernel"]:
        del fields["stride"]
    kind = "average-pool" if average else "max-pool"
    pieces.append(Piece(kind, node.name, node.output, fields))


def _window(walk: Walk, node: Operator, kernel: Any, channels: int) -> dict[str, Any]:
    """Kernel, stride and padding, as far as they are not the default; it gives `channels`."""
    take = node.attributes.get
    pads = list(take("pads", [0, 0, 0, 0]))
    automatic = take("auto_pad", b"NOTSET").decode()
    strides = list(take("strides", [1, 1]))
    if automatic.startswith("SAME"):
        raise walk.unfit(node, f"has auto_pad = {automatic}; give its padding in numbers")
    if pads[:2] != pads[2:]:
        raise walk.unfit(node, f"pads by {pads}; the same on both sides is possible")
    dilations = list(take("dilations", [1, 1]))
    if any(one != 1 for one in dilations):
        raise walk.unfit(node, f"has dilations of {dilations}; 1 is possible")
    for what, sizes, count in (("pads", pads, 4), ("strides", strides, 2)):
        if len(sizes) != count:
            raise walk.unfit(node, f"has {what} of {sizes}, expected {count} numbers")
    stated = list(take("kernel_shape", kernel))
    if stated != list(kernel):
        raise walk.unfit(node, f"has kernel_shape = {stated}, but its kernel is {list(kernel)}")
    floor = [
        (size + 2 * pad - side) // stride + 1
        for size, pad, side, stride in zip(
            _image(walk, node)[1:], pads[:2], kernel, strides, strict=True
        )
    ]
    if take("ceil_mode", 0) and list(walk.source.shape(node.output, node)[1:]) != floor:
        raise walk.unfit(node, "has ceil_mode = 1 and a last window that leaves the image")
    walk.check_given(node, [channels, *floor])
    found: dict[str, Any] = {"kernel": [int(one) for one in kernel]}
    if strides != [1, 1]:
        found["stride"] = strides
    if any(pads):
        found["padding"] = pads[:2]
    return found


def _global_average(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    flat = node.kind == "ReduceMean" and not node.attributes.get("keepdims", 1)
    channels, *_ = _image(walk, node)
    walk.check_given(node, [channels] if flat else [channels, 1, 1])
    pieces.append(Piece("average-pool", node.name, node.output, {"kernel": "all"}))


def _reduce_mean(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    axes = node.attributes.get("axes")
    found = [int(one) for one in (constant(walk, node, 1).ravel() if axes is None else axes)]
    rank = len(walk.source.shape(node.inputs[0], node)) + 1
    if rank != 4 or sorted(one % rank for one in found) != [2, 3]:
        raise walk.unfit(node, f"is a mean over the axes {found}; that over whole images is [2, 3]")
    _global_average(walk, node, pieces)


def _shaped(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    """Flatten, Reshape, Squeeze: an image as a vector, or a vector as the image that comes in."""
    before = walk.source.shape(node.inputs[0], node)
    after = walk.source.shape(node.output, node)
    if before == after:
        return
    if len(after) == 1 and np.prod(before) == after[0]:
        pieces.append(Piece("flatten", node.name, node.output))
    elif not pieces and walk.affine is None and len(after) == 3:
        walk.inputs = after
    else:
        raise walk.unfit(
            node,
            f"makes {list(after)} of {list(before)}; an image may become a vector, and at the "
            "beginning a vector an image",
        )


def _activation(name: str) -> Callable[[Walk, Operator, list[Piece]], None]:
    def apply(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
        """Behind a maximum it is the same as before it."""
        walk.check_given(node, walk.source.shape(node.inputs[0], node))
        place = len(pieces) - 1
        while place >= 0 and pieces[place].kind in ("max-pool", "flatten"):
            place -= 1
        able = ABLE[name]
        if place < 0 or pieces[place].kind not in able:
            what = pieces[place].kind if place >= 0 else "the beginning of a network or branch"
            raise walk.unfit(node, f"is behind {what}; it may be behind {', '.join(able)}")
        piece = pieces[place]
        if piece.activation not in ("none", name):
            raise walk.unfit(node, f"is behind another activation, {piece.activation}")
        piece.activation = name
        piece.sums, piece.end = piece.sums or piece.end, node.output
        for after in pieces[place + 1 :]:
            after.end = node.output

    return apply


def _clip(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    least, most = (*node.inputs[1:], "", "")[:2]
    bound = constant(walk, node, 1) if least else np.zeros(1)
    if bound.size != 1:
        raise misshapen(walk, node, 1, bound.shape)
    if most or not least or bound.any():
        raise walk.unfit(node, "is no Relu, which clips at 0 and nowhere else")
    _activation("relu")(walk, node, pieces)


def _softmax(walk: Walk, node: Operator, pieces: list[Piece]) -> None:
    if not walk.is_last(node):
        raise walk.unfit(node, "is inside of the network; at its end it is part of the loss")
    walk.notes.append(f"{node.kind} {node.name!r} is left out: it is part of the loss")


OPERATORS: dict[str, Callable[[Walk, Operator, list[Piece]], None]] = {
    "Add": added,
    "AveragePool": _pool,
    "BatchNormalization": batch_norm,
    "Clip": _clip,
    "Conv": _convolution,
    "Div": scaled,
    "Flatten": _shaped,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mul": scaled,
    "ReduceMean": _reduce_mean,
    "Relu": _activation("relu"),
    "Reshape": _shaped,
    "Softmax": _softmax,
    "Squeeze": _shaped,
    "Sub": added,
    "Tanh": _activation("tanh"),
}
"""By the kind of operator; Identity, Dropout and Cast are passed on."""
