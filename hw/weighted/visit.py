"""The visit: what the walk has decided, behind a register, for everything that follows from it."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.hw.weighted.walk import Walk

TOKEN = {"kind": KIND_BITS, "returning": 1, "learning": 1, "moving": 1}
STROBES = ("issue", "line_end", "row_begin", "row_end", "place_down", "finish")


class Visit(wiring.Component):
    """The walk as it was a cycle ago, `design.units.latency.ISSUE`.

    Whether a tile is issued is known late in a cycle, and most of a unit hangs on it.  Only what
    the walk itself waits for (rooms, arrived words, gradients) is counted in that very cycle.

    Parameters: ``walk``.
    Members, out: those of `Walk` that say where it is; ``kind``, ``returning``, ``learning`` and
    ``moving`` of the slot, from ``slot_kind`` ... ``slot_moving`` in.
    Cost: a register for each; latency 1.
    """

    def __init__(self, *, walk: Walk) -> None:
        self.walk, self.stage = walk, walk.stage
        self.shapes = {**walk.shapes, "phase": walk.phase.shape(), **dict.fromkeys(STROBES, 1)}
        super().__init__(
            {
                **{name: Out(shape) for name, shape in self.shapes.items()},
                **{f"slot_{name}": In(bits) for name, bits in TOKEN.items()},
                **{name: Out(bits) for name, bits in TOKEN.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sources = {name: getattr(self.walk, name) for name in self.shapes}
        sources |= {name: getattr(self, f"slot_{name}") for name in TOKEN}
        for name, source in sources.items():
            m.d.sync += getattr(self, name).eq(source)
        return m
