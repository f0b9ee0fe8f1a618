"""The package `onnx`, which only exports and imports need."""

from __future__ import annotations

import importlib
from typing import Any

from counterflow.design.tools.programs import MissingTool


def onnx() -> Any:
    """The package with its helpers; MissingTool, one sentence, where it is not installed."""
    try:
        importlib.import_module("onnx.helper")
        return importlib.import_module("onnx")
    except ImportError as error:
        raise MissingTool(
            "the Python package onnx is missing, which reads and writes ONNX files: "
            "install it with `pip install 'counterflow[onnx]'`"
        ) from error
