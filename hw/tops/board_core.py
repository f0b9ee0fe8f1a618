"""What a board's top instantiates: a network that trains, behind a serial line."""

from __future__ import annotations

import math

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Chain, merged
from counterflow.hw.link.link import Link, info_of
from counterflow.hw.link.uart import UartReceiver, UartTransmitter, divisor_of
from counterflow.hw.parts import border
from counterflow.hw.parts.modules import is_compact


class BoardCore(wiring.Component):
    """The chain, the host link and a UART, in one clock domain (sync).

    Parameters: ``plan``; ``frequency`` of the clock in Hz; ``baud`` in bits a second; ``board``,
    the name that the device answers with.  ValueError where the clock cannot make the rate.
    Members: ``rx`` in and ``tx`` out, the serial line (8N1, high at rest); lamps, active high:
    ``alive`` blinks every 0.7 to 1.4 seconds, ``training`` while tokens are trained on, ``error``
    while packets are lost or broken.
    Cost: that of the chain; about 1,100 LUTs and 700 registers for link, UART and lamps, and
    memories of `design.bus.link.Buffers`, of INFO and of labels (five block RAMs of 4 kbit where
    samples are small).
    """

    def __init__(self, *, plan: Plan, frequency: float, baud: int, board: str = "") -> None:
        self.plan, self.frequency, self.baud, self.board = plan, frequency, baud, board
        self.divisor = divisor_of(frequency, baud)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "alive": Out(1),
                "training": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        info = info_of(self.plan, self.frequency, self.baud, self.board)
        m.submodules.chain = chain = Chain(plan=self.plan)
        m.submodules.link = link = Link(plan=self.plan, info=info)
        m.submodules.receiver = receiver = UartReceiver(divisor=self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor=self.divisor)
        connect(m, receiver.o, link.i)
        connect(m, link.o, transmitter.i)
        for name in ("samples", "request", "labels"):
            ends = [getattr(link, name), getattr(chain, name)]
            if name == "labels" or is_compact(platform):
                connect(m, *ends)
            else:
                border.join(m, name, *ends)
        border.join(m, "predictions", merged(m, chain), link.predictions)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            link.response.eq(chain.response),
        ]
        trained = link.labels.valid & link.labels.ready & (link.labels.payload.kind >= Kind.TRAIN)
        self._lamps(m, trained, link.complaint)
        return m

    def _lamps(self, m: Module, trained: Value, complaint: Value) -> None:
        """Blink, and show for half a second or a whole one what may have lasted a cycle only."""
        half = round(math.log2(self.frequency / 2))  # a second, as a power of two: no comparison
        timer, recent = Signal(half + 1, name="timer"), Signal(name="recent")
        tick = recent ^ self.alive
        m.d.comb += self.alive.eq(timer[-1])
        m.d.sync += [timer.eq(timer + 1), recent.eq(self.alive)]
        for lamp, lit in ((self.training, trained), (self.error, complaint)):
            seen = Signal(name="seen")
            m.d.sync += seen.eq((seen & ~tick) | lit)
            m.d.sync += lamp.eq(lit | seen | (lamp & ~tick))
