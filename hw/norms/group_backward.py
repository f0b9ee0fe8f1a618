"""The way back through a norm of groups: a gradient waits for its sums, and is read back.

cycle after dy was taken       0   its channel of its token is addressed; y, if it was kept here
                               2   what is kept of the channel
                               3   xhat = y - beta; both are written
                               4   dy xhat
                               5   at the last pixel, the sums of its channel
                               6   at the last channel of a group, those of the group
                               9   c1, c2 of the group at the write port of their memory

cycle after it was read back   2   dy, xhat; c1, c2, t, h
                               3   c2 xhat, dy - c1
                               4   z = dy - c1 - c2 xhat
                               5   z t
                               6   z t shifted
                               7   dx enters its queue
                               8   dx can leave

With a gamma xhat was kept here; it waits with gamma dy, which is there a cycle later than dy is,
and so is all that follows.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.units.group_times import (
    BACKWARD,
    DX_QUEUE,
    KNOWN_BACK,
    TOTAL_BACK,
    GroupNormStage,
)
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, SUM
from counterflow.design.units.normal_times import SHARED
from counterflow.hw.norms.group_sums import GroupSums
from counterflow.hw.norms.layouts import (
    errors,
    gradient,
    gradient_sums,
    kept_of_channel,
    means,
    root,
)
from counterflow.hw.norms.normal import scaled_back, send_back, stepped, weighed
from counterflow.hw.norms.place import Place
from counterflow.hw.norms.replay import Replay
from counterflow.hw.norms.rounding import half_up, register, shared
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, error_stream

XHAT = MEMORY + SUM  # cycle of xhat
Z = MEMORY + PRODUCT + SUM  # cycle of z, of a gradient that is read back


class GroupBackward(wiring.Component):
    """Twin of `golden.units.group_norm.GroupNorm.backward`.

    Parameters: ``stage``.
    Members: ``dy`` in, with y beside it or with ``y_word`` in MEMORY cycles after ``taken`` out;
    ``dx`` stream out, if anybody wants it; ``may`` in: a token may begin to come, in ``bank``;
    ``address`` out, ``word`` in MEMORY cycles later; ``root_address`` out, ``root_word`` in
    likewise, as it is read back; ``begins`` out: a token does, ``ends``: nothing is needed any more
    of what is kept of it; ``known`` out: its sums for beta are, of kind ``kind`` in ``known_bank``;
    ``total_write`` with ``total_channel`` and ``total`` out; ``clipped`` out.
    With a gamma ``y_word`` is xhat.
    Cost: three multipliers, none where nobody wants dx, with a gamma five or one; the memories of
    a gradient with xhat and of its sums; latency `design.units.group_times.KNOWN_BACK` from the
    last dy, with a gamma WEIGHED more, then BACKWARD; an element a cycle.
    """

    def __init__(self, *, stage: GroupNormStage) -> None:
        self.stage = stage
        numbers = stage.numbers
        self.returned = stage.unit.outputs[0].returned
        self.weighed = stage.returns(stage.unit) - TOTAL_BACK  # cycles for gamma
        self.given = XHAT + self.weighed  # cycle in which dy and xhat are written
        channel = range(max(2, numbers.channels))
        members: dict[str, In | Out] = {
            "dy": In(error_stream(numbers.dy, numbers.y if self.returned else None)),
            "y_word": In(shape_of(numbers.y)),
            "may": In(1),
            "bank": In(1),
            "address": Out(range(max(2, stage.tokens * numbers.channels))),
            "word": In(kept_of_channel(stage)),
            "taken": Out(1),
            "begins": Out(1),
            "ends": Out(1),
            "known": Out(1),
            "known_bank": Out(1),
            "kind": Out(KIND_BITS),
            "total_write": Out(1),
            "total_channel": Out(channel),
            "total": Out(errors(stage)),
            "clipped": Out(1),
        }
        if numbers.dx is not None:
            members["dx"] = Out(error_stream(numbers.dx))
            members["root_address"] = Out(range(max(2, stage.tokens * numbers.groups)))
            members["root_word"] = In(root(stage))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, taken, bank = self.stage.numbers, self.taken, Signal(name="bank")
        m.submodules.place = place = Place(channels=numbers.channels, pixels=numbers.pixels)
        m.submodules.sums = sums = GroupSums(numbers=numbers, layout=gradient_sums(self.stage))
        ends = taken & place.ends
        base = stepped(m, ends, self.stage.tokens, numbers.channels, "base")
        with m.If(self.begins):
            m.d.sync += bank.eq(self.bank)
        in_bank = Mux(place.begins, self.bank, bank)
        term, total = self.given + PRODUCT - MEMORY, TOTAL_BACK + self.weighed
        m.d.comb += [
            self.dy.ready.eq(~place.begins | self.may),
            taken.eq(self.dy.valid & self.dy.ready),
            place.step.eq(taken),
            self.address.eq(base + place.channel),
            self.begins.eq(taken & place.begins),
            self.ends.eq(ends),
            sums.step.eq(delayed(m, taken, term, "summing")),
            sums.first.eq(delayed(m, place.first, term, "first")),
            sums.last.eq(delayed(m, place.last, term, "last")),
            self.total_write.eq(sums.total_write),
            self.total_channel.eq(delayed(m, place.channel, total, "channel")),
            *(self.total[name].eq(sums.total[name]) for name in gradient(self.stage)),
            self.known.eq(delayed(m, ends, total, "ends")),
            self.known_bank.eq(delayed(m, in_bank, total, "bank")),
            self.kind.eq(delayed(m, self.word.kind, total - MEMORY, "kind")),
        ]
        came = self.dy.payload.data if self.returned else self.dy.payload
        dy = delayed(m, came, self.given, "dy")
        m.d.comb += sums.term.errors.eq(delayed(m, dy, PRODUCT, "dy_late"))
        if numbers.gammas is not None:
            xhat = delayed(m, self.y_word, self.given - MEMORY, "xhat")
            m.d.comb += sums.term.correlations.eq(register(m, dy * xhat, "correlation"))
            if numbers.dx is not None:
                given = weighed(m, numbers, delayed(m, came, MEMORY, "dy_beside"), self.word.gamma)
                m.d.comb += sums.term.given.eq(delayed(m, given, PRODUCT, "given_late"))
                self._send(m, self._wait(m, place, sums, given, xhat))
        elif numbers.dx is not None:
            y = delayed(m, self.dy.payload.x, MEMORY, "y") if self.returned else self.y_word
            xhat = Signal(shape_of(numbers.y), name="xhat", reset_less=True)
            m.d.sync += xhat.eq(y - self.word.beta)
            self._send(m, self._wait(m, place, sums, dy, xhat))
        return m

    def _wait(self, m: Module, place: Place, sums: GroupSums, given: Value, xhat: Value) -> Replay:
        """Let the gradient of xhat, and xhat, wait for the means of their groups."""
        stage, numbers = self.stage, self.stage.numbers
        m.submodules.gradients = image = Replay(
            numbers=numbers,
            bits=numbers.given.bits + numbers.y.bits,
            depth=stage.image_back,
            known_bits=means(stage).size,
            images=stage.images_back,
        )
        with m.If(~image.room):
            m.d.comb += self.dy.ready.eq(0)
        word, total = Signal(means(stage), name="means_word"), sums.sum
        errors = total.errors if numbers.gammas is None else total.given
        known = KNOWN_BACK + self.weighed
        m.d.comb += [
            sums.term.products.eq(register(m, given * xhat, "term")),
            image.opens.eq(place.begins),
            image.taken.eq(self.taken),
            image.write.eq(delayed(m, self.taken, self.given, "write")),
            image.word.eq(Cat(given, xhat)),
            word.error.eq(shared(m, errors, numbers.error_share, "error_mean")),
            word.product.eq(shared(m, total.products, numbers.product_share, "product_mean")),
            word.kind.eq(delayed(m, self.word.kind, known - MEMORY, "kind_known")),
            image.known_write.eq(delayed(m, sums.write, SHARED, "known_means")),
            image.known_word.eq(word.as_value()),
            image.may.eq(1),
            self.ends.eq(image.ends),
        ]
        return image

    def _send(self, m: Module, image: Replay) -> None:
        """Read both back, and send dx."""
        stage, numbers = self.stage, self.stage.numbers
        assert numbers.dx is not None
        m.submodules.inputs = queue = Scatter(
            bits=numbers.dx.bits, lanes=1, count=1, depth=DX_QUEUE
        )
        base = stepped(m, image.ends, stage.tokens, numbers.groups, "root_base")
        seen, bits = View(means(stage), image.known), numbers.given.bits
        given, xhat = image.oldest[:bits].as_signed(), image.oldest[bits:].as_signed()
        product = register(m, seen.product * xhat, "correlated")
        corrected = Signal(shape_of(numbers.corrected), name="corrected", reset_less=True)
        m.d.sync += corrected.eq((given << numbers.mean_guard) - seen.error)
        z = Signal(shape_of(numbers.z), name="z", reset_less=True)
        exact = (corrected << numbers.y.frac) - product
        m.d.sync += z.eq(half_up(exact, numbers.correction_drop))
        own_root = delayed(m, self.root_word.root, Z - MEMORY, "root")
        halvings = delayed(m, self.root_word.halvings, Z + PRODUCT - MEMORY, "halvings")
        scaled = scaled_back(m, numbers, z, own_root, halvings)
        wide = scaled[: numbers.wide.bits].as_signed()
        last = BACKWARD - 1 - NARROW
        trains = delayed(m, seen.kind >= Kind.TRAIN, last - MEMORY, "trains")
        push = delayed(m, image.step, BACKWARD - 1, "push")
        m.d.comb += [
            self.root_address.eq(base + image.group),
            image.able.eq(queue.room),
            queue.reserve.eq(image.step),
            self.clipped.eq(send_back(m, numbers, queue, wide, trains, push)),
        ]
        queue.leaves_by(m, self.dx)
