"""The walk: which tile of which position a unit visits in each cycle, and when it has to wait."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.schedule import Stage
from counterflow.tiling import Tiling
from counterflow.timing import rest
from hw.pipeline import times_constant


def offset_shape(tiling: Tiling) -> Shape:
    """Holds the word of an image row at which a word of the kernel begins, left of it too."""
    left = tiling.geometry.padding[1] * tiling.geometry.channels
    return Shape.cast(range(-left - tiling.lanes.inputs, tiling.row_words + tiling.parts + 2))


class Walk(wiring.Component):
    """Visits all tiles at each position of a slot, `phases` cycles a tile, slots `interval` apart.

    Positions follow each other row by row, and at each of them the tiles, row by row.  A slot
    starts once `threshold` words of its input have arrived; within it a tile waits only for what it
    needs itself: its input word, its row's gradient, room behind.  A slot that is late, since the
    one before it had to wait, follows it at once, or after the `counterflow.timing.rest` in which
    the last tiles are written.

    Parameters: ``stage``; ``interval`` in cycles.
    Members, in: ``words`` of the current image that have arrived; ``returning``: this slot has a
    backward token; ``error_ready``: the row's gradient is there; ``row_room``: a row of outputs can
    be reserved; ``line_room``: the rows of input gradient that end with this row of places can be;
    ``hold``: start no slot.
    Out: ``issue`` high in each cycle in which a tile is visited, with ``phase``, ``row``,
    ``column``, ``tile``; ``kernel_row`` and ``part``, of which the column is made; ``offset``
    and ``shift``: the word of the image's row, and the granule in it, at which the tile's taps
    begin; ``inside``: that row is in the image; where the walk is (``first_row`` ...
    ``last_down``); ``line_end``: the last tile of a row of the kernel, ``row_begin``,
    ``row_end`` the first and last cycle of a row of tiles, ``place_down`` the last one of a row
    of places, ``finish`` that of a slot; ``rows_done``, ``words_done``: rows of the image, and
    their words, that end with this row of places; ``idle`` between slots; ``stalled``: a slot
    is due or under way, and waits.
    """

    def __init__(self, *, stage: Stage, interval: int) -> None:
        self.stage, self.interval = stage, interval
        tiling = stage.tiling
        geometry = tiling.geometry
        where = ("row", "column", "part", "across", "down")
        flags = [f"{end}_{what}" for what in where for end in ("first", "last")]
        strobes = ("issue", "line_end", "row_begin", "row_end", "place_down", "finish")
        super().__init__(
            {
                "words": In(range(2 * tiling.image_words + 2 * stage.depths.window + 1)),
                **{name: In(1) for name in ("returning", "error_ready", "row_room", "line_room")},
                "hold": In(1),
                **{name: Out(1) for name in (*flags, *strobes, "inside", "idle", "stalled")},
                "phase": Out(2),
                "row": Out(range(max(2, tiling.rows))),
                "column": Out(range(max(2, tiling.columns))),
                "tile": Out(range(max(2, tiling.tiles))),
                "kernel_row": Out(range(max(2, geometry.kernel[0]))),
                "part": Out(range(max(2, tiling.parts))),
                "offset": Out(offset_shape(tiling)),
                "shift": Out(range(max(2, tiling.banks))),
                "rows_done": Out(range(geometry.image[0] + 1)),
                "words_done": Out(range(tiling.image_words + 1)),
            }
        )
        self.next_start = Signal(offset_shape(tiling))  # of the kernel one place further on
        self.across = Signal(range(max(2, geometry.places[1])))
        self.down = Signal(range(max(2, geometry.places[0])))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiling, geometry = self.stage.tiling, self.stage.tiling.geometry
        last_phase, due, able, resting = (
            Signal(name=name) for name in ("last_phase", "due", "able", "resting")
        )
        wait = Signal(range(max(2, self.interval)))
        pause = rest(self.stage.tiling)
        left = Signal(range(pause + 1)) if pause else C(0, 1)
        for what, value, count in (
            ("row", self.row, tiling.rows),
            ("column", self.column, tiling.columns),
            ("part", self.part, tiling.parts),
            ("across", self.across, geometry.places[1]),
            ("down", self.down, geometry.places[0]),
        ):
            m.d.comb += [
                getattr(self, f"first_{what}").eq(value == 0),
                getattr(self, f"last_{what}").eq(value == count - 1),
            ]
        done = self.issue & last_phase
        m.d.comb += [
            last_phase.eq(self.phase == tiling.phases - 1),
            resting.eq((self.tile == 0) & (self.phase == 0)),
            self.idle.eq(resting & self.first_across & self.first_down),
            due.eq(Mux(self.idle, (wait == 0) & (left == 0), 1)),
            self.issue.eq((self.phase != 0) | (due & able)),
            self.stalled.eq(due & ~self.issue),
            self.row_begin.eq(self.issue & self.first_column & (self.phase == 0)),
            self.line_end.eq(done & self.last_part),
            self.row_end.eq(done & self.last_column),
            self.place_down.eq(self.row_end & self.last_row & self.last_across),
            self.finish.eq(self.place_down & self.last_down),
        ]
        self._count(m, done)
        needed = self._taps(m, done)
        arrived = Mux(self.idle, (self.words >= self.stage.threshold) & ~self.hold, needed)
        error = ~self.first_column | ~self.returning | self.error_ready
        begins = self.first_across & self.first_row & self.first_column
        room = (~self.first_column | self.row_room) & (~begins | ~self.returning | self.line_room)
        m.d.comb += able.eq(arrived & error & room)
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.issue):
            m.d.sync += self.phase.eq(Mux(last_phase, 0, self.phase + 1))
            with m.If(self.idle):
                m.d.sync += wait.eq(self.interval - 1)
        if pause:
            with m.If(self.finish):
                m.d.sync += left.eq(pause)
            with m.Elif(left != 0):
                m.d.sync += left.eq(left - 1)
        self._rows_done(m)
        return m

    def _count(self, m: Module, done: Value) -> None:
        """On to the next tile, row of tiles, position, row of positions, and image."""
        with m.If(done):
            m.d.sync += [
                self.part.eq(Mux(self.last_part, 0, self.part + 1)),
                self.column.eq(Mux(self.last_column, 0, self.column + 1)),
                self.tile.eq(Mux(self.last_row & self.last_column, 0, self.tile + 1)),
            ]
            with m.If(self.last_part):
                m.d.sync += self.kernel_row.eq(Mux(self.last_column, 0, self.kernel_row + 1))
            with m.If(self.last_column):
                m.d.sync += self.row.eq(Mux(self.last_row, 0, self.row + 1))
                with m.If(self.last_row):
                    m.d.sync += self.across.eq(Mux(self.last_across, 0, self.across + 1))
                    with m.If(self.last_across):
                        m.d.sync += self.down.eq(Mux(self.last_down, 0, self.down + 1))

    def _taps(self, m: Module, done: Value) -> Value:
        """Where in the image the tile's taps lie; whether all of them have arrived.

        What the next tile needs is found before it comes, since much hangs on `issue`.
        """
        tiling, geometry = self.stage.tiling, self.stage.tiling.geometry
        height, row, top = geometry.image[0], tiling.row_words, geometry.padding[0]
        below = self._move_down(m, done, -top, height + top, geometry.stride[0], "y")
        line = self._move_down(
            m, done, -top * row, (height + top) * row, geometry.stride[0], "line", row
        )
        offset, shift = self._move_across(m, done)
        first = self.first_word[0] + (self.first_word[1] != 0)
        last = Signal(self.offset.shape())
        m.d.comb += last.eq(offset + (shift != 0))
        in_row = Mux(last > row - 1, row - 1, last)
        needed = Signal(signed(len(line) + 1), init=min(first, row - 1) - top * row)
        uses = Signal(init=top == 0 and first >= 0)
        inside = Signal(init=top == 0)
        within = (below >= 0) & (below < height)
        with m.If(done):
            m.d.sync += [needed.eq(line + in_row), uses.eq(within & (last >= 0)), inside.eq(within)]
        m.d.comb += self.inside.eq(inside)
        return ~uses | (self.words > needed)

    def _move_down(
        self, m: Module, done: Value, first: int, limit: int, stride: int, name: str, unit: int = 1
    ) -> Value:
        """The next tile's row of the image, in steps of `unit`, which starts at `first`."""
        shape = Shape.cast(range(first, limit + 1))
        now, top = Signal(shape, init=first), Signal(shape, init=first)
        then, next_top = Signal(shape, name=f"next_{name}"), Signal(shape, name=f"next_{name}_top")
        m.d.comb += next_top.eq(Mux(self.last_down, first, top + stride * unit))
        place_down = self.last_column & self.last_row & self.last_across
        on = Mux(self.last_part, now + unit, now)
        m.d.comb += then.eq(Mux(place_down, next_top, Mux(self.last_column, top, on)))
        with m.If(done):
            m.d.sync += now.eq(then)
            with m.If(place_down):
                m.d.sync += top.eq(next_top)
        return then

    def _move_across(self, m: Module, done: Value) -> tuple[Value, Value]:
        """The next tile's word and granule of the row: steps of a word in the kernel's row."""
        tiling, geometry = self.stage.tiling, self.stage.tiling.geometry
        banks, granule = tiling.banks, tiling.granule
        first, turn = divmod(-geometry.padding[1] * geometry.channels // granule, banks)
        step, step_turn = divmod(geometry.stride[1] * geometry.channels // granule, banks)
        start = Signal(offset_shape(tiling), init=first)
        offset = Signal(offset_shape(tiling), init=first)
        shift = Signal(range(max(2, banks)), init=turn)
        then, turned = Signal.like(offset, init=0), Signal.like(shift, init=0)
        sum_of_turns = shift + step_turn
        over = sum_of_turns >= banks
        place_ends = self.last_column & self.last_row
        m.d.comb += [
            self.offset.eq(offset),
            self.shift.eq(shift),
            self.next_start.eq(Mux(self.last_across, first, start + step + over)),
            then.eq(Mux(place_ends, self.next_start, Mux(self.last_part, start, offset + 1))),
            turned.eq(Mux(self.last_across, turn, Mux(over, sum_of_turns - banks, sum_of_turns))),
        ]
        with m.If(done):
            m.d.sync += offset.eq(then)
            with m.If(place_ends):
                m.d.sync += [start.eq(self.next_start), shift.eq(turned)]
        self.first_word = first, turn
        return then, Mux(place_ends, turned, shift)

    def _rows_done(self, m: Module) -> None:
        """The same for almost all rows of places; padding and the bottom make exceptions."""
        geometry, before = self.stage.tiling.geometry, 0

        def done(rows: int) -> list[Value]:
            return [
                self.rows_done.eq(rows),
                self.words_done.eq(rows * self.stage.tiling.row_words),
            ]

        m.d.comb += done(geometry.stride[0])
        for place in range(geometry.places[0]):
            rows, before = geometry.rows_done(place) - before, geometry.rows_done(place)
            if rows != geometry.stride[0]:
                with m.If(self.down == place):
                    m.d.comb += done(rows)


def granule_flags(m: Module, walk: Any) -> tuple[Value, Value, Value]:
    """(inside, first, last) of each granule of the tile's taps, lowest first.

    Of a `Walk` or a `hw.visit.Visit`.  Whether it stands in the image and belongs to the kernel;
    whether the tile is the first, the last one at all to see that place of the image.
    """
    tiling, geometry = walk.stage.tiling, walk.stage.tiling.geometry
    banks, granule = tiling.banks, tiling.granule
    in_row = -(-geometry.row_inputs // granule)
    in_kernel = -(-geometry.row_taps // granule)
    new = -(-(geometry.kernel[1] - geometry.stride[1]) * geometry.channels // granule)
    old = geometry.stride[1] * geometry.channels // granule
    first_down = walk.first_down | (walk.kernel_row >= geometry.kernel[0] - geometry.stride[0])
    last_down = walk.last_down | (walk.kernel_row < geometry.stride[0])
    inside, first, last = [], [], []
    for index in range(banks):
        place = times_constant(walk.offset, banks) + walk.shift + index
        tap = times_constant(walk.part, banks) + index
        inside.append(walk.inside & (place >= 0) & (place < in_row) & (tap < in_kernel))
        first.append(walk.first_row & first_down & (walk.first_across | (tap >= new)))
        last.append(walk.last_row & last_down & (walk.last_across | (tap < old)))
    return Cat(inside), Cat(first), Cat(last)
