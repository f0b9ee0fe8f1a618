"""An ONNX graph in the making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.exchange.nodes import Operator
from counterflow.exchange.package import PRODUCER, onnx

OPSET = 17  # of the operators that are used: as old as can be
IR = 8  # of the file: what evaluators of that time read

Value = str | int | NDArray[Any]
"""The name of a tensor, or a constant."""


@dataclass
class Drawing:
    """Nodes in the order of the dataflow, and constants; ``scope``: how new names begin."""

    scope: str = ""
    nodes: list[Operator] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    _names: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def apply(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        """The name of what operator `kind` makes of `inputs`."""
        name = f"{self.scope}/{kind}{len(self.nodes)}"
        taken = tuple(self.named(one) for one in inputs)
        self.nodes.append(Operator(kind, name, taken, f"{name}.y", attributes))
        return f"{name}.y"

    def named(self, value: Value) -> str:
        """`value` as the name of a tensor; equal constants are one."""
        if isinstance(value, str):
            return value
        array = np.asarray(value, np.int64 if isinstance(value, int) else None)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"{self.scope}/c{len(self.constants)}"
            self.constants[self._names[key]] = array
        return self._names[key]

    def used(self, outputs: Sequence[str]) -> list[Operator]:
        """The nodes that `outputs` come from."""
        wanted, found = set(outputs), []
        for node in reversed(self.nodes):
            if node.output in wanted:
                wanted.update(node.inputs)
                found.append(node)
        return found[::-1]

    def model(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, ...]],
        outputs: Mapping[str, tuple[str, tuple[int, ...]]],
        kind: type[np.generic],
        metadata: Mapping[str, str],
    ) -> bytes:
        """The graph as a checked ONNX file.

        ``inputs``: shapes without the batch; ``outputs``: names in the graph, and shapes; all of
        numbers of `kind`.  Raises MissingTool where there is no package for it.
        """
        package = onnx()
        helper, number = package.helper, package.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        for given, (ours, _) in outputs.items():
            self.nodes.append(Operator("Identity", f"/{given}", (ours,), given, {}))
        nodes = self.used(list(outputs))
        used = {one for node in nodes for one in node.inputs}
        graph = helper.make_graph(
            [
                helper.make_node(
                    node.kind, list(node.inputs), [node.output], node.name, **node.attributes
                )
                for node in nodes
            ],
            name,
            [_value(helper, one, number, shape) for one, shape in inputs.items()],
            [_value(helper, one, number, shape) for one, (_, shape) in outputs.items()],
            [
                package.numpy_helper.from_array(array, one)
                for one, array in self.constants.items()
                if one in used
            ],
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR, producer_name=PRODUCER)
        helper.set_model_props(model, dict(metadata))
        package.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _value(helper: Any, name: str, number: int, shape: Sequence[int]) -> Any:
    return helper.make_tensor_value_info(name, number, ["batch", *shape])
