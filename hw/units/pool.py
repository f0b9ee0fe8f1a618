"""The pooling unit: maximum or average over windows that do not overlap, twin of
`golden.units.pool`.

Forward, each element is joined with what is kept of its window, first along the window's row (a
word a channel), then over its rows (a word a window and channel):

    cycle after x was taken   0   its window's row is addressed
                              2   joined with what is kept of it
                              3   at the end of the row, joined with the rows above
                              4   at the end of the window, narrowed
                              5   y enters its queue, the place of the maximum the stash
                              6   y can leave

Backward, a row of windows of dy waits in a memory and is read once for each element of dx:

    cycle after dy was taken  0   the stash is addressed
                              1   narrowed
                              2   written, with the place of the maximum
                              3   addressed, first for dx of the window's first element
                              5   at every other place than the maximum's replaced by zero
                              6   dx can leave
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.latency import MEMORY, NARROW
from counterflow.design.units.passing import QUEUE_WORDS, PassingStage
from counterflow.design.units.pooling import JOIN, Pooling
from counterflow.design.units.sliding import Sliding
from counterflow.hw.parts.narrow import narrow
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Scatter, activation_stream, error_stream
from counterflow.hw.pooling.division import divided
from counterflow.hw.pooling.gradient_rows import GradientRows
from counterflow.hw.pooling.raster import Raster
from counterflow.hw.pooling.rings import Line, Stash
from counterflow.hw.pooling.sliding import SlidingPool


class Pool(wiring.Component):
    """Pools one image a token; its gradients come back in the order of the tokens, each once.

    A token's dy must not come before its y has left.  x waits where the stash is full, which is
    emptied as dy comes (maximum) or as dx leaves (average over a ReLU).

    Parameters: ``pooling``.
    Members: ``x`` stream of activations, ``y`` likewise in the same format, each element with the
    kind of its token; ``dy``, ``dx`` streams of gradients, if they are wanted.
    Cost: no multiplier; the memories of `Pooling.memories`; latency FORWARD from a window's last x
    to its y, BACKWARD from dy to its first dx, one element a cycle of x and of dx.
    """

    def __init__(self, *, pooling: Pooling) -> None:
        self.pooling = pooling
        value = Shape(pooling.x.bits + pooling.growth, pooling.x.signed)
        fields: dict[str, Any] = {"value": value}
        if pooling.place_bits:  # Verilog has no signals of zero bits
            fields["place"] = pooling.place_bits
        self.partial = data.StructLayout(fields)
        members: dict[str, In | Out] = {
            "x": In(activation_stream(pooling.x)),
            "y": Out(activation_stream(pooling.x)),
        }
        if pooling.wanted:
            self.rows = GradientRows(pooling=pooling)
            members |= {
                "dy": In(error_stream(pooling.dy)),
                "dx": Out(error_stream(pooling.dx)),
            }
        super().__init__(members)

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Pool | SlidingPool:
        """That of a unit of a schedule."""
        numbers = stage.numbers
        return (
            SlidingPool(pooling=numbers) if isinstance(numbers, Sliding) else cls(pooling=numbers)
        )

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
        """Take x, join it with its window, send y and remember what dx needs."""
        numbers = self.pooling
        m.submodules.taken = raster = Raster(pooling=numbers)
        m.submodules.outputs = queue = Scatter(
            bits=numbers.x.bits, lanes=1, count=1, depth=numbers.y_words, tag=KIND_BITS
        )
        taken, ends, done = Signal(name="taken"), Signal(name="ends"), Signal(name="done")
        total = self._window(m, raster, taken)
        value, frac = total.value, numbers.x.frac
        if numbers.average:
            value, frac = divided(m, value, numbers.mean, "mean"), frac + numbers.mean.shift
        y, _ = narrow(value, frac, numbers.x, numbers.round_activation)
        latency = MEMORY + 2 * JOIN + numbers.dividing + NARROW
        push = delayed(m, done, latency, "push")
        room = queue.room | ~ends
        if stash is not None and numbers.average:
            room &= stash.room
            m.d.comb += [
                stash.reserve.eq(taken),
                stash.write.eq(delayed(m, taken, 1, "passes_taken")),
                stash.word.eq(delayed(m, self.x.payload.data > 0, 1, "passes")),
            ]
        elif stash is not None:
            room &= stash.room | ~ends
            m.d.comb += [
                stash.reserve.eq(done),
                stash.write.eq(push),
                stash.word.eq(delayed(m, total.place, NARROW, "place")),
            ]
        m.d.comb += [
            self.x.ready.eq(room),
            taken.eq(self.x.valid & self.x.ready),
            ends.eq(raster.last_row & raster.last_column),
            done.eq(taken & ends),
            raster.step.eq(taken),
            queue.reserve.eq(done),
            queue.push.eq(push),
            queue.word.eq(delayed(m, y, NARROW, "y")),
            queue.word_tag.eq(delayed(m, self.x.payload.kind, latency, "kind")),
        ]
        queue.leaves_by(m, self.y)

    def _window(self, m: Module, raster: Raster, taken: Value) -> Any:
        """x joined with all of its window that came before it, MEMORY + 2 JOIN cycles after it."""
        high, wide = self.pooling.kernel
        x = Signal(self.partial, name="x")
        m.d.comb += x.value.eq(self.x.payload.data)
        if self.pooling.place_bits:
            m.d.comb += x.place.eq(raster.place)
        pixel = row = None
        if wide > 1:
            m.submodules.pixel_line = pixel = self._line(self.pooling.channels)
            m.d.comb += pixel.step.eq(taken)
        if high > 1:
            m.submodules.row_line = row = self._line(self.pooling.row_words)
            m.d.comb += row.step.eq(delayed(m, taken & raster.last_column, JOIN, "row_step"))
        first = delayed(m, raster.first_column, MEMORY, "first_column")
        in_row = self._joined(m, pixel, first, delayed(m, x.as_value(), MEMORY, "x"), "in_row")
        first = delayed(m, raster.first_row, MEMORY + JOIN, "first_row")
        return self._joined(m, row, first, in_row.as_value(), "total")

    def _line(self, words: int) -> Line:
        """A line of what is kept of unfinished windows."""
        return Line(words=words, bits=self.pooling.partial_bits)

    def _joined(self, m: Module, line: Line | None, first: Value, new: Value, name: str) -> Any:
        """A register of `new` joined with what `line` kept, which is replaced, or `first` alone."""
        result = Signal(self.partial, name=name)
        if line is None:
            m.d.sync += result.eq(new)
            return result
        old = data.View(self.partial, line.old)
        m.d.comb += line.new.eq(Mux(first, new, self._both(old, data.View(self.partial, new))))
        m.d.sync += result.eq(line.new)
        return result

    def _both(self, old: Any, new: Any) -> Value:
        """The sum of two parts of a window, or the larger one with its place, of equals the old."""
        if self.pooling.average:
            return (old.value + new.value)[: self.pooling.partial_bits]
        return Mux(new.value > old.value, new.as_value(), old.as_value())

    def _backward(self, m: Module, stash: Stash | None) -> None:
        """Take dy, recall what its window needs, send dx."""
        numbers, rows = self.pooling, self.rows
        m.submodules.rows = rows
        m.submodules.inputs = queue = Scatter(
            bits=numbers.dx.bits, lanes=1, count=1, depth=QUEUE_WORDS
        )
        taken = Signal(name="taken")
        dy, frac = delayed(m, self.dy.payload, 1, "dy"), numbers.dy.frac
        if numbers.average:
            dy, frac = divided(m, dy, numbers.share, "share"), frac + numbers.share.shift
        dx, _ = narrow(dy, frac, numbers.dx, numbers.round_error)
        word = delayed(m, dx, MEMORY - 1, "narrowed")
        passes: Value = C(1, 1)
        if stash is not None and numbers.average:
            m.d.comb += stash.read.eq(rows.step)
            passes = stash.oldest
        elif stash is not None:
            m.d.comb += stash.read.eq(taken)
            word = Cat(word, stash.oldest)
            place = delayed(m, rows.place, MEMORY, "place_made")
            passes = rows.found[numbers.dx.bits :] == place
        m.d.comb += [
            self.dy.ready.eq(rows.room),
            taken.eq(self.dy.valid & self.dy.ready),
            rows.reserve.eq(taken),
            rows.write.eq(delayed(m, taken, MEMORY + numbers.sharing, "dy_taken")),
            rows.word.eq(word),
            rows.able.eq(queue.room),
            queue.reserve.eq(rows.step),
            queue.push.eq(delayed(m, rows.step, MEMORY, "step")),
            queue.word.eq(Mux(passes, rows.found[: numbers.dx.bits], 0)),
        ]
        queue.leaves_by(m, self.dx)
