"""Windows that overlap, joined element by element: as many at once as an element is in."""

from __future__ import annotations

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.latency import MEMORY
from counterflow.design.units.pooling import JOIN
from counterflow.design.units.sliding import Sliding
from counterflow.design.units.windows import Axis
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, times_constant
from counterflow.hw.pooling.rings import Line
from counterflow.hw.pooling.sweep import Course, Sweep


class Flags(NamedTuple):
    """What a step is in one direction.

    ``edge``: the image's first; ``opens``: the first of the youngest window; ``beyond``: in no
    window; ``turns``: the last of the oldest window, which gives its slot to the next.
    """

    edge: Value
    opens: Value
    beyond: Value
    turns: Value


class SlidingWindows(wiring.Component):
    """Joins each element with all windows that it is in, first along rows, then over rows.

    What is kept of windows that have begun stands in a word: the oldest in slot 0, which is whole
    when it ends; then each moves down by one slot.  The places of the slots in their windows differ
    by the stride, so that one count serves all.

    Parameters: ``pooling``.
    Members: ``step`` in, with ``x`` where it is ``inside`` (out) of the image; ``first`` out: the
    step is the first of a token; ``ends`` out: it ends a window, of which ``value`` (and, of a
    maximum, ``place``) are out MEMORY + 2 JOIN cycles later.
    Cost: lines of `Sliding.memories`, pixel and row; an adder or comparison a slot; a step a cycle.
    """

    def __init__(self, *, pooling: Sliding) -> None:
        self.pooling = pooling
        value = Shape(pooling.x.bits + pooling.growth, pooling.x.signed)
        fields: dict[str, Any] = {"value": value}
        if pooling.place_bits:  # Verilog has no signals of zero bits
            fields["place"] = pooling.place_bits
        self.partial = data.StructLayout(fields)
        super().__init__(
            {
                "step": In(1),
                "x": In(shape_of(pooling.x)),
                "inside": Out(1),
                "first": Out(1),
                "ends": Out(1),
                "result": Out(self.partial),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        windows = self.pooling.windows
        m.submodules.sweep = sweep = Sweep(
            down=_course(windows.down), across=_course(windows.across), channels=windows.channels
        )
        columns, column_ends = _flags(windows.across, sweep.column, sweep.column_phase)
        rows, row_ends = _flags(windows.down, sweep.row, sweep.row_phase)
        m.d.comb += [
            sweep.step.eq(self.step),
            self.first.eq(sweep.first),
            self.inside.eq((sweep.column < windows.across.size) & (sweep.row < windows.down.size)),
            self.ends.eq(column_ends & row_ends),
        ]
        new = Signal(self.partial, name="new")
        m.d.comb += new.value.eq(self.x)
        if self.pooling.place_bits:
            across = windows.across.kernel
            m.d.comb += new.place.eq(times_constant(sweep.row_phase, across) + sweep.column_phase)
        late = delayed(m, new.as_value(), MEMORY, "x")
        in_row = self._joined(m, "pixel", 1, columns, self.step, late, MEMORY)
        complete = delayed(m, self.step & column_ends, JOIN, "complete")
        total = self._joined(m, "row", 0, rows, complete, in_row.as_value(), MEMORY + JOIN)
        m.d.comb += self.result.eq(total)
        return m

    def _joined(
        self, m: Module, name: str, axis: int, flags: Flags, step: Value, new: Value, late: int
    ) -> Any:
        """A register of the oldest window joined with `new`, which came `late` cycles ago."""
        numbers = self.pooling
        windows = numbers.windows
        of = (windows.down, windows.across)[axis]
        words = (numbers.row_words, numbers.channels)[axis]
        distance = (windows.across.kernel, 1)[axis]  # of two places that follow each other
        edge, opens, beyond, turns = (
            delayed(m, flag, late, f"{name}_{what}")
            for what, flag in zip(Flags._fields, flags, strict=True)
        )
        result = Signal(self.partial, name=f"{name}_result")
        line, bits = None, numbers.partial_bits
        if of.kept:
            m.submodules[f"{name}_line"] = line = Line(words=words, bits=of.kept * bits)
            m.d.comb += line.step.eq(step)
        slots: list[Value] = []
        for slot in range(of.overlap):
            offset = (of.reach - of.stride - slot * of.stride) * distance
            one = self._placed(m, data.View(self.partial, new), offset, f"{name}_{slot}")
            if line is not None and slot < of.kept:
                old = data.View(self.partial, line.old.word_select(slot, bits))
                fresh = edge | opens if slot == of.overlap - 1 else edge
                joined = Mux(beyond, old.as_value(), self._both(old, one))
                slots.append(Mux(fresh, one.as_value(), joined)[:bits])
            else:
                slots.append(one.as_value())
        if line is not None:
            down = [*slots[1:], slots[-1]]  # what is in the last one then counts for nothing
            m.d.comb += line.new.eq(Mux(turns, Cat(down[: of.kept]), Cat(slots[: of.kept])))
        m.d.sync += result.eq(slots[0])
        return result

    def _placed(self, m: Module, new: Any, offset: int, name: str) -> Any:
        """`new` as a window has it in which it lies `offset` places further on."""
        placed = Signal(self.partial, name=name)
        m.d.comb += placed.value.eq(new.value)
        if self.pooling.place_bits:
            m.d.comb += placed.place.eq(new.place + offset)
        return placed

    def _both(self, old: Any, new: Any) -> Value:
        """The sum of two parts of a window, or the larger one with its place, of equals the old."""
        if self.pooling.average:
            return (old.value + new.value)[: self.pooling.partial_bits]
        return Mux(new.value > old.value, new.as_value(), old.as_value())


def _course(axis: Axis) -> Course:
    """The walk forward; a window ends with the last phase."""
    return Course(axis.steps, axis.stride, axis.stride - 1 - axis.first_end % axis.stride)


def _flags(axis: Axis, place: Value, phase: Value) -> tuple[Flags, Value]:
    """What the step at `place` is, and whether it ends a window of the image."""
    goes_on = place < axis.last_end  # there are windows behind the oldest one
    turns = (phase == axis.stride - 1) & goes_on
    beyond = place > axis.last_pixel
    if axis.stride > axis.kernel:
        beyond = beyond | (phase >= axis.kernel)
    flags = Flags(
        edge=place == 0,
        opens=(phase == axis.overlap * axis.stride - axis.reach) & goes_on,
        beyond=beyond,
        turns=turns,
    )
    return flags, (turns & (place >= axis.first_end)) | (place == axis.steps - 1)
