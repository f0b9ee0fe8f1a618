"""Halving in hardware."""

from __future__ import annotations

from typing import Any, Self

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.latency import NARROW
from counterflow.design.units.passing import QUEUE_WORDS, PassingStage
from counterflow.hw.parts.narrow import narrow
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, activation_stream, error_stream
from tests.toy import design


class Halving(wiring.Component):
    """The hardware twin: a register and a queue each way."""

    def __init__(self, *, numbers: design.Halving) -> None:
        self.numbers = numbers
        super().__init__(
            {
                "x": In(activation_stream(numbers.x)),
                "y": Out(activation_stream(numbers.x)),
                "dy": In(error_stream(numbers.error)),
                "dx": Out(error_stream(numbers.error)),
            }
        )

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Self:
        return cls(numbers=stage.numbers)

    def elaborate(self, platform: object) -> Module:
        m, numbers = Module(), self.numbers
        frac = numbers.x.frac + numbers.bits
        y, _ = narrow(self.x.payload.data, frac, numbers.x, numbers.round_activation)
        queue = self._sent(m, "outputs", self.x, y, self.y, KIND_BITS)
        m.d.comb += queue.word_tag.eq(delayed(m, self.x.payload.kind, NARROW, "kind"))
        frac = numbers.error.frac + numbers.bits
        dx, _ = narrow(self.dy.payload, frac, numbers.error, numbers.round_error)
        self._sent(m, "inputs", self.dy, dx, self.dx, 0)
        return m

    def _sent(self, m: Module, name: str, came: Any, value: Value, to: Any, tag: int) -> Scatter:
        """Take what came, and let `value` leave by a queue."""
        queue = Scatter(bits=len(value), lanes=1, count=1, depth=QUEUE_WORDS, tag=tag)
        m.submodules[name] = queue
        taken = Signal(name=f"{name}_taken")
        m.d.comb += [
            came.ready.eq(queue.room),
            taken.eq(came.valid & came.ready),
            queue.reserve.eq(taken),
            queue.push.eq(delayed(m, taken, NARROW, f"{name}_push")),
            queue.word.eq(delayed(m, value, NARROW, f"{name}_word")),
        ]
        queue.leaves_by(m, to)
        return queue
