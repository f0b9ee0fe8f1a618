"""Small ONNX graphs for tests, made of operators in a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18


class Graph:
    """``last``: the tensor that the next operator reads."""

    def __init__(self, *shape: int | str) -> None:
        self.shape, self.last = shape, "x"
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(values)
        kind = np.int64 if array.dtype.kind in "iu" else np.float32
        self.constants.append(numpy_helper.from_array(array.astype(kind), name))
        return name

    def then(self, kind: str, *constants: Any, reads: str | None = None, **attributes: Any) -> str:
        """Add an operator that reads `reads`, by default the last tensor, and constants."""
        names = [one if isinstance(one, str) else self.constant(one) for one in constants]
        name = f"{kind}{len(self.nodes)}"
        inputs = [reads or self.last, *names]
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}.y"], name, **attributes))
        self.last = f"{name}.y"
        return self.last

    def dense(self, outputs: int, inputs: int, *, seed: int = 1) -> str:
        random = np.random.default_rng([seed, outputs, inputs])
        weight = random.integers(-4, 5, (outputs, inputs)) / 4
        return self.then("Gemm", weight, random.integers(-4, 5, outputs) / 4, transB=1)

    def convolution(self, outputs: int, channels: int, kernel: int = 3, **attributes: Any) -> str:
        random = np.random.default_rng([outputs, channels, kernel])
        weight = random.integers(-4, 5, (outputs, channels, kernel, kernel)) / 4
        return self.then("Conv", weight, random.integers(-4, 5, outputs) / 4, **attributes)

    def model(self, batch: str | int = "batch") -> Any:
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *self.shape])
        made = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "graph", [given], [made], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 9
        return onnx.shape_inference.infer_shapes(model)

    def save(self, path: Path, **options: Any) -> Path:
        onnx.save(self.model(**options), path)
        return path
