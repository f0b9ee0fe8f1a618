"""`from_onnx` and `from_torch`: models of others as descriptions, with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterflow.design.data.own.read import Given
    from counterflow.exchange.imported.columns import Columns
    from counterflow.exchange.imported.network import Imported, Read


def from_onnx(
    path: str | Path,
    *,
    name: str = "imported",
    dataset: str = "synthetic",
    samples: Any = None,
    loss: str = "softmax",
    targets: str | None = None,
    data: Given | None = None,
    label: str | int | None = None,
    columns: Columns = "raw",
) -> Imported:
    """The ONNX file `path` as a description, with its weights.

    ``name``, ``dataset``, ``loss`` and ``targets`` are those of the description.  The training
    samples of the data set choose the formats of activations by the ranges that they have, and its
    test samples are tried, see ``trial`` of the result; of the synthetic one there are none.  So it
    is with ``data``, as `train` takes them, in its place: ``label`` is the column or columns of a
    table that are learnt, and ``columns`` says whether the graph takes the others "raw",
    "standard", with mean 0 and deviation 1, or "scaled", as the network does: its first layer takes
    in how they are scaled here.  ``samples`` [N, ...], real numbers as the graph takes them, choose
    formats alone.

    Raises ValueError, one sentence, which names the first operator that no layer is.
    """
    from counterflow.exchange.imported.network import Learnt, read_pieces
    from counterflow.exchange.imported.source import read

    pieces = replace(read_pieces(read(Path(path))), learnt=Learnt(loss, targets, label))
    return _made(pieces, name, dataset, samples, data, columns)


def from_torch(
    module: Any,
    inputs: Sequence[int],
    *,
    name: str = "imported",
    dataset: str = "synthetic",
    samples: Any = None,
    loss: str = "softmax",
    targets: str | None = None,
    data: Given | None = None,
    label: str | int | None = None,
    columns: Columns = "raw",
) -> Imported:
    """A PyTorch module as `from_onnx` has a file; ``inputs``: shape of a sample, channels first.

    Raises RuntimeError where torch is not installed.
    """
    from counterflow.exchange.imported.modules import read_module
    from counterflow.exchange.imported.network import Learnt

    pieces = replace(read_module(module, inputs), learnt=Learnt(loss, targets, label))
    return _made(pieces, name, dataset, samples, data, columns)


def _made(
    pieces: Read, name: str, dataset: str, samples: Any, data: Given | None, columns: Columns
) -> Imported:
    """The description and weights of a graph, with formats for what is given, and tried on it."""
    from counterflow.design.data.training import SYNTHETIC, training_data
    from counterflow.exchange.imported.columns import COLUMNS, of_columns
    from counterflow.exchange.imported.trial import calibrated, tried, with_samples

    if columns not in COLUMNS:
        known = " or ".join([", ".join(map(repr, COLUMNS[:-1])), repr(COLUMNS[-1])])
        raise ValueError(f"columns is {columns!r}, expected {known}")
    named = data is None and samples is None and dataset != SYNTHETIC
    if data is None and not named:
        if columns != "raw":
            raise ValueError(f"columns is {columns!r}, which is about samples; give data, too")
        return with_samples(pieces, name, dataset, samples)
    if samples is not None:
        raise ValueError("data are samples already; leave out samples, or data")
    path = Path(data) if isinstance(data, str | Path) else None
    first = pieces.imported(name, dataset if path is None else str(path))
    found = training_data(first.description, data)
    fitting = of_columns(pieces, first.description, found, columns)
    made = calibrated(fitting, first, found)
    return replace(made, data=path, trial=tried(fitting, made, found))
