"""PyTorch modules, by way of ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

from counterflow.design.tools.programs import MissingTool
from counterflow.exchange.imported.network import Read, read_pieces
from counterflow.exchange.imported.source import brief, source_of
from counterflow.exchange.package import onnx


def read_module(module: Any, inputs: Sequence[int]) -> Read:
    """A module whose samples have the shape `inputs`, channels first, as pieces.

    Raises MissingTool without torch or onnx, ValueError where it cannot be expressed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingTool(
            "PyTorch is missing, of which a module would be: install torch"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ValueError(
            f"the module is of the type {type(module).__name__}, expected a torch.nn.Module, which "
            "knows its layers; load weights into one, or begin a training with them (weights=)"
        )
    shape: Any = inputs  # whatever a program gives
    if not isinstance(shape, list | tuple) or not all(isinstance(one, int) for one in shape):
        raise ValueError(
            f"inputs is {inputs!r}, expected the shape of a sample, as [13] or [1, 28, 28]"
        )
    package, name = onnx(), f"the module {type(module).__name__}"
    training, content = module.training, io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            torch.onnx.export(
                module.eval(),
                (torch.zeros(1, *inputs),),
                content,
                input_names=["samples"],
                output_names=["scores"],
                dynamic_axes={"samples": {0: "batch"}},
                dynamo=False,  # the other exporter needs packages of its own
            )
    except Exception as error:  # whatever the module's code raises
        raise ValueError(
            f"{name} cannot be exported with samples of shape {list(inputs)} ({brief(error)})"
        ) from error
    finally:
        module.train(training)
    return read_pieces(source_of(package.load_from_string(content.getvalue()), name))
