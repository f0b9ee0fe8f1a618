"""Nodes of ONNX graphs, of those that are read and those that are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operator:
    """One node: its kind, its name, and the tensors that it reads and makes."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"the operator {self.kind} {self.name!r}"
