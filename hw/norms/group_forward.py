"""The way forward through a norm of groups: an image waits for its sums, and is read back.

cycle after x was taken        0   it is written
                               2   its square
                               3   at the last pixel, the sums of its channel
                               4   at the last channel of a group, those of the group
                              14   M, t, h of the group at the write port of their memory

cycle after it was read back   2   what the token sees of its group and its channel
                               3   e = 4 x - M
                               7   y enters its queue; as in `hw.norms.forward`
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.group_times import KNOWN, STATISTICS, GroupNormStage
from counterflow.design.units.latency import MEMORY
from counterflow.design.units.normal_times import Y_QUEUE
from counterflow.hw.norms.group_statistics import GroupStatistics
from counterflow.hw.norms.group_sums import GroupSums
from counterflow.hw.norms.layouts import (
    betas,
    carried,
    image_sums,
    kept_of_channel,
    root,
    statistics,
)
from counterflow.hw.norms.learnt import chosen
from counterflow.hw.norms.normal import difference, forward_members, normalise
from counterflow.hw.norms.place import Place
from counterflow.hw.norms.replay import Replay
from counterflow.hw.norms.rounding import register
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter
from counterflow.hw.pooling.rings import advanced


class GroupForward(wiring.Component):
    """Twin of `golden.units.group_norm.GroupNorm.forward`.

    Parameters: ``stage``.
    Members: ``x``, ``y`` streams; ``may`` in: a token may be read back, in ``bank``; ``predict``
    in; ``channel`` and ``in_bank`` out, ``view`` in MEMORY cycles later; ``begins``, ``known`` out:
    a token is read back, has been; ``taken`` out: one of its elements is;
    ``keep`` with ``keep_address`` and ``word``, ``root_keep`` with ``root_word`` out: for the way
    back; ``y_taken`` with ``y_word`` and ``room``, those of a stash of y, or of xhat, if there is
    one; ``clipped`` out.  A frozen norm keeps nothing for a way back.
    Cost: three multipliers, four with a gamma, the memories of an image and of its sums, a table of
    roots; latency `design.units.group_times.KNOWN` from the last x, then as
    `hw.norms.forward.Forward`; an element a cycle.
    """

    def __init__(self, *, stage: GroupNormStage) -> None:
        self.stage = stage
        numbers = stage.numbers
        members = forward_members(stage, betas(stage))
        if not stage.unit.frozen:
            members |= {
                "keep": Out(1),
                "keep_address": Out(range(max(2, stage.tokens * numbers.channels))),
                "word": Out(kept_of_channel(stage)),
                "root_keep": Out(1),
                "root_word": Out(root(stage)),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stage, numbers = self.stage, self.stage.numbers
        m.submodules.outputs = queue = Scatter(
            bits=numbers.y.bits, lanes=1, count=1, depth=Y_QUEUE + stage.later, tag=KIND_BITS
        )
        m.submodules.image = image = Replay(
            numbers=numbers,
            bits=numbers.x.bits,
            depth=stage.image,
            known_bits=statistics(stage).size,
            images=stage.images,
        )
        self._arrive(m, image)
        bank = Signal(name="bank")
        with m.If(image.begins):
            m.d.sync += bank.eq(self.bank)
        m.d.comb += [
            image.may.eq(self.may),
            image.able.eq(queue.room & self.room),
            queue.reserve.eq(image.step),
            self.taken.eq(image.step),
            self.channel.eq(image.channel),
            self.in_bank.eq(Mux(image.begins, self.bank, bank)),
            self.begins.eq(image.begins),
            self.known.eq(image.ends),
        ]
        seen = View(statistics(stage), image.known)
        x = image.oldest.as_signed() if numbers.x.signed else image.oldest
        e = difference(m, numbers, x, seen.centre)
        learnt = chosen(numbers, self.view, self.predict, seen.kind)
        push, kept, clipped = normalise(m, stage, queue, e, seen, learnt, image.step, seen.kind)
        m.d.comb += [self.y_taken.eq(push), self.y_word.eq(kept), self.clipped.eq(clipped)]
        if not stage.unit.frozen:
            self._keep(m, image, seen, learnt[carried(stage)])
        queue.leaves_by(m, self.y)
        return m

    def _arrive(self, m: Module, image: Replay) -> None:
        """Take x into the image; its sums, and what follows from them."""
        stage, numbers = self.stage, self.stage.numbers
        m.submodules.place = place = Place(channels=numbers.channels, pixels=numbers.pixels)
        m.submodules.sums = sums = GroupSums(numbers=numbers, layout=image_sums(stage))
        m.submodules.statistics = found = GroupStatistics(numbers=numbers)
        taken = self.x.valid & self.x.ready
        x = delayed(m, self.x.payload.data, 1, "x")
        word = Signal(statistics(stage), name="statistics_word")
        m.d.comb += [
            self.x.ready.eq(image.room),
            place.step.eq(taken),
            image.opens.eq(place.begins),
            image.taken.eq(taken),
            image.write.eq(taken),
            image.word.eq(self.x.payload.data),
            sums.step.eq(taken),
            sums.first.eq(place.first),
            sums.last.eq(place.last),
            sums.term.total.eq(delayed(m, x, MEMORY - 1, "x_late")),
            sums.term.squares.eq(register(m, x * x, "square")),
            found.total.eq(sums.sum.total),
            found.squares.eq(sums.sum.squares),
            word.centre.eq(found.centre),
            word.root.eq(found.root),
            word.halvings.eq(found.halvings),
            word.kind.eq(delayed(m, self.x.payload.kind, KNOWN, "kind")),
            image.known_write.eq(delayed(m, sums.write, STATISTICS, "known")),
            image.known_word.eq(word.as_value()),
        ]

    def _keep(self, m: Module, image: Replay, seen: View, factor: Value) -> None:
        """What the way back of the token needs, at its first pixel."""
        first = image.step & image.first
        keep = delayed(m, first, MEMORY + 1, "keep")
        words = self.stage.tokens * self.stage.numbers.channels
        word = Signal(kept_of_channel(self.stage), name="kept")
        of_root = Signal(root(self.stage), name="kept_root")
        if self.stage.numbers.dx is not None:
            m.d.comb += word[carried(self.stage)].eq(factor)
        m.d.comb += [
            word.kind.eq(seen.kind),
            of_root.root.eq(seen.root),
            of_root.halvings.eq(seen.halvings),
            self.keep.eq(keep),
            self.keep_address.eq(advanced(m, keep, words, "kept_at")),
            self.word.eq(delayed(m, word.as_value(), 1, "word")),
            self.root_keep.eq(delayed(m, first & image.group_opens, MEMORY + 1, "keep_root")),
            self.root_word.eq(delayed(m, of_root.as_value(), 1, "root_word")),
        ]
