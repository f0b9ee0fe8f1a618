"""Arrays whose shapes contradict the graph are named, whichever: nothing is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

import counterflow
from counterflow.cli import main
from counterflow.exchange.imported.network import Imported, read_pieces
from counterflow.exchange.imported.source import source_of
from tests.graphs import Graph

NORM = list(np.array([[1, 2, 0.5], [0.5, 0, -1], [0.25, 0, 1], [4, 1, 2]]))


def _dense() -> Graph:
    graph = Graph(4)
    graph.dense(6, 4)
    graph.then("Relu")
    graph.then("Gemm", np.ones((6, 3)), np.ones(3))
    return graph


def _matmul() -> Graph:
    graph = Graph(4)
    graph.then("MatMul", np.ones((4, 3)))
    graph.then("Add", np.ones(3))
    graph.then("Mul", np.full(3, 0.5))
    graph.dense(2, 3)
    return graph


def _convolutions() -> Graph:
    graph = Graph(2, 6, 6)
    graph.convolution(3, 2, pads=[1, 1, 1, 1])
    graph.then("BatchNormalization", *NORM)
    graph.then("Relu")
    graph.then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    graph.convolution(2, 3)
    graph.then("Flatten")
    graph.dense(4, 2)
    return graph


def _residual() -> Graph:
    graph = Graph(2, 6, 6)
    before = graph.convolution(3, 2, pads=[1, 1, 1, 1])
    graph.convolution(3, 3, pads=[1, 1, 1, 1])
    graph.then("Add", before)
    graph.then("BatchNormalization", *NORM)
    graph.then("ReduceMean", np.array([2, 3]), keepdims=0)
    graph.dense(4, 3)
    return graph


def _scaled_input() -> Graph:
    graph = Graph(2, 5, 5)
    graph.then("Sub", np.array([0.5, 0.25]).reshape(2, 1, 1))
    graph.then("Div", np.array([2.0, 3]).reshape(1, 2, 1, 1))
    graph.convolution(2, 2)
    graph.then("Flatten")
    graph.dense(4, 18)
    return graph


GRAPHS: dict[str, Callable[[], Graph]] = {
    "dense": _dense,
    "matmul": _matmul,
    "convolutions": _convolutions,
    "residual": _residual,
    "scaled input": _scaled_input,
}


def others(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Shapes beside `shape`: a side longer or shorter, sides exchanged, one more or less."""
    for place, side in enumerate(shape):
        yield (*shape[:place], side + 1, *shape[place + 1 :])
        if side > 2:
            yield (*shape[:place], side - 1, *shape[place + 1 :])
    if shape[::-1] != shape:
        yield shape[::-1]
    if len(shape) > 1:
        yield (int(np.prod(shape)),)
    yield (*shape, 1)


def without_shapes(model: Any) -> Any:
    """As a file whose writer has left the shapes between operators to its readers."""
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def with_array(model: Any, number: int, shape: tuple[int, ...]) -> Any:
    """`model` with ones of another shape as its array number `number`."""
    old = model.graph.initializer[number]
    old.CopyFrom(numpy_helper.from_array(np.ones(shape, np.float32), old.name))
    return model


def imported(model: Any) -> Imported:
    return read_pieces(source_of(model, "graph.onnx")).imported("net", "synthetic")


