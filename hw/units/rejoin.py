"""The rejoin: wires from the copies of a unit to what all losses pass.

Twin of `golden.units.rejoin`.
"""

from __future__ import annotations

from typing import Self

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import rejoin
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.scheduled import gradient_port, port
from counterflow.hw.parts.streams import activation_stream, error_stream


class Rejoin(wiring.Component):
    """Passes on the activations of the last copy, and to each copy the gradients of its loss.

    Parameters: ``numbers``; ``passes``: the port by which the gradients of a loss come, by that by
    which they leave.
    Members: ``x0``, ``x1``, ... streams of activations, ``y`` that of the last; ``dy`` and
    ``dy_LOSS`` streams of gradients, ``dx0``, ``dx1``, ... the same.
    Cost: nothing; latency 0 and one element a cycle each way.
    """

    def __init__(self, *, numbers: rejoin.Rejoin, passes: dict[str, str]) -> None:
        self.numbers, self.passes = numbers, passes
        members: dict[str, In | Out] = {"y": Out(activation_stream(numbers.x))}
        for index in range(numbers.copies):
            members[f"x{index}"] = In(activation_stream(numbers.x))
        for dx, dy in passes.items():
            members[dx] = Out(error_stream(numbers.error))
            members[dy] = In(error_stream(numbers.error))
        super().__init__(members)

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        copies, y = stage.unit.inputs, stage.unit.outputs[0]
        passes = {
            port("dx", index, len(copies)): gradient_port("dy", 0, 1, y, path)
            for index, path in enumerate(y.paths)
        }
        return cls(numbers=stage.numbers, passes=passes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        *others, last = (getattr(self, f"x{index}") for index in range(self.numbers.copies))
        connect(m, flipped(last), flipped(self.y))
        m.d.comb += [one.ready.eq(1) for one in others]
        for dx, dy in self.passes.items():
            connect(m, flipped(getattr(self, dy)), flipped(getattr(self, dx)))
        return m
