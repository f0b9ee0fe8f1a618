"""What a board's top instantiates: a network that trains, behind a serial line."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.planner import Plan
from hw.uart import divisor_of


class BoardCore(wiring.Component):
    """The chain, the host link and a UART, in one clock domain (sync).

    Parameters: ``plan``; ``frequency`` of the clock in Hz; ``baud`` in bits a second; ``board``,
    the name that the device answers with.  ValueError where the clock cannot make the rate.
    Members: ``rx`` in and ``tx`` out, the serial line (8N1, high at rest); lamps, active high:
    ``alive`` blinks about once a second, ``training`` while tokens are trained on, ``error`` while
    packets are lost or broken.
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
        raise NotImplementedError("the link is not connected yet")