def evaluates(model: Any, *shape: int) -> bool:
    """Whether ONNX Runtime makes anything of it, of a prime number of samples."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it cannot evaluate is expected here
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        session.run(None, {"x": np.ones((7, *shape), np.float32)})
    except Exception:  # of a class for each kind of failure
        return False
    return True


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "inferred"])
@pytest.mark.parametrize("build", GRAPHS.values(), ids=GRAPHS)
def test_every_array_of_another_shape_is_named(build: Callable[[], Graph], stated: bool) -> None:
    """With the operator, what was found and what is expected, where shapes in between are stated.

    Where they are not, another shape can be another network: what can be evaluated.
    """
    graph = build()
    arrays = [
        (number, tuple(one.dims))
        for number, one in enumerate(graph.constants)
        if one.data_type == onnx.TensorProto.FLOAT
    ]
    assert imported(graph.model())
    refused = 0
    for number, right in arrays:
        for shape in others(right):
            model = graph.model()
            model = with_array(model if stated else without_shapes(model), number, shape)
            if not stated and evaluates(model, *graph.shape):
                continue
            with pytest.raises(ValueError, match=r"^graph\.onnx: the operator \w+ '\w+' ") as found:
                imported(model)
            text, refused = str(found.value), refused + 1
            assert text.count("[") >= 2, text  # two shapes
            assert "\n" not in text
    assert refused > 2 * len(arrays)


CASES: dict[str, tuple[Callable[[Graph], object], str]] = {
    "inputs": (
        lambda graph: graph.then("Gemm", np.ones((5, 3))),
        "the operator Gemm 'Gemm0' has a constant 'c0' of the shape [5, 3], expected [4, outputs]",
    ),
    "inputs, the other way": (
        lambda graph: graph.then("Gemm", np.ones((3, 5)), transB=1),
        "a constant 'c0' of the shape [3, 5], expected [outputs, 4]",
    ),
    "product": (
        lambda graph: graph.then("MatMul", np.ones((5, 3))),
        "MatMul 'MatMul0' has a constant 'c0' of the shape [5, 3], expected [4, outputs]",
    ),
    "bias": (
        lambda graph: graph.then("Gemm", np.ones((4, 3)), np.ones(7)),
        "Gemm 'Gemm0' has a constant 'c1' of the shape [7], expected [3]",
    ),
    "bias by sample": (
        lambda graph: graph.then("Gemm", np.ones((4, 3)), np.ones((3, 1))),
        "a constant 'c1' of the shape [3, 1], expected [3]",
    ),
    "offset": (
        lambda graph: graph.then("Add", np.ones(3)),
        "Add 'Add0' has a constant 'c0' of the shape [3]; one number, or one for each channel, "
        "[4], is possible",
    ),
    "clip": (
        lambda graph: (graph.dense(4, 4), graph.then("Clip", np.zeros(4, "f"))),
        "Clip 'Clip1' has a constant 'c2' of the shape [4], expected []",
    ),
}


@pytest.mark.parametrize(("build", "message"), CASES.values(), ids=CASES)
def test_the_sentence_says_both_shapes(build: Callable[[Graph], object], message: str) -> None:
    graph = Graph(4)
    build(graph)
    with pytest.raises(ValueError, match=r"^graph\.onnx: ") as found:
        imported(graph.model())
    assert message in str(found.value)


def test_a_kernel_of_other_channels_is_named(tmp_path: Path) -> None:
    """In a sentence of the command, too, which then writes nothing."""
    graph = Graph(1, 8, 8)
    graph.convolution(2, 3)
    graph.then("Flatten")
    graph.dense(4, 72)
    path, out = graph.save(tmp_path / "net.onnx"), tmp_path / "out"
    wanted = "Conv 'Conv0' has a constant 'c0' of the shape [2, 3, 3, 3], expected [outputs, 1, "
    with pytest.raises(ValueError, match=r"net\.onnx: the operator ") as found:
        counterflow.from_onnx(path)
    assert wanted in str(found.value)
    done = CliRunner().invoke(main, ["import", str(path), "-o", str(out)])
    assert done.exit_code == 2
    assert wanted in done.output
    assert done.output.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("node", range(4))
def test_a_shape_that_the_file_states_wrongly_is_named(node: int) -> None:
    """Of every tensor between operators: what it is by the weights before it, and in the file."""
    graph = Graph(4)
    graph.dense(5, 4)
    graph.then("Relu")
    graph.dense(5, 5)
    graph.then("Relu")
    graph.dense(3, 5)
    model = graph.model()
    stated = next(one for one in model.graph.value_info if one.name == graph.nodes[node].output[0])
    stated.type.tensor_type.shape.dim[1].dim_value = 7
    with pytest.raises(ValueError, match=r"^graph\.onnx: the operator ") as found:
        imported(model)
    assert repr(graph.nodes[node].name) in str(found.value)
    assert "[5]" in str(found.value)
    assert "[7]" in str(found.value)


def test_broadcast_biases_are_as_they_were() -> None:
    """A number, and rows of one: what ONNX adds to all samples alike."""
    for bias in (np.float32(2), np.full(1, 2), np.full((1, 1), 2), np.full((1, 3), 2)):
        graph = Graph(4)
        graph.then("Gemm", np.ones((4, 3)), np.asarray(bias, np.float32))
        found = imported(graph.model()).weights["dense0.bias"]
        np.testing.assert_array_equal(found, [2, 2, 2])


@pytest.mark.parametrize("bound", [np.float32(0), np.zeros(1, "f")])
def test_a_bound_may_be_a_number_or_one_of_them(bound: Any) -> None:
    graph = Graph(4)
    graph.dense(4, 4)
    graph.then("Clip", bound)
    graph.dense(3, 4)
    assert imported(graph.model()).description.layers[0].activation == "relu"


def test_a_branch_that_begins_with_a_product_is_named() -> None:
    """A layer with weights of another branch would have taken it in."""
    graph = Graph(2, 5, 5)
    before = graph.convolution(3, 2, pads=[1, 1, 1, 1])
    graph.then("Mul", np.float32(2))
    graph.convolution(3, 3, pads=[1, 1, 1, 1])
    graph.then("Add", before)
    graph.then("Flatten")
    graph.dense(4, 75)
    with pytest.raises(ValueError, match="Mul 'Mul1' is at the beginning of a branch"):
        imported(graph.model())


def test_branches_of_a_scaled_input_are_named() -> None:
    graph = Graph(2, 5, 5)
    before = graph.then("Mul", np.float32(2))
    graph.convolution(2, 2, pads=[1, 1, 1, 1])
    graph.then("Add", before)
    graph.then("Flatten")
    graph.dense(4, 50)
    with pytest.raises(ValueError, match="Mul 'Mul0' is before branches"):
        imported(graph.model())
