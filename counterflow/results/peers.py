"""What PyTorch has for the units of a network, for its speed to be measured.

They do as much, not quite the same: a batch norm over the pixels of one sample stands for a norm
with running statistics, and has a scale besides the bias.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from counterflow.design.graph import Unit
from counterflow.design.network.description import Description
from counterflow.design.units.convolution import ConvolutionUnit
from counterflow.design.units.norm import NormUnit
from counterflow.design.units.pool import PoolUnit
from counterflow.design.units.subsample import SubsampleUnit


def network_of_modules(description: Description) -> Any:
    """A PyTorch module of the whole network, from images [N, channels, height, width] to scores.

    ValueError where a unit has no peer.
    """
    from torch import nn

    units = description.graph.units[:-1]
    for unit in units:
        if unit.kind not in (*PEERS, *JOINTS):
            raise ValueError(
                f"{description.name} has a unit of kind {unit.kind!r}; PyTorch is only measured on "
                f"networks of the kinds {', '.join((*PEERS, *JOINTS))}"
            )
    if all(unit.kind in PEERS for unit in units):
        return nn.Sequential(*(module for unit in units for module in PEERS[unit.kind](unit)))
    return _branching(description)


def _branching(description: Description) -> Any:
    """One whose units are joined as the edges of the graph are."""
    from torch import nn

    units, source = description.graph.units[:-1], description.graph.source.number
    pieces = [PEERS[unit.kind](unit) if unit.kind in PEERS else _behind(unit) for unit in units]
    ways = [
        ([edge.number for edge in unit.inputs], [edge.number for edge in unit.outputs])
        for unit in units
    ]

    class Branching(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
        def __init__(self) -> None:
            super().__init__()
            self.pieces = nn.ModuleList([nn.Sequential(*modules) for modules in pieces])

        def forward(self, x: Any) -> Any:
            values = {source: x}
            for piece, (came, left) in zip(self.pieces, ways, strict=True):
                y = piece(functools.reduce(operator.add, [values.pop(number) for number in came]))
                values.update(dict.fromkeys(left, y))
            return y

    return Branching()


def _behind(unit: Unit) -> list[Any]:
    """What is behind a fork, or a sum."""
    from torch import nn

    return [nn.ReLU()] if unit.kind == "sum" and unit.outputs[0].rectified else []


def _weighted(unit: ConvolutionUnit) -> list[Any]:
    from torch import nn

    shape, activation = unit.geometry, [nn.ReLU()] if unit.outputs[0].rectified else []
    if shape.image == unit.inputs[0].shape and shape.image[:2] != (1, 1):
        passing = (shape.kernel, shape.stride, shape.padding)
        return [nn.Conv2d(shape.channels, shape.outputs, *passing), *activation]
    # A vector stays one when it is flattened.
    return [nn.Flatten(), nn.Linear(shape.inputs, shape.outputs), *activation]


def _norm(unit: NormUnit) -> list[Any]:
    from torch import nn

    activation = [nn.ReLU()] if unit.outputs[0].rectified else []
    return [nn.BatchNorm2d(unit.inputs[0].shape[2], momentum=2.0**-7), *activation]


def _pool(unit: PoolUnit) -> list[Any]:
    from torch import nn

    pool = nn.AvgPool2d if unit.average else nn.MaxPool2d
    return [pool(unit.kernel, unit.stride, unit.padding)]


def _subsample(unit: SubsampleUnit) -> list[Any]:
    from torch import nn

    (down, across), more = unit.stride, unit.outputs[0].shape[2] - unit.inputs[0].shape[2]

    class Subsample(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return nn.functional.pad(x[:, :, ::down, ::across], (0, 0, 0, 0, 0, more))

    return [Subsample()]


def _tanh(unit: Unit) -> list[Any]:
    from torch import nn

    return [nn.Tanh()]


PEERS: dict[str, Callable[[Any], list[Any]]] = {
    "convolution": _weighted,
    "norm": _norm,
    "pool": _pool,
    "subsample": _subsample,
    "tanh": _tanh,
}
"""PyTorch's modules for a unit, by its kind."""

JOINTS = ("fork", "sum")
