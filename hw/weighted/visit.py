"""The visit: what the walk has decided, behind a register, for everything that follows from it."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.slots import Stage
from counterflow.hw.weighted.bundles import visit_signals


class Visit(wiring.Component):
    """The walk as it was a cycle ago, `design.units.latency.ISSUE`.

    Whether a tile is issued is known late in a cycle, and most of a unit hangs on it.  Only what
    the walk itself waits for (rooms, arrived words, gradients) is counted in that very cycle.

    Parameters: ``stage``.
    Members: ``walk`` in, ``now`` out.
    Cost: a register for each signal; latency 1.
    """

    def __init__(self, *, stage: Stage) -> None:
        signals = visit_signals(stage)
        super().__init__({"walk": In(signals), "now": Out(signals)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sources = self.walk.signature.flatten(self.walk)
        for (_, _, source), (_, _, now) in zip(
            sources, self.now.signature.flatten(self.now), strict=True
        ):
            m.d.sync += now.eq(source)
        return m
