"""The walk: which tile of which position a unit issues in each cycle, and when it has to wait."""

from __future__ import annotations

from amaranth.hdl import C, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import rest
from counterflow.hw.weighted.place import Place, shapes_of


class Walk(wiring.Component):
    """Visits all tiles at each position of a slot, `phases` cycles a tile, slots `interval` apart.

    Positions follow each other row by row, and at each of them the tiles, row by row.  A slot
    starts once `threshold` words of its input have arrived; within it a tile waits only for what it
    needs itself: its input word, its row's gradient, room behind.  A slot that is late, since the
    one before it had to wait, follows it at once, or after the `design.units.timing.rest` in which
    the last tiles are written.

    Parameters: ``stage``; ``interval`` in cycles.
    Members, in: ``words`` of the current image that have arrived, ``word``: one more arrives;
    ``returning``: this slot has a backward token; ``error_ready``: the row's gradient is there;
    ``row_room``: a row of outputs can be reserved; ``line_room``: the rows of input gradient that
    end with this row of places can be; ``hold``: start no slot.
    Out: ``issue`` high in each cycle in which a tile is issued, one before its visit
    (`hw.weighted.visit`), with ``phase``, ``row``, ``column``, ``tile``; ``kernel_row`` and
    ``part``, of which the column is made; ``offset`` and ``shift``: the word of the image's row,
    and the granule in it, at which the tile's taps begin; ``inside``: that row is in the image;
    where the walk is (``first_row`` ... ``last_down``); ``line_end``: the last tile of a row of
    the kernel, ``row_begin``, ``row_end`` the first and last cycle of a row of tiles,
    ``place_down`` the last one of a row of places, ``finish`` that of a slot; ``rows_done``,
    ``words_done``: rows of the image, and their words, that end with this row of places; ``idle``
    between slots; ``stalled``: a slot is due or under way, and waits; ``arrived``: the words that
    its next tile needs are there.
    """

    def __init__(self, *, stage: Stage, interval: int) -> None:
        self.stage, self.interval = stage, interval
        self.shapes = shapes_of(stage)
        strobes = ("issue", "line_end", "row_begin", "row_end", "place_down", "finish")
        super().__init__(
            {
                "words": In(range(2 * stage.tiling.image_words + 2 * stage.depths.window + 1)),
                "word": In(1),
                **{name: In(1) for name in ("returning", "error_ready", "row_room", "line_room")},
                "hold": In(1),
                **{name: Out(1) for name in (*strobes, "idle", "stalled", "arrived")},
                "phase": Out(2),
                **{name: Out(shape) for name, shape in self.shapes.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        due, begun, started = (Signal(name=name) for name in ("due", "begun", "started"))
        last_phase, first_phase = Signal(), Signal(init=1)
        m.submodules.ahead = ahead = Place(stage=self.stage)
        done = self.issue & last_phase
        self._arrived(m, ahead)
        m.d.comb += [ahead.step.eq(done | ~begun), started.eq(self.issue & self.idle)]
        m.d.sync += begun.eq(1)
        with m.If(ahead.step):
            m.d.sync += [getattr(self, name).eq(getattr(ahead, name)) for name in self.shapes]
        with m.If(self.issue):
            m.d.sync += [
                self.phase.eq(Mux(last_phase, 0, self.phase + 1)),
                first_phase.eq(last_phase),
            ]
        m.d.comb += [
            last_phase.eq(self.phase == self.stage.tiling.phases - 1),
            self.idle.eq((self.starts_slot & first_phase) | ~begun),
            due.eq(~self.idle | self._elapsed(m, started)),
            self.issue.eq(~first_phase | (due & self.arrived & self._able())),
            self.stalled.eq(due & ~self.issue),
            self.row_begin.eq(self.issue & self.first_column & first_phase),
            self.line_end.eq(done & self.last_part),
            self.row_end.eq(done & self.last_column),
            self.place_down.eq(done & self.ends_line),
            self.finish.eq(done & self.ends_slot),
        ]
        return m

    def _arrived(self, m: Module, ahead: Place) -> None:
        """Whether the words that the tile needs are there, out of a register.

        Compared a cycle before, for this tile and for the next one, whose slot may be the next.
        """

        def there(needed: Value) -> Value:
            return Mux(self.word, self.words >= needed, self.words > needed)

        needed = Signal(Shape(len(self.needed) + 1, signed=True))
        first = self.stage.threshold - 1 + self.stage.tiling.image_words
        m.d.comb += needed.eq(Mux(ahead.starts_slot, first, ahead.needed))
        stays, follows = ~self.uses | there(self.needed), ~ahead.uses | there(needed)
        m.d.sync += self.arrived.eq(Mux(ahead.step, follows, stays))

    def _able(self) -> Value:
        """Whether all else that the tile waits for is there."""
        error = ~self.first_column | ~self.returning | self.error_ready
        room = ~self.first_column | self.row_room
        line_room = ~self.starts_line | ~self.returning | self.line_room
        return error & room & line_room & ~(self.idle & self.hold)

    def _elapsed(self, m: Module, started: Value) -> Value:
        """Whether a slot may start: an interval after the one before, and after its rest.

        Also not in the first cycle after reset, in which the walk gets to its first tile.
        """
        rest_of_interval = _countdown(m, started, self.interval - 1, "wait", init=1)
        return rest_of_interval & _countdown(m, self.finish, rest(self.stage.tiling), "left")


def _countdown(m: Module, start: Value, cycles: int, name: str, init: int = 0) -> Value:
    """Whether more than so many cycles have gone by since `start`, out of a register."""
    if not cycles:
        return C(1)
    left = Signal(range(cycles + 1), init=init, name=name)
    over = Signal(init=not init, name=f"{name}_over")
    with m.If(left != 0):
        m.d.sync += left.eq(left - 1)
    m.d.sync += over.eq(left <= 1)
    with m.If(start):
        m.d.sync += [left.eq(cycles), over.eq(0)]
    return over
