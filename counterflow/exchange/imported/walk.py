"""The way of samples through a graph: operators in a row, and branches that meet in an Add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from counterflow.exchange.imported.pieces import Floats, Piece
from counterflow.exchange.imported.source import Source, UnfitError
from counterflow.exchange.nodes import Operator


class Affine(NamedTuple):
    """``scale x + offset`` of what comes into the network, by channel; `by`: who says so."""

    scale: Floats
    offset: Floats
    by: str

    def of(self, values: Any) -> Floats:
        """That of values [N, channels]."""
        found: Floats = values * self.scale + self.offset
        return found

    def back(self, values: Any) -> Floats:
        """The inverse of `of`."""
        found: Floats = (values - self.offset) / self.scale
        return found


class Units(NamedTuple):
    """What a graph takes and gives of the values of a network; None where these are the same."""

    inputs: Affine | None = None
    outputs: Affine | None = None


NO_UNITS = Units()


@dataclass
class Walk:
    """A walk through `source`; ``notes``: what was left out or taken into something else.

    ``operators``: what is done with each kind; ``inputs``: shape of a sample without the batch,
    changed by a reshape before the first layer; ``affine``: what is still to be taken into the
    first layer with weights; ``begun``: whether there are branches, which could not share one.
    """

    source: Source
    operators: Mapping[str, Callable[[Walk, Operator, list[Piece]], None]]
    inputs: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    affine: Affine | None = None
    begun: bool = False

    def __post_init__(self) -> None:
        self.inputs = self.source.shape(self.source.input)

    def pieces(self) -> list[Piece]:
        """The whole graph; UnfitError, which names the first operator that cannot be expressed."""
        found, last = self._follow(self.source.input, [])
        if last is not None:
            raise self.unfit(last, "adds what no branches of one tensor have come to")
        if self.affine is not None:
            raise UnfitError(
                f"{self.source.where}: {self.affine.by} is not before any layer with weights"
            )
        return found

    def unfit(self, node: Operator, why: str) -> UnfitError:
        """An operator that a description cannot express, and why."""
        return UnfitError(f"{self.source.where}: {node} {why}")

    def check_given(self, node: Operator, shape: Sequence[int]) -> None:
        """UnfitError where `node` gives something else by the file than `shape`, which follows.

        So what is said of the next operator's weights is true, whatever a file states in between.
        """
        stated = self.source.shapes.get(node.output)
        if stated is None:
            return
        known = len(stated) == len(shape) + 1 and all(
            there in (None, size) for there, size in zip(stated[1:], shape, strict=True)
        )
        if not known:
            listed = [size or "?" for size in stated[1:]]
            raise self.unfit(
                node,
                f"gives the shape {list(shape)} behind the batch, but the file states {listed}",
            )

    def is_last(self, node: Operator) -> bool:
        """Whether nothing reads what `node` gives."""
        return node.output == self.source.output

    def _follow(self, name: str, pieces: list[Piece]) -> tuple[list[Piece], Operator | None]:
        """`pieces` and what comes of tensor `name`, as far as the network's end or a meeting."""
        while name != self.source.output:
            readers = self.source.readers[name]
            if len(readers) > 1:
                name = self._branch(name, readers, pieces)
                continue
            node = readers[0]
            if self._meets(node):
                return pieces, node
            self._step(node, pieces)
            name = node.output
        return pieces, None

    def _step(self, node: Operator, pieces: list[Piece]) -> None:
        if node.kind not in self.operators:
            possible = ", ".join(sorted(self.operators))
            raise self.unfit(
                node, f"cannot be expressed by the layers of a description; possible are {possible}"
            )
        self.operators[node.kind](self, node, pieces)

    def _meets(self, node: Operator) -> bool:
        """Whether it adds two tensors, neither of them constant."""
        constants = self.source.constants
        return node.kind == "Add" and not any(one in constants for one in node.inputs)

    def _branch(self, name: str, readers: list[Operator], pieces: list[Piece]) -> str:
        """Add the residual layer of the branches behind `name`; the tensor that they give."""
        if len(readers) > 2:
            raise self.unfit(
                readers[2], f"is the third that reads {name!r}; two branches are possible"
            )
        if self.affine is not None:  # the first branch with weights would take it in for both
            raise UnfitError(
                f"{self.source.where}: {self.affine.by} is before branches; before a layer with "
                "weights it could be taken in"
            )
        self.begun = True
        branches, ends = [], []
        for node in readers:
            own: list[Piece] = []
            end: Operator | None = node
            if not self._meets(node):
                self._step(node, own)
                own, end = self._follow(node.output, own)
            branches.append(own)
            ends.append(end)
        meeting, other = ends
        if meeting is None or other is None or meeting is not other:
            raise self.unfit(
                readers[0],
                f"begins a branch behind {name!r} that does not meet the other one, of "
                f"{readers[1].name!r}, in an Add",
            )
        first, second = (self.source.shape(one, meeting) for one in meeting.inputs)
        if first != second:
            raise self.unfit(
                meeting,
                f"adds the shapes {list(first)} and {list(second)}; the same twice is possible",
            )
        self.check_given(meeting, first)
        shortcut, body = sorted(branches, key=_size)
        pieces.append(Piece("residual", meeting.name, meeting.output, body=body, shortcut=shortcut))
        return meeting.output


def _size(branch: list[Piece]) -> tuple[int, int]:
    return sum(piece.weighted for piece in branch), len(branch)


def constant(walk: Walk, node: Operator, index: int) -> Floats:
    """Input number `index` of `node`, which must be constant."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    if name not in walk.source.constants:
        raise walk.unfit(node, f"has an input {name!r} that is not constant")
    values = np.asarray(walk.source.constants[name])
    if values.dtype.kind not in "fiu":
        raise walk.unfit(node, f"has a constant {name!r} of the type {values.dtype}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise walk.unfit(node, f"has a constant {name!r} that holds what is no finite number")
    return values.astype(np.float64)


def shaped(walk: Walk, node: Operator, index: int, *sizes: int | str) -> Floats:
    """As `constant`, of the shape `sizes`, in which a word is the name of what may be any.

    All that weights are made of comes through here, so that each contradiction is a sentence.
    """
    values = constant(walk, node, index)
    fits = values.ndim == len(sizes) and all(
        isinstance(wanted, str) or wanted == size
        for wanted, size in zip(sizes, values.shape, strict=True)
    )
    if not fits:
        raise misshapen(walk, node, index, values.shape, *sizes)
    return values


def misshapen(
    walk: Walk, node: Operator, index: int, shape: Sequence[int], *sizes: int | str
) -> UnfitError:
    """Input number `index` has another shape than `sizes`, as `shaped` has them."""
    wanted = ", ".join(map(str, sizes))
    return walk.unfit(
        node,
        f"has a constant {node.inputs[index]!r} of the shape {list(shape)}, expected [{wanted}]",
    )
