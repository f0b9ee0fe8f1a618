"""Verilog of a planned design, as files that stand beside those of others."""

from __future__ import annotations

from counterflow.design.parts.names import module_name
from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Chain
from counterflow.hw.parts.modules import convert

# What Verilator would warn of, by names that old versions know, too.  Widths as Verilog defines
# them, cases whose default is in front, signals that only tell who looks at waves what is what.
_HARMLESS = ("WIDTH", "UNSIGNED", "CASEINCOMPLETE", "CASEOVERLAP", "TIMESCALEMOD")
_STYLE = ("UNUSED", "VARHIDDEN", "DECLFILENAME")

# Simulators want a timescale in all files or in none, and most files have one.  Verilator would
# complain of files of others that have none.
_TIMESCALE = "`ifndef VERILATOR\n`timescale 1ns / 1ps\n`endif\n"


def file_of(text: str) -> str:
    """Modules as a file of which no tool complains, nor of others beside it because of it."""
    harmless = "".join(f"/* verilator lint_off {rule} */\n" for rule in (*_HARMLESS, *_STYLE))
    return f"{_TIMESCALE}/* verilator lint_save */\n{harmless}{text}/* verilator lint_restore */\n"


def to_verilog(plan: Plan, module: str | None = None) -> str:
    """Verilog of the whole chain; the same text for the same plan.

    ``module`` names it in place of the network; all modules in it have names that begin with that.
    The weights are no part of it: they are loaded over the register bus.
    """
    name = module_name(plan.description.name, module)
    return file_of(convert(Chain(plan=plan), name, compact=plan.compact))
