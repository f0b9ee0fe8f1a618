"""`from_onnx` and `from_torch`: models of others as descriptions, with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterflow.exchange.imported.network import Imported


def from_onnx(
    path: str | Path,
    *,
    name: str = "imported",
    dataset: str = "synthetic",
    samples: Any = None,
    loss: str = "softmax",
    targets: str | None = None,
) -> Imported:
    """The ONNX file `path` as a description, with its weights.

    ``name``, ``dataset``, ``loss`` and ``targets`` are those of the description.  ``samples``
    [N, ...], real numbers as the graph takes them, choose the formats of activations by the ranges
    that they have.

    Raises ValueError, one sentence, which names the first operator that no layer is.
    """
    from counterflow.exchange.imported.network import Learnt, read_pieces
    from counterflow.exchange.imported.source import read
    from counterflow.exchange.imported.trial import with_samples

    pieces = replace(read_pieces(read(Path(path))), learnt=Learnt(loss, targets))
    return with_samples(pieces, name, dataset, samples)


def from_torch(
    module: Any,
    inputs: Sequence[int],
    *,
    name: str = "imported",
    dataset: str = "synthetic",
    samples: Any = None,
    loss: str = "softmax",
    targets: str | None = None,
) -> Imported:
    """A PyTorch module as `from_onnx` has a file; ``inputs``: shape of a sample, channels first.

    Raises RuntimeError where torch is not installed.
    """
    from counterflow.exchange.imported.modules import read_module
    from counterflow.exchange.imported.network import Learnt
    from counterflow.exchange.imported.trial import with_samples

    pieces = replace(read_module(module, inputs), learnt=Learnt(loss, targets))
    return with_samples(pieces, name, dataset, samples)
