"""The pooling unit whose windows lie anyhow: they overlap, leave pixels out or leave the image.

Twin of `golden.units.pool`.  Forward, as in `hw.units.pool`, but each element is joined with all
windows that it is in (`hw.pooling.sliding_windows`):

    cycle after the step      0   its windows' row is addressed
                              2   joined with what is kept of them
                              3   at the end of a window's row, joined with the rows above
                              4   at the end of a window, divided if its mean needs it, narrowed
                              5   y enters its queue, the place of the maximum the stash
                              6   y can leave

Backward, dy waits for its window's first step (`hw.pooling.sliding_gradients`); a step finds what
is kept of the windows of its column, then of those beside, sums what is the element's, divides
and narrows.  See `design.units.sliding.Sliding.step_latency`.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import MEMORY, NARROW
from counterflow.design.units.pooling import JOIN
from counterflow.design.units.sliding import Sliding
from counterflow.hw.parts.block_fifo import BlockFIFO
from counterflow.hw.parts.fifo import SyncFIFO
from counterflow.hw.parts.narrow import narrow
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, activation_stream, error_stream
from counterflow.hw.pooling.division import divided
from counterflow.hw.pooling.rings import Stash
from counterflow.hw.pooling.sliding_gradients import SlidingGradients
from counterflow.hw.pooling.sliding_windows import SlidingWindows


class SlidingPool(wiring.Component):
    """Pools one image a token; its gradients come back in the order of the tokens, each once.

    A token's dy must not come before its y has left.  x waits where the stash is full, which is
    emptied as dy comes (maximum) or as dx leaves (average over a ReLU).

    Parameters: ``pooling``.
    Members: as those of `hw.units.pool.Pool`.
    Cost: no multiplier; the memories of `Sliding.memories`; latency `forward_latency` from the step
    that ends a window to its y, `backward_latency` from dy to its first dx; a step a cycle.
    """

    def __init__(self, *, pooling: Sliding) -> None:
        self.pooling = pooling
        self.windows = SlidingWindows(pooling=pooling)
        members: dict[str, In | Out] = {
            "x": In(activation_stream(pooling.x)),
            "y": Out(activation_stream(pooling.x)),
        }
        if pooling.wanted:
            self.gradients = SlidingGradients(pooling=pooling)
            members |= {
                "dy": In(error_stream(pooling.dy)),
                "dx": Out(error_stream(pooling.dx)),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stash = None
        if words := self.pooling.stash_words:
            stash = Stash(words=words, bits=self.pooling.stash_bits // words)
            m.submodules.stash = stash
        self._forward(m, stash)
        if self.pooling.wanted:
            self._backward(m, stash)
        return m

    def _forward(self, m: Module, stash: Stash | None) -> None:
        """Take x, join it with its windows, send y and remember what dx needs."""
        numbers, windows = self.pooling, self.windows
        m.submodules.windows = windows
        m.submodules.outputs = queue = Scatter(
            bits=numbers.x.bits, lanes=1, count=1, depth=numbers.y_words, tag=KIND_BITS
        )
        step, able = Signal(name="step"), Signal(name="able")
        payload, valid = self._arrived(m, step & windows.inside)
        room = queue.room | ~windows.ends
        done, latency = step & windows.ends, MEMORY + 2 * JOIN + numbers.dividing + NARROW
        y, place = self._result(m)
        push = delayed(m, done, latency, "push")
        if stash is not None and numbers.average:
            room &= stash.room | ~windows.inside
            taken = step & windows.inside
            m.d.comb += [
                stash.reserve.eq(taken),
                stash.write.eq(delayed(m, taken, 1, "passes_taken")),
                stash.word.eq(delayed(m, payload.data > 0, 1, "passes")),
            ]
        elif stash is not None:
            room &= stash.room | ~windows.ends
            m.d.comb += [
                stash.reserve.eq(done),
                stash.write.eq(push),
                stash.word.eq(delayed(m, place, NARROW, "place")),
            ]
        m.d.comb += [
            able.eq(room & valid),
            step.eq(able),
            windows.step.eq(step),
            windows.x.eq(payload.data),
            queue.reserve.eq(done),
            queue.push.eq(push),
            queue.word.eq(delayed(m, y, NARROW, "y")),
            queue.word_tag.eq(delayed(m, self._kind(m, step, payload.kind), latency, "kind")),
        ]
        if not numbers.queued:
            m.d.comb += self.x.ready.eq(room)
        queue.leaves_by(m, self.y)

    def _arrived(self, m: Module, taken: Value) -> tuple[Any, Value]:
        """The oldest x, and whether a step can be made with what is there of x."""
        numbers, windows = self.pooling, self.windows
        if not numbers.queued:
            return self.x.payload, self.x.valid
        depth = numbers.queue_words
        kind = BlockFIFO if depth > READ_AT_ONCE else SyncFIFO
        m.submodules.arrivals = queue = kind(width=numbers.x.bits + KIND_BITS, depth=depth)
        payload = Signal(self.x.payload.shape(), name="arrived")
        m.d.comb += [
            queue.w_data.eq(self.x.payload.as_value()),
            queue.w_en.eq(self.x.valid),
            self.x.ready.eq(queue.w_rdy),
            queue.r_en.eq(taken),
            payload.eq(queue.r_data),
        ]
        started = ~windows.first | (queue.level >= numbers.ahead)
        return payload, (queue.r_rdy | ~windows.inside) & started

    def _kind(self, m: Module, step: Value, came: Value) -> Value:
        """The kind of the token, beyond its last x, too."""
        if not self.pooling.queued:
            return came
        kept = Signal(KIND_BITS, name="kept")
        kind = Mux(self.windows.inside, came, kept)
        with m.If(step):
            m.d.sync += kept.eq(kind)
        return kind

    def _result(self, m: Module) -> tuple[Value, Value]:
        """y of a window that is whole, before its register, and the place of a maximum."""
        numbers, total = self.pooling, self.windows.result
        if not numbers.average:
            y, _ = narrow(total.value, numbers.x.frac, numbers.x, numbers.round_activation)
            return y, total.place if numbers.place_bits else C(0, 1)
        mean = numbers.mean
        quotient = divided(m, total.value, mean, "mean")
        y, _ = narrow(quotient, numbers.x.frac + mean.shift, numbers.x, numbers.round_activation)
        return y, C(0, 1)

    def _backward(self, m: Module, stash: Stash | None) -> None:
        """Take dy, recall what its window needs, send dx."""
        numbers, gradients = self.pooling, self.gradients
        m.submodules.gradients = gradients
        m.submodules.inputs = queue = Scatter(
            bits=numbers.dx.bits, lanes=1, count=1, depth=numbers.dx_words
        )
        taken = Signal(name="taken")
        word = delayed(m, self.dy.payload, MEMORY, "dy")
        total, frac = gradients.total, numbers.dy.frac
        latency = MEMORY + numbers.column_latency + numbers.summing + numbers.sharing
        passes: Value = C(1, 1)
        if numbers.average:
            total, frac = divided(m, total, numbers.share, "share"), frac + numbers.share.shift
        else:
            word = Cat(word, stash.oldest) if stash is not None else word
        if stash is not None:
            m.d.comb += stash.read.eq(gradients.step if numbers.average else taken)
        if stash is not None and numbers.average:
            passes = delayed(m, stash.oldest, latency + NARROW - MEMORY, "passing")
        dx, _ = narrow(total, frac, numbers.dx, numbers.round_error)
        m.d.comb += [
            self.dy.ready.eq(gradients.room),
            taken.eq(self.dy.valid & self.dy.ready),
            gradients.reserve.eq(taken),
            gradients.write.eq(delayed(m, taken, MEMORY, "dy_taken")),
            gradients.word.eq(word),
            gradients.able.eq(queue.room),
            queue.reserve.eq(gradients.step),
            queue.push.eq(delayed(m, gradients.step, latency + NARROW, "step")),
            queue.word.eq(Mux(passes, delayed(m, dx, NARROW, "narrowed"), 0)),
        ]
        queue.leaves_by(m, self.dx)
