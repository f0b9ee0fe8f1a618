"""The way back through a norm: a gradient a cycle, and its channel's sums.

cycle after dy was taken  0   the channel of its token is addressed; y, if it was kept here
                          2   what is kept of the channel, its controls
                          3   xhat = y - beta
                          4   c xhat
                          5   z = dy - b c xhat
                          6   z t, z xhat
                          7   z t shifted
                          8   less b u
                          9   dx enters its queue; at the last pixel, the sums are totals
                         10   dx can leave

With a gamma xhat was kept here, gamma dy is there in cycle 4, and dy xhat is summed, too.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.units.latency import MEMORY, PRODUCT, SUM
from counterflow.design.units.norm_times import BACKWARD, DX_QUEUE, RETURNED, NormStage
from counterflow.design.units.normal_times import SHIFT
from counterflow.hw.norms.layouts import backward_totals, controls, kept
from counterflow.hw.norms.normal import scaled_back, send_back, stepped, weighed
from counterflow.hw.norms.place import Place
from counterflow.hw.norms.rounding import half_up, register
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, error_stream
from counterflow.hw.pooling.rings import Line

FACTORS = MEMORY + SUM + PRODUCT + SUM  # cycle of z
WIDE = FACTORS + PRODUCT + SHIFT + SUM  # cycle of dx before it is narrowed


class Backward(wiring.Component):
    """Twin of `golden.units.norm.Norm.backward`.

    Parameters: ``stage``.
    Members: ``dy`` in, with y beside it or with ``y_word`` in MEMORY cycles after ``taken`` out;
    ``dx`` stream out, if anybody wants it; ``may`` in: a token may begin, in ``bank``; ``address``
    out, ``word`` in MEMORY cycles later, and so ``channel`` and ``in_bank`` with ``view``;
    ``begins``, ``ends`` out: a token does; ``known`` out: its totals are, of kind ``kind`` in
    ``known_bank``; ``total_write`` with ``total_channel`` and ``total`` out; ``clipped`` out.
    With a gamma ``y_word`` is xhat.
    Cost: three multipliers, none where nobody wants dx, with a gamma five or one; a line of sums;
    latency `BACKWARD`, an element a cycle.
    """

    def __init__(self, *, stage: NormStage) -> None:
        self.stage = stage
        numbers = stage.numbers
        self.returned = stage.unit.outputs[0].returned
        channel = range(max(2, numbers.channels))
        members: dict[str, In | Out] = {
            "dy": In(error_stream(numbers.dy, numbers.y if self.returned else None)),
            "y_word": In(shape_of(numbers.y)),
            "may": In(1),
            "bank": In(1),
            "address": Out(range(stage.tokens * numbers.channels)),
            "word": In(kept(stage)),
            "channel": Out(channel),
            "in_bank": Out(1),
            "view": In(controls(stage)),
            "taken": Out(1),
            "begins": Out(1),
            "ends": Out(1),
            "known": Out(1),
            "known_bank": Out(1),
            "kind": Out(KIND_BITS),
            "total_write": Out(1),
            "total_channel": Out(channel),
            "total": Out(backward_totals(stage)),
            "clipped": Out(1),
        }
        if numbers.dx is not None:
            members["dx"] = Out(error_stream(numbers.dx))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, taken, bank = self.stage.numbers, self.taken, Signal(name="bank")
        m.submodules.place = place = Place(channels=numbers.channels, pixels=numbers.pixels)
        base = stepped(m, self.ends, self.stage.tokens, numbers.channels, "base")
        with m.If(self.begins):
            m.d.sync += bank.eq(self.bank)
        m.d.comb += [
            self.dy.ready.eq(~place.begins | self.may),
            taken.eq(self.dy.valid & self.dy.ready),
            place.step.eq(taken),
            self.address.eq(base + place.channel),
            self.channel.eq(place.channel),
            self.in_bank.eq(Mux(place.begins, self.bank, bank)),
            self.begins.eq(taken & place.begins),
            self.ends.eq(taken & place.ends),
        ]
        came = self.dy.payload.data if self.returned else self.dy.payload
        dy = delayed(m, came, FACTORS - SUM, "dy")
        sums: dict[str, Value] = {}
        if self.stage.unit.moves:
            sums["errors"] = delayed(m, dy, WIDE - FACTORS + SUM, "dy_late")
        xhat: Value | None = None
        if numbers.gammas is not None:
            xhat = register(m, self.y_word, "xhat")
            correlated = register(m, dy * register(m, xhat, "xhat_beside"), "correlated")
            sums["correlations"] = delayed(m, correlated, WIDE - FACTORS, "correlated_late")
        if numbers.dx is not None:
            sums |= self._gradient(m, self._given(m, came, dy), xhat)
        self._total(m, place, sums)
        return m

    def _given(self, m: Module, came: Value, dy: Value) -> Value:
        """The gradient of xhat, in cycle FACTORS - SUM, as ``dy`` is, which had come."""
        if self.stage.numbers.gammas is None:
            return dy
        beside = delayed(m, came, MEMORY, "dy_beside")
        return weighed(m, self.stage.numbers, beside, self.word.gamma)

    def _gradient(self, m: Module, given: Value, xhat: Value | None) -> dict[str, Value]:
        """Send dx; what is summed of it, in cycle WIDE; ``xhat`` unless it follows from y."""
        numbers = self.stage.numbers
        if xhat is None:
            y = delayed(m, self.dy.payload.x, MEMORY, "y") if self.returned else self.y_word
            xhat = Signal(shape_of(numbers.y), name="xhat", reset_less=True)
            m.d.sync += xhat.eq(y - self.word.beta)
        scale = delayed(m, self.view.scale, SUM, "scale")
        control = register(m, scale * xhat, "control")
        z = Signal(shape_of(numbers.z), name="z", reset_less=True)
        m.d.sync += z.eq((given << numbers.guard) - half_up(control, numbers.control_drop))
        root = delayed(m, self.word.root, FACTORS - MEMORY, "root")
        correlation = register(m, z * delayed(m, xhat, PRODUCT + SUM, "xhat_late"), "correlation")
        more = delayed(m, self.word.halvings, FACTORS + PRODUCT - MEMORY, "halvings")
        scaled = scaled_back(m, numbers, z, root, more)
        shift = register(m, half_up(self.view.shift, numbers.shift_drop), "shift")
        wide = Signal(shape_of(numbers.wide), name="wide", reset_less=True)
        m.d.sync += wide.eq(scaled - delayed(m, shift, WIDE - SUM - MEMORY - 1, "shift_late"))
        self._send(m, wide)
        return {"products": delayed(m, correlation, SHIFT + SUM, "correlated"), "gradients": wide}

    def _send(self, m: Module, wide: Signal) -> None:
        """dx, zero of a token that does not train."""
        numbers = self.stage.numbers
        assert numbers.dx is not None
        m.submodules.inputs = queue = Scatter(
            bits=numbers.dx.bits, lanes=1, count=1, depth=DX_QUEUE
        )
        trains = delayed(m, self.word.kind >= Kind.TRAIN, WIDE - MEMORY, "trains")
        push = delayed(m, self.taken, BACKWARD - 1, "push")
        with m.If(~queue.room):
            m.d.comb += self.dy.ready.eq(0)
        m.d.comb += [
            queue.reserve.eq(self.taken),
            self.clipped.eq(send_back(m, numbers, queue, wide, trains, push)),
        ]
        queue.leaves_by(m, self.dx)

    def _total(self, m: Module, place: Place, terms: dict[str, Value]) -> None:
        """The channel's sums of `terms`, which are totals at the last pixel."""
        layout = backward_totals(self.stage)
        m.submodules.sums = line = Line(words=place.channels, bits=layout.size)
        first = delayed(m, place.first, WIDE, "first")
        old, new = View(layout, line.old), View(layout, line.new)
        for name, term in terms.items():
            m.d.comb += new[name].eq(Mux(first, 0, old[name]) + term)
        m.d.comb += [
            line.step.eq(delayed(m, self.taken, WIDE - MEMORY, "summing")),
            self.total_write.eq(delayed(m, self.taken & place.last, RETURNED, "last")),
            self.total_channel.eq(delayed(m, self.channel, RETURNED, "channel")),
            self.total.eq(delayed(m, line.new, SUM, "total")),
            self.known.eq(delayed(m, self.ends, RETURNED, "ends")),
            self.known_bank.eq(delayed(m, self.in_bank, RETURNED, "bank")),
            self.kind.eq(delayed(m, self.word.kind, RETURNED - MEMORY, "kind")),
        ]
