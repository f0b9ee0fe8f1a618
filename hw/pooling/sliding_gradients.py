"""Gradients of windows that overlap: for each element of the image, those of all it is in."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.formats import signed_for
from counterflow.design.units.latency import MEMORY
from counterflow.design.units.sliding import Sliding
from counterflow.design.units.windows import Axis
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, summed, times_constant
from counterflow.hw.parts.streams import signed_lanes
from counterflow.hw.pooling.rings import Line, Stash
from counterflow.hw.pooling.sweep import Course, Sweep


class SlidingGradients(wiring.Component):
    """Takes a word of gradient a window and gives, element by element, the sum of those it is in.

    A window's word is taken with the window's first step, and stands in a word of its column, the
    youngest in slot 0, until its last row; beside it goes from pixel to pixel what its row needs.

    Parameters: ``pooling``.
    Members: ``room`` out: a word can be reserved, ``reserve`` in; ``write`` in with ``word`` (dy,
    then the place of a maximum), some cycles later; ``able`` in: an element can be made, ``step``
    out: it is; ``total`` out, its sum, MEMORY + `column_latency` + `summing` cycles later.
    Cost: lines and memory of `Sliding.memories`, gradients, gradient row and gradient pixel; an
    adder for each window that an element can be in; a step a cycle.
    """

    def __init__(self, *, pooling: Sliding) -> None:
        self.pooling = pooling
        self.total_shape = shape_of(signed_for(pooling.overlaps * pooling.dy.magnitude, 0))
        super().__init__(
            {
                "room": Out(1),
                "reserve": In(1),
                "write": In(1),
                "word": In(pooling.gradient_bits),
                "able": In(1),
                "step": Out(1),
                "total": Out(self.total_shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.pooling
        down, across = numbers.windows.down, numbers.windows.across
        m.submodules.words = words = Stash(words=numbers.gradient_words, bits=numbers.gradient_bits)
        m.submodules.sweep = sweep = Sweep(
            down=_course(down), across=_course(across), channels=numbers.channels
        )
        fresh = Signal(range(numbers.gradient_words + 1), name="fresh")  # written and not yet used
        step = Signal(name="step")
        begins = Signal(name="begins")
        begins_column = Signal(name="begins_column")
        row_turns, row_begins = _turns(down, sweep.row, sweep.row_phase)
        column_turns, column_begins = _turns(across, sweep.column, sweep.column_phase)
        inside = (sweep.row >= down.lead) & (sweep.column >= across.lead)
        m.d.comb += [
            begins.eq(row_begins & column_begins),
            step.eq((self.able | ~inside) & ((fresh != 0) | ~begins)),
            begins_column.eq(step & column_begins),
            sweep.step.eq(step),
            self.step.eq(step & inside),
            self.room.eq(words.room),
            words.reserve.eq(self.reserve),
            words.write.eq(self.write),
            words.word.eq(self.word),
            words.read.eq(step & begins),
        ]
        m.d.sync += fresh.eq(fresh + self.write - (step & begins))
        rows = _valid(down, sweep.row, sweep.row_phase)
        column = self._column(m, row_turns, rows, begins_column, words.oldest)
        late = MEMORY + numbers.column_latency
        columns = self._row(m, column_turns, step, column)
        valid = delayed(m, _valid(across, sweep.column, sweep.column_phase), late, "columns_valid")
        terms = self._terms(m, columns, valid, delayed(m, rows, late, "rows_valid"), sweep)
        m.d.comb += self.total.eq(summed(m, terms, "sum", levels=numbers.summing))
        return m

    def _column(
        self, m: Module, turns: Value, valid: Value, step: Value, new: Value
    ) -> list[Value]:
        """What is kept of a column of windows, youngest first, or the sum of their dy."""
        numbers, axis = self.pooling, self.pooling.windows.down
        bits = numbers.gradient_bits
        slots: list[Value] = [new]
        if axis.kept_back:
            m.submodules.row_line = line = Line(words=numbers.row_words, bits=axis.kept_back * bits)
            m.d.comb += line.step.eq(step)
            turned = delayed(m, turns, MEMORY, "row_turns")
            slots = _shifted(turned, new, line.old, bits, axis)
            m.d.comb += line.new.eq(Cat(slots[: axis.kept_back]))
        if not numbers.average:
            return [delayed(m, Cat(slots), numbers.column_latency, "column")]
        flags = delayed(m, valid, MEMORY, "row_valid")
        dy = [Mux(flag, one, 0) for flag, one in zip(flags, self._dy(slots), strict=True)]
        column = Signal(numbers.column_bits, name="column")
        m.d.comb += column.eq(summed(m, dy, "column", levels=numbers.column_latency))
        return [column]

    def _row(self, m: Module, turns: Value, step: Value, column: list[Value]) -> list[Value]:
        """The columns of windows that an element may be in, youngest first."""
        numbers, axis = self.pooling, self.pooling.windows.across
        if not axis.kept_back:
            return column
        bits, late = numbers.column_bits, numbers.column_latency
        m.submodules.pixel_line = line = Line(words=numbers.channels, bits=axis.kept_back * bits)
        turned = delayed(m, turns, MEMORY + late, "column_turns")
        slots = _shifted(turned, column[0], line.old, bits, axis)
        m.d.comb += [
            line.step.eq(delayed(m, step, late, "pixel_step")),
            line.new.eq(Cat(slots[: axis.kept_back])),
        ]
        return slots

    def _terms(
        self, m: Module, columns: list[Value], valid: Value, rows: Value, sweep: Sweep
    ) -> list[Value]:
        """What is added: sums of columns, or dy of the windows whose maximum the element is."""
        numbers, windows = self.pooling, self.pooling.windows
        if numbers.average:
            sums = [one.as_signed() for one in columns]
            return [Mux(flag, one, 0) for flag, one in zip(valid, sums, strict=True)]
        wide, bits = windows.across.kernel, numbers.gradient_bits
        at = times_constant(sweep.row_phase, wide) + sweep.column_phase
        at = delayed(m, at[: numbers.place_bits], MEMORY + numbers.column_latency, "at")
        found: list[Value] = []
        for i, column in enumerate(columns):
            for j in range(windows.down.overlap):
                word = column[j * bits : (j + 1) * bits]
                offset = i * windows.across.stride + j * windows.down.stride * wide
                place = (at + offset)[: numbers.place_bits]
                here = valid[i] & rows[j] & (word[numbers.dy.bits :] == place)
                found.append(Mux(here, self._dy([word])[0], 0))
        return found

    def _dy(self, words: list[Value]) -> list[Value]:
        """The gradients in words of them."""
        shape, bits = shape_of(self.pooling.dy), self.pooling.dy.bits
        return [signed_lanes(word[:bits], shape, 1)[0] for word in words]


def _course(axis: Axis) -> Course:
    """The walk back; a window begins with phase 0, the first one with the first step."""
    return Course(axis.steps_back, axis.stride, axis.inset)


def _turns(axis: Axis, place: Value, phase: Value) -> tuple[Value, Value]:
    """Whether a window would begin with the step at `place`, and whether there is one."""
    turns = (phase == 0) | (place == 0)
    return turns, turns & (place <= int(axis.begins[-1]))


def _valid(axis: Axis, place: Value, phase: Value) -> Value:
    """For each slot, whether its window is one of the image's and the step inside of it."""
    flags = []
    for slot in range(axis.overlap):
        begun = place >= max(0, slot * axis.stride - axis.inset)
        exists = place < (axis.count + slot) * axis.stride - axis.inset
        flags.append(begun & exists & (phase < axis.kernel - slot * axis.stride))
    return Cat(flags)


def _shifted(turned: Value, new: Value, old: Value, bits: int, axis: Axis) -> list[Value]:
    """Slots of windows, youngest first: those kept in `old`, `new` in front where it turned."""
    kept = [old.word_select(slot, bits) for slot in range(axis.kept_back)]
    behind = [*kept, kept[-1]]  # what is beyond those kept counts for nothing
    return [Mux(turned, ([new, *kept])[slot], behind[slot])[:bits] for slot in range(axis.overlap)]
