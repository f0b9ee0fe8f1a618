"""Verilog of a planned design."""

from __future__ import annotations

from amaranth.lib import wiring

from counterflow.planner import Plan
from hw.chain import Chain
from hw.modules import Modules, convert


def component_verilog(component: wiring.Component, name: str) -> str:
    """Verilog of any component with the shared modules that it needs; top module `name`."""
    modules = Modules()
    top = convert(component, name, modules)
    return "\n".join([*modules.texts.values(), top])


def module_name(plan: Plan) -> str:
    """Name of the chain's Verilog module: that of the network."""
    return plan.description.name.replace("-", "_")


def to_verilog(plan: Plan) -> str:
    """Verilog of the whole chain; the same text for the same plan.

    The weights are no part of it: they are loaded over the register bus.
    """
    return component_verilog(Chain(plan=plan), module_name(plan))
