"""An ONNX file as operators between named tensors, of known shapes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.files import check_source
from counterflow.exchange.nodes import Operator
from counterflow.exchange.package import PRODUCER, onnx

Array = NDArray[Any]
PASSED_ON = ("Identity", "Dropout", "Cast")  # at inference they change nothing
BRANCHING = ("If", "Loop", "Scan", "SequenceMap")


class UnfitError(ValueError):
    """A graph that no description can express, in a sentence that names file and operator."""


@dataclass
class Source:
    """A graph from `input` to `output`; ``shapes`` [batch, ...] with None where not known."""

    where: str
    model: Any
    input: str
    output: str
    constants: dict[str, Array]
    shapes: dict[str, tuple[int | None, ...]]
    readers: dict[str, list[Operator]] = field(default_factory=lambda: defaultdict(list))

    def shape(self, name: str, at: Operator | None = None) -> tuple[int, ...]:
        """That of a tensor without its batch; UnfitError where it is not known."""
        found = self.shapes.get(name)
        sizes = [] if found is None else list(found[1:])
        if found is None or None in sizes:
            shown = "unknown" if found is None else [size or "?" for size in sizes]
            whose = f"what {at} gives" if at else f"the input {name!r}"
            raise UnfitError(
                f"{self.where}: the shape of {whose} is not fixed ({shown} behind the batch); "
                "export the model with fixed shapes, in which only the batch may vary"
            )
        return tuple(int(size) for size in sizes if size is not None)


def read(path: Path) -> Source:
    """The graph in the file `path`.

    Raises ValueError, one sentence, where it is none or has several inputs; MissingTool without
    the package onnx.
    """
    package = onnx()
    try:
        check_source(path)
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        model = package.load(path)  # with weights that lie in a file beside it
        package.checker.check_model(model)
    except Exception as error:  # protobuf and the checker fail in their own ways
        raise ValueError(f"{path}: is no ONNX model that can be read ({brief(error)})") from error
    return source_of(model, str(path))


def source_of(model: Any, where: str) -> Source:
    """The graph of a model; `where` names it in errors."""
    package = onnx()
    graph = model.graph
    constants = {one.name: _array(package, one, where) for one in graph.initializer}
    inputs = [one.name for one in graph.input if one.name not in constants]
    outputs = [one.name for one in graph.output]
    for what, names in (("inputs", inputs), ("outputs", outputs)):
        if len(names) != 1:
            listed = ", ".join(names) or "none"
            raise UnfitError(f"{where}: it has {len(names)} {what} ({listed}), expected one")
    _check_type(package, model, next(one for one in graph.input if one.name == inputs[0]), where)
    nodes = [_operator(package, node) for node in graph.node]
    for node in nodes:
        if node.kind in BRANCHING:
            raise UnfitError(
                f"{where}: {node} is control flow, which no description can express; export the "
                "model so that it does the same for every sample"
            )
        if node.kind == "Constant":
            constants[node.output] = _constant(package, node, where)
    try:
        made = package.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # of a class that the package does not document
        raise UnfitError(f"{where}: its shapes contradict each other ({brief(error)})") from error
    found = Source(where, model, inputs[0], outputs[0], constants, _shapes(made.graph))
    _join(found, nodes)
    return found


def brief(error: Exception) -> str:
    """The first line of what another package says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")


def _check_type(package: Any, model: Any, given: Any, where: str) -> None:
    number = given.type.tensor_type.elem_type
    if number == package.TensorProto.INT64 and model.producer_name == PRODUCER:
        raise UnfitError(
            f"{where}: it is the network in integers that `export --to onnx` writes; import what "
            "`export --to onnx-float` writes"
        )
    if number != package.TensorProto.FLOAT:
        raise UnfitError(
            f"{where}: its input {given.name!r} has the type "
            f"{package.TensorProto.DataType.Name(number).lower()}, expected float (of 32 bits)"
        )


def _operator(package: Any, node: Any) -> Operator:
    attributes = {one.name: package.helper.get_attribute_value(one) for one in node.attribute}
    kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    name = node.name or (node.output[0] if node.output else "")
    return Operator(kind, name, tuple(node.input), node.output[0], attributes)


def _array(package: Any, tensor: Any, where: str) -> Array:
    try:
        found: Array = package.numpy_helper.to_array(tensor)
    except Exception as error:  # types and sizes that do not fit each other
        raise UnfitError(
            f"{where}: the constant {tensor.name!r} cannot be read ({brief(error)})"
        ) from error
    return found


def _constant(package: Any, node: Operator, where: str) -> Array:
    for name, value in node.attributes.items():
        if name == "value":
            return _array(package, value, where)
        if name in ("value_float", "value_int", "value_floats", "value_ints"):
            return np.asarray(value)
    return np.empty(0)


def _shapes(graph: Any) -> dict[str, tuple[int | None, ...]]:
    return {
        one.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in one.type.tensor_type.shape.dim
        )
        for one in (*graph.input, *graph.value_info, *graph.output)
        if one.type.tensor_type.HasField("shape")
    }


def _join(source: Source, nodes: list[Operator]) -> None:
    """Fill ``readers`` with what leads to the output, without what changes nothing."""
    other: dict[str, str] = {}
    kept = []
    for node in nodes:
        inputs = tuple(other.get(one, one) for one in node.inputs)
        if node.kind in PASSED_ON:
            if inputs[0] in source.constants:
                source.constants[node.output] = source.constants[inputs[0]]
            other[node.output] = inputs[0]
        elif node.kind != "Constant":
            kept.append(Operator(node.kind, node.name, inputs, node.output, node.attributes))
    source.output = other.get(source.output, source.output)
    wanted = {source.output}
    used = []
    for node in reversed(kept):
        if node.output in wanted:
            wanted.update(node.inputs)
            used.append(node)
    for node in reversed(used):
        for name in dict.fromkeys(node.inputs):
            if name and name not in source.constants:
                source.readers[name].append(node)
