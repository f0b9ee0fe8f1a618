"""An imported network: its description and its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from counterflow.design.data.places import with_data
from counterflow.design.network.complaints import complaint
from counterflow.design.network.description import Description
from counterflow.design.network.files import to_toml, write_atomically
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.convolution import ConvolutionUnit
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.exchange.files import write_values
from counterflow.exchange.imported.formats import NORM_ERROR, Ranges, formats_of, logit
from counterflow.exchange.imported.operators import OPERATORS
from counterflow.exchange.imported.pieces import Piece, flattened
from counterflow.exchange.imported.source import Source, UnfitError
from counterflow.exchange.imported.walk import NO_UNITS, Units, Walk
from counterflow.exchange.tensors import Tensors

RECIPE = {"mitigation": "none", "learning_rate": 2.0**-13}
"""That of a network which has learnt already: an eighth of the rate of one that begins, with which
what was learnt would be lost at first."""


@dataclass(frozen=True)
class Trial:
    """How well the graph does in floats, and the integers: shares, both of the same test samples.

    Of right answers if ``judged`` by labels, else of the targets' variance that is explained (R2).
    """

    samples: int
    floats: float
    integers: float
    judged: bool = True


@dataclass(frozen=True)
class Imported:
    """A description, its weights by PyTorch's names, and ``notes`` of what became of the graph.

    ``data`` is the path of those that it was fitted to, and ``trial`` how well it does on them
    without training, where that can be said.
    """

    description: Description
    weights: dict[str, NDArray[Any]]
    notes: tuple[str, ...]
    data: Path | None = None
    trial: Trial | None = None

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.toml and NAME.safetensors into `folder`, which is made.

        The path of ``data`` is one from there, where both can be moved together.
        """
        folder.mkdir(parents=True, exist_ok=True)
        description, name = self.description, self.description.name
        if self.data is not None:
            description = with_data(description, folder, self.data)
        weights = write_values(folder / f"{name}.safetensors", self.weights)
        return [write_atomically(folder / f"{name}.toml", to_toml(description)), weights]


class Learnt(NamedTuple):
    """What the network is to learn from then on: ``loss`` and ``targets`` of a description, and the
    column or columns ``label`` of a table.
    """

    loss: str = "softmax"
    targets: str | None = None
    label: str | int | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """As a description has them."""
        own: dict[str, Any] = {} if self.loss == "softmax" else {"loss": self.loss}
        if self.targets is not None:
            own["targets"] = self.targets
        return own if self.label is None else {**own, "data": {"label": self.label}}


CLASSES = Learnt()


