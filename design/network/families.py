"""Networks that are generated: those of the literature, by depth and width.

``resnet20`` is that of He et al. (arXiv 1603.05027, pre-activation) for 32x32 images: a
convolution, then three stages of n blocks with 16, 32 and 64 channels, 6 n + 2 layers with weights
in all.  A block is `x + conv(relu(norm(conv(relu(norm(x))))))`; where a stage begins, its first
convolution has strides of two, and the shortcut keeps every second pixel and adds channels of
zeros.  ``resnet20-w4`` is a thin one that begins with 4 channels.

``digits-resnet30`` is a deep one for handwritten digits of 8x8 pixels: two stages of n blocks with
8 and 16 channels, 4 n + 2 layers, on which delay can be studied in minutes.

``vgg11`` and ``vgg16`` are those of Simonyan & Zisserman (arXiv 1409.1556) with a norm behind each
convolution, for 32x32 images and one dense layer at the end; ``vgg11-w8`` begins with 8 channels.

``resnet50-imagenet`` is the residual network of bottlenecks for images of 224x224 pixels, to be
planned: no device holds it.  Its last layer has 256 of the 1,000 classes, the most of a softmax.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

DEPTHS = (8, 14, 20, 32, 44, 56, 110)
WIDTHS = (1, 256)  # of the first stage
STAGES = 3
DIGITS_STAGES = 2

VGG: Mapping[int, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions of each stage, by the layers with weights that the original has."""

IMAGENET = "resnet50-imagenet"
BOTTLENECKS = (3, 4, 6, 3)
"""Blocks of its stages."""

_NAME = re.compile(r"(resnet|digits-resnet|vgg)([0-9]{1,9})(?:-w([0-9]{1,9}))?(-group)?")

SHOWN = (
    f"resnet{DEPTHS[0]} to resnet{DEPTHS[-1]}, digits-resnet30, vgg{min(VGG)} to vgg{max(VGG)} "
    f"(-w4: 4 channels at first; -group: GroupNorm), {IMAGENET}"
)


def family(name: str) -> dict[str, Any] | None:
    """The fields of the description that `name` names, None if it is of no family.

    Raises ValueError, one sentence, where a family has none of that depth or width.
    """
    if name == IMAGENET:
        return bottlenecks(name, norm={"kind": "norm"})
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind, depth = match[1], int(match[2])
    width = int(match[3] or {"resnet": 16, "digits-resnet": 8, "vgg": 64}[kind])
    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise ValueError(
            f"its first stage would have {width} channels; {WIDTHS[0]} to {WIDTHS[1]} are possible"
        )
    norm = {"kind": "norm", "statistics": "group"} if match[4] else {"kind": "norm"}
    if kind == "vgg":
        if depth not in VGG:
            raise ValueError(f"VGG has {', '.join(map(str, VGG))} layers, not {depth}")
        return vgg(name, stages=VGG[depth], width=width, norm=norm)
    stages = STAGES if kind == "resnet" else DIGITS_STAGES
    blocks, left = divmod(depth - 2, 2 * stages)
    if blocks < 1 or left:
        several = ", ".join(str(2 * stages * count + 2) for count in (1, 2, 3, 5, 7, 9, 18))
        raise ValueError(
            f"there is no such residual network of {depth} layers; they have {2 * stages} n + 2, "
            f"such as {several}"
        )
    layers = residual(stages=stages, blocks=blocks, width=width, norm=norm)
    if kind == "resnet":
        return _network(name, layers)
    found = _network(name, layers) | {"dataset": "digits", "inputs": [8, 8, 1]}
    found["formats"] |= {"input": "u5.4", "error": "s12.12"}
    found["recipe"] |= {"epochs": 5, "rate_drops": [{"epoch": 4, "shift": 1}]}
    return found


def residual(
    *, stages: int, blocks: int, width: int, norm: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The layers of a residual network of `blocks` blocks a stage."""
    layers: list[dict[str, Any]] = [_convolution(width)]
    for stage in range(stages):
        for block in range(blocks):
            outputs, first = width << stage, stage > 0 and block == 0
            stride = {"stride": 2} if first else {}
            layers.append(
                {
                    "kind": "residual",
                    "body": [
                        norm,
                        _convolution(outputs, **stride),
                        norm,
                        _convolution(outputs),
                    ],
                    "shortcut": [{"kind": "subsample", "stride": 2, "outputs": outputs}]
                    if first
                    else [],
                    "formats": {"error": "s14.12"},
                }
            )
    layers[-1] |= {"activation": "relu", "formats": {"activation": "u11.5", "error": "s14.12"}}
    layers += [
        {"kind": "average-pool", "kernel": "all"},
        {"outputs": 10, "activation": "none", "formats": {"error": "s10.8"}},
    ]
    return layers


def vgg(name: str, *, stages: Sequence[int], width: int, norm: Mapping[str, Any]) -> dict[str, Any]:
    """A chain of so many convolutions a stage, with a pool behind each stage, for CIFAR-10."""
    layers: list[dict[str, Any]] = []
    for stage, convolutions in enumerate(stages):
        for _ in range(convolutions):
            layers += [_convolution(width << min(stage, 3)), dict(norm)]
        layers.append({"kind": "max-pool", "kernel": 2})
    layers.append({"outputs": 10, "activation": "none", "formats": {"error": "s10.8"}})
    return _network(name, layers)


def bottlenecks(name: str, *, norm: Mapping[str, Any]) -> dict[str, Any]:
    """Blocks of 1x1, 3x3 and 1x1 convolutions, with projections where a stage begins."""
    layers: list[dict[str, Any]] = [
        _convolution(64, kernel=7, stride=2, padding=3),
        {"kind": "norm"},
        {"kind": "max-pool", "kernel": 3, "stride": 2, "padding": 1},
    ]
    point = {"kernel": 1, "padding": 0}
    for stage, blocks in enumerate(BOTTLENECKS):
        width = 64 << stage
        for block in range(blocks):
            stride = {"stride": 2} if stage and not block else {}
            body = [
                *(_convolution(width, **point), dict(norm)),
                *(_convolution(width, **stride), dict(norm)),
                _convolution(4 * width, **point),
            ]
            # What comes behind the first pool has been normalised.
            layers.append(
                {
                    "kind": "residual",
                    "body": [dict(norm), *body] if stage or block else body,
                    "shortcut": [] if block else [_convolution(4 * width, **point, **stride)],
                }
            )
    layers[-1] |= {"activation": "relu", "formats": {"activation": "u11.5"}}
    layers += [
        {"kind": "average-pool", "kernel": "all"},
        {"outputs": 256, "activation": "none", "formats": {"error": "s10.8"}},
    ]
    return _network(name, layers, image=(224, 224, 3))


def _network(
    name: str, layers: Sequence[Mapping[str, Any]], image: tuple[int, int, int] = (32, 32, 3)
) -> dict[str, Any]:
    return {
        "name": name,
        "dataset": "cifar10" if image == (32, 32, 3) else "imagenet",
        "inputs": list(image),
        "layers": layers,
        # Nothing bounds what a norm gets, and means over many pixels make gradients small.
        "formats": {"activation": "s12.5", "error": "s14.12"},
        "recipe": {
            "learning_rate": 2.0**-12,  # together with the momentum an effective 2^-6
            "momentum": 1 - 2.0**-6,
            "mitigation": "lwpv",
            "epochs": 4,
            "rate_drops": [{"epoch": 3, "shift": 2}],
        },
    }


def _convolution(outputs: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "convolution",
        "outputs": outputs,
        **{"kernel": 3, "padding": 1, **more},
        "activation": "none",
    }
