"""The packages `onnx` and `onnxruntime`, which only exports and imports need."""

from __future__ import annotations

import importlib
from typing import Any

from counterflow.design.tools.programs import MissingTool

PRODUCER = "counterflow"  # who wrote a file, in files that exports write


def onnx() -> Any:
    """The package with its helpers; MissingTool, one sentence, where it is not installed."""
    _installed("onnx.helper", "onnx", "reads and writes ONNX files")
    return _installed("onnx", "onnx", "reads and writes ONNX files")


def onnxruntime() -> Any:
    """The evaluator; that of `onnx` itself takes minutes for what it does in a second."""
    return _installed("onnxruntime", "onnxruntime", "evaluates ONNX files")


def _installed(module: str, package: str, does: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingTool(
            f"the Python package {package} is missing, which {does}: install it with "
            "`pip install 'counterflow[onnx]'`"
        ) from error
