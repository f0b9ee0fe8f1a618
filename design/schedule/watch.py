"""What a cycle-by-cycle comparison watches: every stream border and every weight write port.

The golden trace predicts these fields, and the first and last cycle of each slot, and the bench
records them, in this order.  A field counts only where its strobe (``valid`` of a stream, ``write``
of a memory) is high and reads zero elsewhere: a payload without valid has no meaning.  ``blocked``
is valid without ready, which a stall-free run never has.
"""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.design.schedule.planner import Plan
from counterflow.design.schedule.stages import Stage
from counterflow.design.units.tanh import Tanh


@dataclass(frozen=True)
class Field:
    """One watched value: `path` is ``stream.member`` or ``memory.member``, in unit `unit`.

    ``lane`` numbers the lanes of a written word; ``made_by`` names the golden operation.
    """

    unit: str
    path: str
    bits: int
    signed: bool = False
    lane: int | None = None
    made_by: str = ""

    def __str__(self) -> str:
        lane = "" if self.lane is None else f"[lane {self.lane}]"
        return f"{self.unit}.{self.path}{lane}"


def _stream(unit: str, name: str, made_by: str, **members: tuple[int, bool]) -> list[Field]:
    strobes = [
        Field(unit, f"{name}.{strobe}", 1, made_by=made_by) for strobe in ("valid", "blocked")
    ]
    return strobes + [
        Field(unit, f"{name}.{member}", bits, signed, made_by=made_by)
        for member, (bits, signed) in members.items()
    ]


def _writes(stage: Stage, memory: str, words: int, lanes: int) -> list[Field]:
    numbers, made_by = stage.arithmetic, "golden.units.convolution.Convolution.learn"
    fields = [
        Field(stage.name, f"{memory}.write", 1, made_by=made_by),
        Field(stage.name, f"{memory}.address", max(1, (words - 1).bit_length()), made_by=made_by),
    ]
    for lane in range(lanes):
        fields += [
            Field(stage.name, f"{memory}.weight", numbers.weight.bits, True, lane, made_by),
            Field(stage.name, f"{memory}.velocity", numbers.velocity.bits, True, lane, made_by),
        ]
    return fields


def fields(plan: Plan) -> list[Field]:
    """All watched fields of a design, unit by unit."""
    description, schedule = plan.description, plan.schedule
    source = description.formats.input
    kind, label = (2, False), (8, False)
    found = _stream("intake", "admitted", "design.parts.tokens.epoch", kind=kind, label=label)
    found += _stream(
        "intake", "x", "golden.chain.Chain.run", data=(source.bits, source.signed), kind=kind
    )
    for stage in schedule.stages:
        numbers, tiling = stage.arithmetic, stage.tiling
        for edge in ("begin", "finish"):
            found.append(Field(stage.name, f"walk.{edge}", 1, made_by="design.schedule.build"))
        found += _stream(
            stage.name,
            "y",
            "golden.units.convolution.Convolution.forward",
            data=(numbers.y.bits, numbers.y.signed),
            kind=kind,
        )
        if numbers.dx is not None:
            found += _stream(
                stage.name,
                "dx",
                "golden.units.convolution.Convolution.backward",
                data=(numbers.dx.bits, True),
            )
        found += _writes(stage, "weights", tiling.tiles, tiling.lane_count)
        found += _writes(stage, "biases", tiling.rows, tiling.lanes.outputs)
    for stream in schedule.streams:
        y, dx = stream.unit.y, stream.unit.dx
        twin = (
            "golden.units.tanh.Tanh" if isinstance(stream.unit, Tanh) else "golden.units.pool.Pool"
        )
        made_by = f"{twin}.forward"
        found += _stream(stream.name, "y", made_by, data=(y.bits, y.signed), kind=kind)
        found += _stream(stream.name, "dx", f"{twin}.backward", data=(dx.bits, True))
    loss = schedule.loss.arithmetic
    found += _stream("loss", "dy", "golden.units.loss.Loss", data=(loss.error.bits, True))
    found += _stream(
        "loss",
        "predictions",
        "golden.units.loss.Loss",
        score=(loss.logit.bits, True),
        loss=(loss.loss.bits, False),
        kind=kind,
        last=(1, False),
    )
    return found
