"""The way forward through a norm: an element a cycle, and its channel's sums.

cycle after x was taken   0   its channel is addressed
                          2   what the token sees of the channel
                          3   e = 4 x - M
                          4   e t, e e
                          5   e t shifted; at the last pixel, the channel's sums are totals
                          6   xhat
                          7   y enters its queue
                          8   y can leave

With a gamma its product with xhat comes in between, and y a cycle later.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import MEMORY, PRODUCT, SUM
from counterflow.design.units.norm_times import TOTALLED, NormStage
from counterflow.design.units.normal_times import Y_QUEUE
from counterflow.hw.norms.layouts import carried, forward_sums, forward_totals, kept, seen
from counterflow.hw.norms.learnt import chosen
from counterflow.hw.norms.normal import difference, forward_members, normalise
from counterflow.hw.norms.place import Place
from counterflow.hw.norms.rounding import register
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter
from counterflow.hw.pooling.rings import Line, advanced

PRODUCTS = MEMORY + SUM + PRODUCT  # cycle of e t and e e


class Forward(wiring.Component):
    """Twin of `golden.units.norm.Norm.forward`.

    Parameters: ``stage``.
    Members: ``x``, ``y`` streams; ``may`` in: a token may begin, in ``bank``; ``predict`` in;
    ``channel`` and ``in_bank`` out, ``view`` in MEMORY cycles later; ``begins`` out: a token does;
    ``known`` out: its totals are, of kind ``kind`` in ``known_bank``; ``total_write`` with
    ``total_channel`` and ``total`` out; ``keep`` with ``keep_address`` and ``word`` out: for the
    way back; ``y_taken`` with ``y_word`` and ``room``, those of a stash of y, or of xhat, if there
    is one; ``clipped`` out.  A frozen norm has neither totals nor a way back, but ``known`` out:
    the last element of a token is taken.
    Cost: two multipliers, three with a gamma, a line of sums; without these and a multiplier less
    where it is frozen; latency `design.units.normal_times.FORWARD`, with a gamma SCALED more, an
    element a cycle.
    """

    def __init__(self, *, stage: NormStage) -> None:
        self.stage = stage
        numbers = stage.numbers
        channel = range(max(2, numbers.channels))
        members = forward_members(stage, seen(stage))
        if not stage.unit.frozen:
            members |= {
                "known_bank": Out(1),
                "kind": Out(KIND_BITS),
                "total_write": Out(1),
                "total_channel": Out(channel),
                "total": Out(forward_totals(stage)),
                "keep": Out(1),
                "keep_address": Out(range(stage.tokens * numbers.channels)),
                "word": Out(kept(stage)),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.stage.numbers
        m.submodules.place = place = Place(channels=numbers.channels, pixels=numbers.pixels)
        m.submodules.outputs = queue = Scatter(
            bits=numbers.y.bits, lanes=1, count=1, depth=Y_QUEUE + self.stage.later, tag=KIND_BITS
        )
        taken, bank = self.taken, Signal(name="bank")
        with m.If(self.begins):
            m.d.sync += bank.eq(self.bank)
        m.d.comb += [
            self.x.ready.eq(queue.room & self.room & (~place.begins | self.may)),
            taken.eq(self.x.valid & self.x.ready),
            place.step.eq(taken),
            self.channel.eq(place.channel),
            self.in_bank.eq(Mux(place.begins, self.bank, bank)),
            self.begins.eq(taken & place.begins),
            queue.reserve.eq(taken),
        ]
        kind = delayed(m, self.x.payload.kind, MEMORY, "kind")
        e = self._difference(m)
        learnt = self._learnt(kind)
        push, kept, clipped = normalise(m, self.stage, queue, e, self.view, learnt, taken, kind)
        m.d.comb += [self.y_taken.eq(push), self.y_word.eq(kept), self.clipped.eq(clipped)]
        if self.stage.unit.frozen:
            m.d.comb += self.known.eq(taken & place.ends)
        else:
            self._total(m, place, e, kind)
            self._keep(m, taken & place.first, kind)
        queue.leaves_by(m, self.y)
        return m

    def _difference(self, m: Module) -> Signal:
        """How far x is from the centre of its channel."""
        x = delayed(m, self.x.payload.data, MEMORY, "x")
        return difference(m, self.stage.numbers, x, self.view.centre)

    def _learnt(self, kind: Value) -> dict[str, Value]:
        """Beta, and gamma, as the token sees them, with the view."""
        return chosen(self.stage.numbers, self.view, self.predict, kind)

    def _total(self, m: Module, place: Place, e: Signal, kind: Value) -> None:
        """The channel's sums, which are totals at the last pixel."""
        layout = forward_sums(self.stage)
        m.submodules.sums = line = Line(words=place.channels, bits=layout.size)
        first = delayed(m, place.first, PRODUCTS, "first")
        old, new = View(layout, line.old), View(layout, line.new)
        square, late = register(m, e * e, "square"), register(m, e, "e_late")
        last = delayed(m, self.taken & place.last, TOTALLED, "last")
        centre = delayed(m, self.view.centre, SUM + PRODUCT, "centre")
        m.d.comb += [
            line.step.eq(delayed(m, self.taken, PRODUCTS - MEMORY, "summing")),
            new.differences.eq(Mux(first, 0, old.differences) + late),
            new.squares.eq(Mux(first, 0, old.squares) + square),
            self.total_write.eq(last),
            self.total_channel.eq(delayed(m, self.channel, TOTALLED, "channel")),
            self.total.eq(delayed(m, Cat(line.new, centre), SUM, "total")),
            self.known.eq(delayed(m, self.taken & place.ends, TOTALLED, "ends")),
            self.known_bank.eq(delayed(m, self.in_bank, TOTALLED, "bank")),
            self.kind.eq(delayed(m, kind, TOTALLED - MEMORY, "kind_known")),
        ]

    def _keep(self, m: Module, first: Value, kind: Value) -> None:
        """What the way back of the token needs, at its first pixel."""
        keep = delayed(m, first, MEMORY + 1, "keep")
        word = Signal(kept(self.stage), name="kept")
        if self.stage.numbers.dx is not None:
            name = carried(self.stage)
            m.d.comb += [
                word.root.eq(self.view.root),
                word.halvings.eq(self.view.halvings),
                word[name].eq(self._learnt(kind)[name]),
            ]
        m.d.comb += [
            word.kind.eq(kind),
            self.keep.eq(keep),
            self.keep_address.eq(
                advanced(m, keep, self.stage.tokens * self.stage.numbers.channels, "kept_at")
            ),
            self.word.eq(delayed(m, word.as_value(), 1, "word")),
        ]