@dataclass(frozen=True)
class Read:
    """A graph as pieces of a description, still without numbers; ``image``: [height, width,
    channels] of a sample.

    What is between the `units` of the graph and those of the network is in the pieces.
    """

    source: Source
    pieces: list[Piece]
    image: tuple[int, ...]
    notes: tuple[str, ...]
    learnt: Learnt = CLASSES
    units: Units = NO_UNITS

    def ends(self) -> list[str]:
        """Tensors whose ranges matter."""
        found = [name for one in flattened(self.pieces) for name in (one.end, one.sums) if name]
        return list(dict.fromkeys(found))

    def imported(self, name: str, dataset: str, ranges: Ranges | None = None) -> Imported:
        """The description with formats for `ranges`, by default for what weights say alone.

        Raises ValueError, one sentence, where a limit of descriptions is in the way.
        """
        pieces, where = self.pieces, self.source.where
        norms = any(piece.kind == "norm" for piece in flattened(pieces))
        last = pieces[-1]
        with self._about(last):
            shared: dict[str, Any] = {"logit": str(logit(last, ranges))}
        if norms:
            shared["error"] = NORM_ERROR
        fields = {
            "name": name,
            "dataset": dataset,
            "inputs": list(self.image) if len(self.image) == 3 else self.image[0],
            "layers": [self._layer(one, ranges, norms, one is last) for one in pieces],
            **self.learnt.fields,
            "formats": shared,
            "recipe": RECIPE,
        }
        try:
            description = Description.model_validate(fields)
            schedule = plan(description).schedule
        except ValidationError as error:
            raise UnfitError(f"{where}: {self._named(complaint(error, Description))}") from error
        except ValueError as error:
            raise UnfitError(f"{where}: {self._named(str(error))}") from error
        return Imported(description, self._weights(description, schedule), self.notes)

    def _layer(
        self, piece: Piece, ranges: Ranges | None, norms: bool, last: bool
    ) -> dict[str, Any]:
        """What stands in a description."""
        found: dict[str, Any] = {"kind": piece.kind, **piece.fields}
        if piece.kind == "flatten":
            return found
        if piece.weighted or piece.kind in ("norm", "residual"):
            found["activation"] = piece.activation
        for chain in ("body", "shortcut"):
            inner: Sequence[Piece] = getattr(piece, chain)
            if inner:
                found[chain] = [self._layer(one, ranges, norms, False) for one in inner]
        with self._about(piece):
            formats = formats_of(piece, ranges, norms=norms, last=last)
        return {**found, "formats": formats} if formats else found

    @contextmanager
    def _about(self, piece: Piece) -> Iterator[None]:
        """A complaint about numbers, with the operator that they are of."""
        try:
            yield
        except ValueError as error:
            raise UnfitError(
                f"{self.source.where}: the operator {piece.operator!r}: {error}"
            ) from error

    def _named(self, text: str) -> str:
        """A complaint, with the operator that it is about."""
        place = re.search(r"layers\[(\d+)\]", text)
        if place is None or int(place[1]) >= len(self.pieces):
            return text
        return f"the operator {self.pieces[int(place[1])].operator!r} cannot be a layer: {text}"

    def _weights(self, description: Description, schedule: Schedule) -> dict[str, NDArray[Any]]:
        """Those of all units; variances as they are before a norm adds to them.

        UnfitError where one has another shape than the description gives it.
        """
        expected = {one.name: one.shape for one in Tensors(schedule).all}
        learning = (ConvolutionUnit, NormalUnit)
        units = [one for one in description.graph.units if isinstance(one, learning)]
        pieces = [one for one in flattened(self.pieces) if one.tensors]
        found: dict[str, NDArray[Any]] = {}
        for unit, piece in zip(units, pieces, strict=True):
            for leaf, values in piece.tensors.items():
                shape = expected[f"{unit.name}.{leaf}"]
                if values.shape != shape:
                    raise UnfitError(
                        f"{self.source.where}: the operator {piece.operator!r}: its {leaf} has the "
                        f"shape {list(values.shape)}, but the layer {unit.name} needs {list(shape)}"
                    )
                if leaf == "running_var":
                    added = piece.epsilon - 4.0 ** -unit.inputs[0].x.frac
                    values = np.maximum(values + added, 0)
                found[f"{unit.name}.{leaf}"] = values.astype(np.float32)
        return found


def read_pieces(source: Source, units: Units = NO_UNITS) -> Read:
    """A graph as pieces; ValueError, which names the first operator that cannot be expressed."""
    walk = Walk(source, OPERATORS, affine=units.inputs)
    pieces = walk.pieces()
    if not pieces or pieces[-1].kind != "dense":
        what = f"the operator {pieces[-1].operator!r}" if pieces else "nothing"
        raise UnfitError(
            f"{source.where}: it ends in {what}, but a network ends in the scores of a dense layer "
            "(Gemm, or MatMul and Add)"
        )
    shape = walk.inputs
    if len(shape) not in (1, 3):
        raise UnfitError(
            f"{source.where}: its samples have the shape {list(shape)}; vectors and images of "
            "[channels, height, width] are possible"
        )
    image = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    if units.outputs is not None:
        last, (scale, zero, by) = pieces[-1], units.outputs
        weight, bias = last.tensors["weight"], last.tensors["bias"]
        last.tensors |= {"weight": weight / scale[:, None], "bias": (bias - zero) / scale}
        walk.notes.append(f"{by} is taken into the last layer")
    return Read(source, pieces, image, tuple(walk.notes), units=units)
