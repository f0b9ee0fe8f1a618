"""Where a walk goes next: the place of the tile after the one that is issued."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.slots import Stage
from counterflow.design.units.tiling import Tiling
from counterflow.hw.parts.counter import around

WHERE = ("row", "column", "part", "across", "down")
FLAGS = tuple(f"{end}_{what}" for what in WHERE for end in ("first", "last"))
BORDERS = ("starts_slot", "starts_line", "ends_line", "ends_slot")
# What decides whether a tile can be visited, and what its visit takes.
DECISIVE = (
    *("first_row", "first_column", "first_across", "last_part", "last_column"),
    *(*BORDERS, "uses", "needed", "rows_done"),
)


def offset_shape(tiling: Tiling) -> Shape:
    """Holds the word of an image row at which a word of the kernel begins, left of it too."""
    left = tiling.geometry.padding[1] * tiling.geometry.channels
    return Shape.cast(range(-left - tiling.lanes.inputs, tiling.row_words + tiling.parts + 2))


def shapes_of(stage: Stage) -> dict[str, Shape]:
    """All that is said of a tile's place, with the shapes of the signals that say it."""
    tiling, geometry = stage.tiling, stage.tiling.geometry
    offset, bits = offset_shape(tiling), tiling.banks
    above = geometry.padding[0] * tiling.row_words
    found: dict[str, Shape | int | range] = {
        **dict.fromkeys((*FLAGS, *BORDERS, "inside", "uses"), 1),
        "column": range(max(2, tiling.columns)),
        "tile": range(max(2, tiling.tiles)),
        "kernel_row": range(max(2, tiling.kernel_rows)),
        "part": range(max(2, tiling.parts)),
        "offset": offset,
        "shift": range(max(2, tiling.banks)),
        "next_start": offset,
        "rows_done": range(geometry.image[0] + 1),
        "words_done": range(tiling.image_words + 1),
        "needed": range(
            -above - 1, (geometry.image[0] + geometry.padding[0] + 1) * tiling.row_words
        ),
        "offsets": bits * offset.width,
        **dict.fromkeys(("granules_inside", "granules_first", "granules_last"), bits),
    }
    return {name: Shape.cast(shape) for name, shape in found.items()}


def seen(value: Value, kernel_row: Value, tiling: Tiling) -> Value:
    """`value` in a row of the kernel, zero in one that sees nothing: see `Tiling.kernel_rows`."""
    kernel = tiling.geometry.kernel[0]
    return Mux(kernel_row < kernel, value, 0) if tiling.kernel_rows > kernel else value


