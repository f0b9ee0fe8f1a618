"""Generates FPGA designs that train neural networks on-chip, predicted bit for bit.

``load``, ``plan``, ``train``, ``profile``, ``simulate``, ``verilog`` and ``Device`` are all that
most programs need (docs/python.md); ``from_onnx`` and ``from_torch`` bring models from elsewhere
(docs/your-model.md).  They are imported when they are first asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False  # that of typing would take a while to import, deaf to Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from counterflow.api import load, plan, profile, simulate, train, verilog
    from counterflow.exchange.imported.functions import from_onnx, from_torch
    from counterflow.host.device import Device

__all__ = [
    "Device",
    "from_onnx",
    "from_torch",
    "load",
    "plan",
    "profile",
    "simulate",
    "train",
    "verilog",
]

_HOMES = {
    "Device": "counterflow.host.device",
    "from_onnx": "counterflow.exchange.imported.functions",
    "from_torch": "counterflow.exchange.imported.functions",
}  # of the others: counterflow.api


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(_HOMES.get(name, "counterflow.api")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
