"""Sums of branches in float64."""

from __future__ import annotations

import numpy as np

from counterflow.design.graph import Unit
from counterflow.golden.reference.rules import Floats


class Sum:
    """The sum of its inputs, which ends in a ReLU with `relu`.

    ``masks``, one for each: it comes from a ReLU, whose derivative is applied to its gradient here;
    ``wanted``: somebody wants that.
    """

    def __init__(
        self, masks: tuple[bool, ...], wanted: tuple[bool, ...], *, relu: bool = False
    ) -> None:
        self.masks, self.wanted, self.relu = masks, wanted, relu
        self.inputs: dict[int, tuple[Floats, ...]] = {}

    @classmethod
    def of(cls, unit: Unit) -> Sum:
        """That of a unit of the graph."""
        masks = tuple(edge.rectified for edge in unit.inputs)
        wanted = tuple(edge.wanted for edge in unit.inputs)
        return cls(masks, wanted, relu=unit.outputs[0].rectified)

    def forward(self, slot: int, *x: Floats) -> Floats:
        """y of token `slot`; any shape."""
        if any(self.wanted):
            self.inputs[slot] = x
        total: Floats = sum(x[1:], start=x[0])
        return np.maximum(total, 0) if self.relu else total

    def backward(self, token: int, dy: Floats) -> tuple[Floats, ...]:
        """dx of `token`, which is forgotten, for each input that wants it."""
        found = zip(self.inputs.pop(token), self.masks, self.wanted, strict=True)
        return tuple(
            np.where(x > 0, dy, 0) if masks else dy for x, masks, wanted in found if wanted
        )
