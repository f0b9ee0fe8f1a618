"""Sums over the groups of an image, as its elements pass."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from counterflow.design.units.group_normalisation import GroupNormalisation
from counterflow.design.units.latency import MEMORY, SUM
from counterflow.hw.norms.place import GroupPlace
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.pooling.rings import Line


class GroupSums(wiring.Component):
    """Sums terms over the pixels of each channel, and at the last pixel over those of a group.

    Parameters: ``numbers``; ``layout`` of what is summed, wide enough for a group.
    Members: ``step`` in: an element passes, of the ``first``, the ``last`` pixel; ``term`` in,
    MEMORY cycles later; SUM cycles later ``total_write`` out with the ``total`` of a channel, and
    another SUM cycles later ``write`` with the ``sum`` of a group.
    Cost: a line of sums, two adders a term; an element a cycle.
    """

    def __init__(self, *, numbers: GroupNormalisation, layout: data.StructLayout) -> None:
        self.numbers, self.layout = numbers, layout
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "last": In(1),
                "term": In(layout),
                "total_write": Out(1),
                "total": Out(layout),
                "write": Out(1),
                "sum": Out(layout),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, layout = self.numbers, self.layout
        m.submodules.line = line = Line(words=numbers.channels, bits=layout.size)
        m.submodules.groups = groups = GroupPlace(channels=numbers.channels, group=numbers.group)
        first = delayed(m, self.first, MEMORY, "first_late")
        new = self._added(m, View(layout, line.new), first, View(layout, line.old), self.term)
        late = MEMORY + SUM
        m.d.comb += [
            groups.step.eq(self.step),
            line.step.eq(self.step),
            self.total_write.eq(delayed(m, self.step & self.last, late, "last_late")),
            self.total.eq(delayed(m, new, SUM, "total_late")),
            self.write.eq(
                delayed(m, self.step & self.last & groups.closes, late + SUM, "closes_late")
            ),
        ]
        opens = delayed(m, groups.opens, late, "opens_late")
        following = Signal(layout, name="following")
        self._added(m, following, opens, self.sum, self.total)
        with m.If(self.total_write):
            m.d.sync += self.sum.eq(following)
        return m

    def _added(self, m: Module, to: View, fresh: Value, old: View, term: View) -> Value:
        """Let `to` be what `term` is added to, member by member; nothing if it is `fresh`."""
        for name in self.layout.members:
            m.d.comb += to[name].eq(Mux(fresh, 0, old[name]) + term[name])
        return to.as_value()
