"""Verilog of a planned design."""

from __future__ import annotations

from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Chain
from counterflow.hw.parts.modules import convert


def module_name(plan: Plan) -> str:
    """Name of the chain's Verilog module: that of the network."""
    return plan.description.name.replace("-", "_")


def to_verilog(plan: Plan) -> str:
    """Verilog of the whole chain; the same text for the same plan.

    The weights are no part of it: they are loaded over the register bus.
    """
    return convert(Chain(plan=plan), module_name(plan), compact=plan.compact)
