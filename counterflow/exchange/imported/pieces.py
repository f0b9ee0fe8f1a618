"""Layers in the making: what a description says of each, and its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WEIGHTED = ("dense", "convolution")


@dataclass
class Piece:
    """A layer of `kind`, made of the operator `operator`; ``end``: the tensor that it gives.

    ``fields``: those of the description; ``tensors``: parameters by PyTorch's names; ``sums``: the
    tensor before its tanh; ``epsilon``: what is added to the variances of a norm; ``constants``:
    what the graph calls the arrays that parameters were made of.
    """

    kind: str
    operator: str
    end: str
    fields: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Floats] = field(default_factory=dict)
    body: list[Piece] = field(default_factory=list)
    shortcut: list[Piece] = field(default_factory=list)
    activation: str = "none"
    sums: str = ""
    epsilon: float = 0.0
    constants: dict[str, str] = field(default_factory=dict)

    @property
    def weighted(self) -> bool:
        """Whether it is dense or a convolution."""
        return self.kind in WEIGHTED


def flattened(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """All of them, and what is in them, in the order in which units stand in a graph."""
    for piece in pieces:
        yield from flattened(piece.body)
        yield from flattened(piece.shortcut)
        yield piece
