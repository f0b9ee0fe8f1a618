"""The walk: which tile of which position a unit visits in each cycle, and when it has to wait."""

from __future__ import annotations

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.schedule import Stage
from counterflow.timing import rest
from hw.place import Place, shapes_of


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
        self.shapes = shapes_of(stage)
        strobes = ("issue", "line_end", "row_begin", "row_end", "place_down", "finish")
        super().__init__(
            {
                "words": In(range(2 * stage.tiling.image_words + 2 * stage.depths.window + 1)),
                **{name: In(1) for name in ("returning", "error_ready", "row_room", "line_room")},
                "hold": In(1),
                **{name: Out(1) for name in (*strobes, "idle", "stalled")},
                "phase": Out(2),
                **{name: Out(shape) for name, shape in self.shapes.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last_phase, due, able, begun = (
            Signal(name=name) for name in ("last_phase", "due", "able", "begun")
        )
        done = self.issue & last_phase
        m.submodules.ahead = ahead = Place(stage=self.stage)
        m.d.comb += ahead.step.eq(done | ~begun)
        m.d.sync += begun.eq(1)
        with m.If(ahead.step):
            m.d.sync += [getattr(self, name).eq(getattr(ahead, name)) for name in self.shapes]
        resting = self.first_row & self.first_column & (self.phase == 0)
        m.d.comb += [
            last_phase.eq(self.phase == self.stage.tiling.phases - 1),
            self.idle.eq((resting & self.first_across & self.first_down) | ~begun),
            due.eq(Mux(self.idle, self._pause(m) & begun, 1)),
            able.eq(self._able()),
            self.issue.eq((self.phase != 0) | (due & able)),
            self.stalled.eq(due & ~self.issue),
            self.row_begin.eq(self.issue & self.first_column & (self.phase == 0)),
            self.line_end.eq(done & self.last_part),
            self.row_end.eq(done & self.last_column),
            self.place_down.eq(self.row_end & self.last_row & self.last_across),
            self.finish.eq(self.place_down & self.last_down),
        ]
        with m.If(self.issue):
            m.d.sync += self.phase.eq(Mux(last_phase, 0, self.phase + 1))
        return m

    def _able(self) -> Value:
        """Whether all that the tile waits for is there."""
        needed = ~self.uses | (self.words > self.needed)
        arrived = Mux(self.idle, (self.words >= self.stage.threshold) & ~self.hold, needed)
        error = ~self.first_column | ~self.returning | self.error_ready
        begins = self.first_across & self.first_row & self.first_column
        room = (~self.first_column | self.row_room) & (~begins | ~self.returning | self.line_room)
        return arrived & error & room

    def _pause(self, m: Module) -> Value:
        """Whether a slot may start: an interval after the one before, and after its rest."""
        wait = Signal(range(max(2, self.interval)))
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.issue & self.idle):
            m.d.sync += wait.eq(self.interval - 1)
        pause = rest(self.stage.tiling)
        left = Signal(range(pause + 1)) if pause else C(0, 1)
        if pause:
            with m.If(self.finish):
                m.d.sync += left.eq(pause)
            with m.Elif(left != 0):
                m.d.sync += left.eq(left - 1)
        return (wait == 0) & (left == 0)
