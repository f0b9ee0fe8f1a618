"""An imported network on samples: how large its activations get, how well it does in integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.sets import Dataset
from counterflow.design.data.training import check_fits
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.exchange.imported.network import Imported, Read, Trial
from counterflow.exchange.imported.source import Source
from counterflow.exchange.package import onnx, onnxruntime
from counterflow.exchange.tensors import Tensors
from counterflow.golden.training.epochs import test
from counterflow.golden.training.measures import Ruler
from counterflow.golden.training.models import part_of, targets_in
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.state import State

BATCH = 250  # samples at a time, where the graph does not say how many
CALIBRATION = 500  # training samples that ranges are taken of


def ranges(read: Read, samples: NDArray[Any]) -> dict[str, float]:
    """The largest magnitude of each tensor that matters, over samples [N, ...] as the graph
    takes them.
    """
    names, scores = read.ends(), read.pieces[-1].end
    found = dict.fromkeys(names, 0.0)
    for values in _evaluated(read.source, names, samples):
        for name, one in zip(names, values, strict=True):
            seen = _network_scores(read, one) if name == scores else one
            found[name] = float(np.maximum(found[name], np.abs(seen).max()))  # with NaN
    return found


def with_samples(read: Read, name: str, dataset: str, samples: Any) -> Imported:
    """`read` with formats for what samples [N, ...] make of it, by default without.

    ValueError where they have another shape than the graph's.
    """
    if samples is None:
        return read.imported(name, dataset)
    values, wanted = np.asarray(samples, np.float32), read.source.shape(read.source.input)
    if values.shape[1:] != wanted or not len(values):
        raise ValueError(
            f"samples have the shape {list(values.shape)}, but {read.source.where} takes "
            f"[N, {', '.join(map(str, wanted))}]"
        )
    if not np.isfinite(values).all():
        raise ValueError("samples hold what is no finite number")
    return read.imported(name, dataset, ranges(read, values))


def calibrated(read: Read, first: Imported, dataset: Dataset) -> Imported:
    """`first`, with formats for what the training samples of `dataset` make of `read`."""
    description, some = first.description, dataset.train_x[:CALIBRATION]
    check_fits(description, dataset)
    seen = ranges(read, _graph_samples(read, some, dataset, description.formats.input))
    return read.imported(description.name, description.dataset, seen)


def tried(read: Read, imported: Imported, dataset: Dataset) -> Trial | None:
    """Both on all test samples, with no training; None where nothing can be said of them."""
    description = imported.description
    samples = _graph_samples(read, dataset.test_x, dataset, description.formats.input)
    if not len(samples):
        return None
    names = [read.pieces[-1].end]
    given = np.concatenate([one for (one,) in _evaluated(read.source, names, samples)])
    scores = _network_scores(read, given)
    floats = (_right if description.judged else _explained)(description, dataset, scores)
    found = test(description, plan(description).schedule, dataset, states_of(imported))
    if floats is None or found is None or found.share is None:
        return None
    return Trial(len(samples), floats, found.share, description.judged)


def _right(_description: Description, dataset: Dataset, scores: NDArray[Any]) -> float:
    """The share of scores [N, outputs] that name the label; of a single one its sign does."""
    best = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)
    return float((best == dataset.test_y).mean())


def _explained(description: Description, dataset: Dataset, scores: NDArray[Any]) -> float | None:
    """The share of the targets' variance that scores [N, outputs] explain."""
    part = part_of(description, dataset, dataset.test_x, dataset.test_y, dataset.test_t)
    targets = targets_in(description, part)
    ruler = Ruler.of(description, dataset, targets)
    half_squares = ((scores - targets) ** 2).sum(axis=1).mean() / 2
    return None if ruler is None else ruler.errors(float(half_squares)).explained


def states_of(imported: Imported) -> list[State]:
    """The golden model's states with imported weights, before any training."""
    description = imported.description
    schedule = plan(description).schedule
    states = initial_states(description, schedule, description.recipe.seed)
    for one in Tensors(schedule).all:
        own, _ = one.rounded(imported.weights[one.name].astype(np.float64))
        there = getattr(states[one.index], one.parameter)
        setattr(states[one.index], one.parameter, own.reshape(there.shape))
    return states


def _network_scores(read: Read, scores: NDArray[Any]) -> NDArray[Any]:
    """What a network gives where the graph gives these `scores` [N, outputs]."""
    return scores if read.units.outputs is None else read.units.outputs.back(scores)


def _graph_samples(
    read: Read, images: NDArray[Any], dataset: Dataset, target: Format
) -> NDArray[np.float32]:
    """What the network gets of `images`, in the units and in the layout of the graph."""
    values = dataset.scaling.codes(images, target) * 2.0**-target.frac
    if read.units.inputs is not None:
        values = read.units.inputs.of(values)
    height, width, channels = dataset.shape
    first = values.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    shape = read.source.shape(read.source.input)
    found: NDArray[np.float32] = first.reshape(-1, *shape).astype(np.float32)
    return found


def _evaluated(
    source: Source, names: Sequence[str], samples: NDArray[Any]
) -> Iterator[list[NDArray[Any]]]:
    """The tensors `names` of `samples`, batch by batch; the last one may be shorter."""
    package, runtime = onnx(), onnxruntime()
    number, info = package.TensorProto.FLOAT, package.helper.make_tensor_value_info
    model = package.ModelProto()
    model.CopyFrom(source.model)
    del model.graph.output[:]
    model.graph.output.extend(info(one, number, None) for one in names)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors: what it thinks of a graph is no result
    options.intra_op_num_threads = 1
    evaluator = runtime.InferenceSession(model.SerializeToString(), options)
    fixed = source.shapes[source.input][0]
    size = fixed or BATCH
    for start in range(0, len(samples), size):
        some = samples[start : start + size]
        short = size - len(some) if fixed else 0
        filled = np.concatenate([some, np.zeros((short, *some.shape[1:]), some.dtype)])
        found: Any = evaluator.run(None, {source.input: filled})
        yield [np.asarray(one)[: len(some)] for one in found]
