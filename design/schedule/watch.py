"""What a bench watches of a design, in the order in which it is recorded: see `design.units`.

The golden trace predicts these fields, and the bench records them.
"""

from __future__ import annotations

from counterflow.design.parts.tokens import LABEL_BITS
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.watched import KIND, Field, stream_fields


def fields(plan: Plan) -> list[Field]:
    """All watched fields of a design, unit by unit."""
    source = plan.description.formats.input
    found = stream_fields(
        "intake",
        "admitted",
        "design.parts.tokens.epoch",
        kind=KIND,
        label=(LABEL_BITS, False),
    )
    found += stream_fields(
        "intake", "x", "golden.chain.Chain.run", data=(source.bits, source.signed), kind=KIND
    )
    return found + [field for unit in plan.schedule.units for field in unit.watched]