class Place(wiring.Component):
    """Goes through the tiles of all positions in order; stands three tiles ahead of the walk.

    What follows from a place (flags, addresses, what must have arrived) takes most of a cycle to
    find.  It is found before, so that it is there at a register's output when it is needed, a tile
    earlier for what must be compared with it, and another one since it follows the walk's steps a
    cycle later: they are known late, and all registers of a place would have to hear of them.

    Parameters: ``stage``.
    Members: ``step`` in: on to the following tile.  Out, of the tile at which it stands: its
    ``column`` and number ``tile``; ``kernel_row`` and ``part``, of which the column is made;
    ``offset`` and ``shift``: the word of the image's row, and the granule in it, at which the
    tile's taps begin;
    ``inside``: that row is in the image; ``first_row`` ... ``last_down``; ``rows_done``,
    ``words_done``: rows of the image, and their words, that end with this row of places;
    ``starts_line`` ... ``ends_slot``: the first or last one of a row of places or a slot; ``uses``:
    it needs the image's word ``needed``, the first of a slot that with which a slot may start;
    ``next_start``: where the kernel begins one place further on; ``offsets`` of the granules, by
    bank; ``granules_inside``, ``granules_first``, ``granules_last`` as `granule_flags`.
    Cost: a counter each.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        super().__init__({"step": In(1), **{k: Out(v) for k, v in shapes_of(stage).items()}})
        geometry = stage.tiling.geometry
        self.row = Signal(range(max(2, stage.tiling.rows)), name="row")
        self.across = Signal(range(max(2, geometry.places[1])), name="across")
        self.down = Signal(range(max(2, geometry.places[0])), name="down")
        self.last = Signal(offset_shape(stage.tiling), name="last")
        banks, lowest = stage.tiling.banks, offset_shape(stage.tiling)
        self.begin = Signal(
            Shape(lowest.width + banks.bit_length(), signed=True), name="begin"
        )  # in granules

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._count(m)
        m.d.comb += [
            self.starts_line.eq(self.first_across & self.first_row & self.first_column),
            self.starts_slot.eq(self.starts_line & self.first_down),
            self.ends_line.eq(self.last_across & self.last_row & self.last_column),
            self.ends_slot.eq(self.ends_line & self.last_down),
        ]
        self._taps(m)
        self._rows_done(m)
        inside, first, last = granule_flags(m, self)
        m.d.comb += [
            self.granules_inside.eq(inside),
            self.granules_first.eq(first),
            self.granules_last.eq(last),
        ]
        return m

    def _count(self, m: Module) -> None:
        """On to the next tile, row of tiles, position, row of positions, and image."""
        tiling, geometry = self.stage.tiling, self.stage.tiling.geometry
        row = self.step & self.last_column
        across = row & self.last_row
        for what, value, step, count in (
            ("part", self.part, self.step, tiling.parts),
            ("column", self.column, self.step, tiling.columns),
            ("row", self.row, row, tiling.rows),
            ("across", self.across, across, geometry.places[1]),
            ("down", self.down, across & self.last_across, geometry.places[0]),
        ):
            first, last = around(m, value, step, count)
            m.d.comb += [
                getattr(self, f"first_{what}").eq(first),
                getattr(self, f"last_{what}").eq(last),
            ]
        with m.If(self.step):
            m.d.sync += self.tile.eq(Mux(self.last_row & self.last_column, 0, self.tile + 1))
            with m.If(self.last_part):
                m.d.sync += self.kernel_row.eq(Mux(self.last_column, 0, self.kernel_row + 1))

    def _taps(self, m: Module) -> None:
        """Where in the image the tile's taps lie, and what of it must have arrived."""
        tiling, geometry = self.stage.tiling, self.stage.tiling.geometry
        height, row, top = geometry.image[0], tiling.row_words, geometry.padding[0]
        below = self._below(m, "y", 1)
        line = self._below(m, "line", row) if row > 1 else below
        self._across(m)
        inside = (below >= 0) & (below < height) if top else below < height
        m.d.comb += [
            self.inside.eq(seen(inside, self.kernel_row, tiling)),
            self.uses.eq(self.starts_slot | (self.inside & (self.last >= 0))),
            self.needed.eq(
                Mux(
                    self.starts_slot,
                    self.stage.threshold - 1,
                    line + self.last,
                )
            ),
        ]
        # Granules before the one at which a word of the kernel begins are the image's next word's.
        banks = range(tiling.banks)
        m.d.comb += self.offsets.eq(
            Cat((self.offset + (self.shift > bank))[: len(self.offset)] for bank in banks)
        )

    def _below(self, m: Module, name: str, unit: int) -> Signal:
        """The row of the image under the tile's row of the kernel, counted in steps of `unit`."""
        geometry = self.stage.tiling.geometry
        first = -geometry.padding[0] * unit
        beyond = self.stage.tiling.kernel_rows - geometry.kernel[0]
        limit = (geometry.image[0] + geometry.padding[0] + beyond) * unit
        shape = Shape.cast(range(first, limit + 1))
        now, top = (Signal(shape, name=name + what, init=first) for what in ("", "_top"))
        next_top = Signal(shape, name=f"{name}_next_top")
        place_down = self.last_column & self.last_row & self.last_across
        m.d.comb += next_top.eq(Mux(self.last_down, first, top + geometry.stride[0] * unit))
        on = Mux(self.last_part, now + unit, now)
        with m.If(self.step):
            m.d.sync += now.eq(Mux(place_down, next_top, Mux(self.last_column, top, on)))
            with m.If(place_down):
                m.d.sync += top.eq(next_top)
        return now

    def _across(self, m: Module) -> None:
        """Word and granule of the row at which the taps begin; words follow in the kernel's row."""
        tiling, geometry = self.stage.tiling, self.stage.tiling.geometry
        banks, granule = tiling.banks, tiling.granule
        first_begin = -geometry.padding[1] * geometry.channels // granule
        first, turn = divmod(first_begin, banks)
        begin_step = geometry.stride[1] * geometry.channels // granule
        step, step_turn = divmod(begin_step, banks)
        start, offset = (
            Signal(self.offset.shape(), name=name, init=first) for name in ("start", "now")
        )
        shift = Signal(self.shift.shape(), name="turn", init=turn)
        turned = Signal.like(shift, init=0, name="turned")
        sum_of_turns = shift + step_turn
        over = sum_of_turns >= banks
        place_ends = self.last_column & self.last_row
        m.d.comb += [
            self.offset.eq(offset),
            self.shift.eq(shift),
            self.next_start.eq(Mux(self.last_across, first, start + Mux(over, step + 1, step))),
            turned.eq(Mux(self.last_across, turn, Mux(over, sum_of_turns - banks, sum_of_turns))),
        ]
        with m.If(self.step):
            on = Mux(self.last_part, start, offset + 1)
            m.d.sync += offset.eq(Mux(place_ends, self.next_start, on))
            with m.If(place_ends):
                m.d.sync += [start.eq(self.next_start), shift.eq(turned)]
        self._last(m, first + (turn != 0), begin_step, start, shift)
        self._begin(m, first_begin, begin_step)

    def _last(self, m: Module, first: int, step: int, start: Value, shift: Value) -> None:
        """The last word of the row that the taps need, found with the step to the tile.

        That is `offset`, or one more where the taps begin inside a word, as far as the row has any;
        `first` in the first place, each of which is `step` granules further on.
        """
        most, banks = self.stage.tiling.row_words - 1, self.stage.tiling.banks
        last, of_row, of_next = (
            Signal.like(self.last, init=min(first, most), name=name)
            for name in ("last", "row_last", "next_last")
        )
        m.d.comb += [self.last.eq(last), of_next.eq(min(first, most))]
        with m.If(~self.last_across):
            # By as many words as the place moves on, which depends on where in a word it begins.
            with m.Switch(shift):
                for turn in range(banks):
                    words = -(-(turn + step) // banks)
                    with m.Case(turn):
                        m.d.comb += of_next.eq(Mux(start > most - words, most, start + words))
        on = Mux(last == most, most, last + 1)
        with m.If(self.step):
            m.d.sync += last.eq(Mux(self.last_part, of_row, on))
            with m.If(self.last_column & self.last_row):
                m.d.sync += [last.eq(of_next), of_row.eq(of_next)]

    def _begin(self, m: Module, first: int, step: int) -> None:
        """The same place, offset x banks + shift, as a number of granules."""
        start = Signal.like(self.begin, init=first, name="start")
        begin = Signal.like(self.begin, init=first, name="begin")
        m.d.comb += self.begin.eq(begin)
        next_start = Mux(self.last_across, first, start + step)
        with m.If(self.step):
            with m.If(self.last_column & self.last_row):
                m.d.sync += [start.eq(next_start), begin.eq(next_start)]
            with m.Else():
                further = begin + self.stage.tiling.banks
                m.d.sync += begin.eq(Mux(self.last_part, start, further))

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


def granule_flags(m: Module, place: Place) -> tuple[Value, Value, Value]:
    """(inside, first, last) of each granule of the tile's taps, lowest first.

    Whether it stands in the image and belongs to the kernel;
    whether the tile is the first, the last one at all to see that place of the image.
    """
    tiling, geometry = place.stage.tiling, place.stage.tiling.geometry
    banks, granule = tiling.banks, tiling.granule
    in_row = -(-geometry.row_inputs // granule)
    in_kernel = -(-geometry.row_taps // granule)
    new = -(-(geometry.kernel[1] - geometry.stride[1]) * geometry.channels // granule)
    old = geometry.stride[1] * geometry.channels // granule
    first_down = place.first_down | (place.kernel_row >= geometry.kernel[0] - geometry.stride[0])
    last_down = place.last_down | (place.kernel_row < geometry.stride[0])

    def within(taps: int) -> Value:
        """Whether the granule, number part x banks + index of the kernel's row, is below `taps`."""
        return place.part < max(0, -(-(taps - index) // banks))

    inside, first, last = [], [], []
    for index in range(banks):
        in_image = (place.begin >= -index) & (place.begin < in_row - index)
        inside.append(place.inside & in_image & within(in_kernel))
        first.append(place.first_row & first_down & (place.first_across | ~within(new)))
        last.append(place.last_row & last_down & (place.last_across | within(old)))
    return Cat(inside), Cat(first), Cat(last)
