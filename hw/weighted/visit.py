"""The visit: what the walk has decided, behind a register, for everything that follows from it."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.slots import Stage
from counterflow.hw.weighted.bundles import decision_signals, place_signals, visit_signals


class Visit(wiring.Component):
    """The walk as it was a cycle ago, `design.units.latency.ISSUE`.

    Whether a tile is issued is known late in a cycle, and most of a unit hangs on it.  Only what
    the walk itself waits for (rooms, arrived words, gradients) is counted in that very cycle.

    Parameters: ``stage``.
    Members: ``walk`` in, what it decides; ``place`` in, what it says of the tile a cycle later;
    ``now`` out.
    Cost: a register for each signal of ``walk``; latency 1.
    """

    def __init__(self, *, stage: Stage) -> None:
        super().__init__(
            {
                "walk": In(decision_signals(stage)),
                "place": In(place_signals(stage)),
                "now": Out(visit_signals(stage)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        known = {path: one for path, _, one in self.now.signature.flatten(self.now)}
        for path, _, one in self.walk.signature.flatten(self.walk):
            m.d.sync += known[path].eq(one)
        for path, _, one in self.place.signature.flatten(self.place):
            m.d.comb += known[path].eq(one)
        return m
