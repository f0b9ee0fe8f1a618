"""Amaranth's queue, with names for its signals."""

from __future__ import annotations

from amaranth.hdl import Signal
from amaranth.lib import fifo


class SyncFIFO(fifo.SyncFIFO):
    """`amaranth.lib.fifo.SyncFIFO`, whose ports have their names in the Verilog, too.

    A signal has one there only if it is given one, see `hw.parts.modules.convert`.
    """

    def __init__(self, *, width: int, depth: int) -> None:
        super().__init__(width=width, depth=depth)
        for name, one in vars(self).items():
            if isinstance(one, Signal):
                one.name = name
