"""The parameters of a network under PyTorch's names and in its layouts.

A unit is a module of its own name, so that they are ``conv0.weight`` [outputs, channels, height,
width], ``dense5.weight`` [outputs, inputs], ``conv0.bias``; a norm is a ``BatchNorm2d`` or a
``GroupNorm``.  Images are [height, width, channels] here and [channels, height, width] there: a
dense layer behind an image has its columns in that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.graph import Graph, Unit
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.convolution import ConvolutionUnit
from counterflow.design.units.normal import VARIANCE_FRAC
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.design.units.slotted import Integers, Slotted
from counterflow.golden.units.state import State

Floats = NDArray[np.float64]

LEAVES = {
    "weight": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
"""What PyTorch calls each parameter; velocities and controls are of the training alone."""
STATISTICS = ("mean", "variance")  # what copies of a norm have like the norm itself
EXACT_BITS = 24  # of integers that float32 holds


@dataclass(frozen=True)
class Tensor:
    """Parameter `parameter` of unit number `index`, ``name`` and `shape` as PyTorch has it.

    A value is ``integer * 2**-frac``, and integers are within `number`; ``order`` [elements]: the
    place in the unit's own array of each element.
    """

    index: int
    module: str
    parameter: str
    shape: tuple[int, ...]
    number: Format
    frac: int
    order: Integers

    @property
    def leaf(self) -> str:
        """The name within its module."""
        return LEAVES[self.parameter]

    @property
    def name(self) -> str:
        return f"{self.module}.{self.leaf}"

    @property
    def scale(self) -> float:
        """What an integer is multiplied by."""
        return 2.0**-self.frac

    def integers(self, states: Sequence[State]) -> Integers:
        """Those of `states`, in PyTorch's layout."""
        own: Integers = getattr(states[self.index], self.parameter)
        return own.ravel()[self.order].reshape(self.shape)

    def values(self, states: Sequence[State]) -> NDArray[Any]:
        """As real numbers, exact: float32, or float64 where that would round."""
        kind = np.float32 if self.number.magnitude <= 1 << EXACT_BITS else np.float64
        return (self.integers(states) * self.scale).astype(kind)

    def rounded(self, values: Floats) -> tuple[Integers, int]:
        """(`values` in the unit's own layout, rounded and clipped; how many were clipped)."""
        exact = np.rint(values.astype(np.float64) * 2.0**self.frac)
        clipped = np.clip(exact, self.number.min, self.number.max)
        own = np.empty(clipped.size, np.int64)
        own[self.order] = clipped.ravel()
        return own, int((clipped != exact).sum())


@dataclass(frozen=True)
class Tensors:
    """Those of all units of a schedule, in the order of the dataflow."""

    schedule: Schedule

    @cached_property
    def all(self) -> tuple[Tensor, ...]:
        """Every parameter; those of the copies of a norm have the names of the norm's own."""
        graph = self.schedule.graph
        return tuple(one for stage in self.schedule.stages for one in _tensors(stage, graph))

    @cached_property
    def by_name(self) -> dict[str, Tensor]:
        """Without copies."""
        found: dict[str, Tensor] = {}
        for one in self.all:
            found.setdefault(one.name, one)
        return found

    @cached_property
    def ones(self) -> dict[str, int]:
        """Weights that norms without a gamma have in PyTorch, with how many ones they are."""
        norms = [one.unit for one in self.schedule.stages if isinstance(one.unit, NormalUnit)]
        return {
            f"{unit.name}.weight": unit.inputs[0].shape[2]
            for unit in norms
            if not unit.gamma and not unit.serves
        }

    @cached_property
    def epsilons(self) -> dict[str, float]:
        """What is added to the variances of each norm: a squared last place of its input."""
        norms = [one.unit for one in self.schedule.stages if isinstance(one.unit, NormalUnit)]
        return {one.name: 4.0 ** -one.inputs[0].x.frac for one in norms if not one.serves}


def _tensors(stage: Slotted, graph: Graph) -> Iterator[Tensor]:
    unit = stage.unit
    for one in stage.parameters:
        if one.name not in LEAVES or (unit.serves and one.name not in STATISTICS):
            continue
        squared = one.name == "variance"  # in squared last places of x
        frac = VARIANCE_FRAC + 2 * unit.inputs[0].x.frac if squared else one.number.frac
        places = np.arange(int(np.prod(one.shape))).reshape(one.shape)
        if one.name == "weight":
            places = _arranged(unit, graph, places)
        shape, order = places.shape, places.ravel()
        yield Tensor(stage.index, module_of(unit), one.name, shape, one.number, frac, order)


def module_of(unit: Unit) -> str:
    """The name of its module, which a copy shares with its original."""
    return unit.name.removesuffix(f"l{unit.serves}") if unit.serves else unit.name


def _arranged(unit: Any, graph: Graph, places: Integers) -> Integers:
    """A weight matrix [outputs, taps] as [outputs, channels, height, width], or [outputs, inputs].

    An edge knows at its maker the image that a dense layer takes as a vector.
    """
    assert isinstance(unit, ConvolutionUnit)
    geometry, dense = unit.geometry, is_dense(unit)
    image = graph.edges[unit.inputs[0].number].shape
    pixels = image[:2] if dense else geometry.kernel
    channels = image[2] if dense else geometry.channels
    found = places.reshape(geometry.outputs, *pixels, channels).transpose(0, 3, 1, 2)
    return found.reshape(geometry.outputs, -1) if dense else found


def is_dense(unit: ConvolutionUnit) -> bool:
    """Whether it is a dense layer's; a convolution of one pixel has the same geometry."""
    return unit.name.startswith("dense")
