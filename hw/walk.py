"""The tile walk: which tile a dense unit visits in each cycle, and when it has to wait."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.schedule import Stage


class Walk(wiring.Component):
    """Visits all tiles once a slot, row by row, `phases` cycles a tile, slots `interval` apart.

    A slot starts once `threshold` words of its input have arrived; within it a tile waits only for
    what it needs itself: its input word, its row's gradient, room in the queues behind.  The next
    slot's first tile follows the last one without a gap.

    Parameters: ``stage``; ``interval`` in cycles.
    Members, in: ``words`` of the current token that have arrived; ``returning``: this slot has a
    backward token; ``error_ready``: the row's gradient is there; ``row_room``, ``word_room``: a
    row, a word of input gradient can be reserved in the output queues; ``hold``: start no slot.
    Out: ``issue`` high in each cycle in which a tile is visited, with ``phase``, ``row``,
    ``column``, ``tile``, ``first_row``, ``last_row``, ``first_column``, ``last_column``;
    ``finish`` in a slot's last cycle; ``row_begin``, ``row_end`` in a row's first and last one;
    ``idle`` between slots; ``stalled``: a slot is due or under way, and waits.
    """

    def __init__(self, *, stage: Stage, interval: int) -> None:
        self.stage, self.interval = stage, interval
        tiling = stage.tiling
        flags = ("issue", "first_row", "last_row", "first_column", "last_column", "finish")
        members = {
            "words": In(range(2 * tiling.columns + 1)),
            **{name: In(1) for name in ("returning", "error_ready", "row_room", "word_room")},
            "hold": In(1),
            **{name: Out(1) for name in (*flags, "row_begin", "row_end", "idle", "stalled")},
            "phase": Out(2),
            "row": Out(range(max(2, tiling.rows))),
            "column": Out(range(max(2, tiling.columns))),
            "tile": Out(range(max(2, tiling.tiles))),
        }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiling = self.stage.tiling
        wait = Signal(range(max(2, self.interval)))
        last_phase, due, able = Signal(), Signal(), Signal()
        m.d.comb += [
            self.first_row.eq(self.row == 0),
            self.last_row.eq(self.row == tiling.rows - 1),
            self.first_column.eq(self.column == 0),
            self.last_column.eq(self.column == tiling.columns - 1),
            last_phase.eq(self.phase == tiling.phases - 1),
            self.idle.eq((self.tile == 0) & (self.phase == 0)),
            due.eq(Mux(self.idle, wait == 0, 1)),
            self.issue.eq((self.phase != 0) | (due & able)),
            self.stalled.eq(due & ~self.issue),
            self.row_begin.eq(self.issue & self.first_column & (self.phase == 0)),
            self.row_end.eq(self.issue & self.last_column & last_phase),
            self.finish.eq(self.row_end & self.last_row),
        ]
        arrived = Mux(
            self.first_column & self.first_row,
            (self.words >= self.stage.threshold) & ~self.hold,
            ~self.first_row | (self.words > self.column),
        )
        error = ~self.first_column | ~self.returning | self.error_ready
        room = (~self.first_column | self.row_room) & (
            ~self.last_row | ~self.returning | self.word_room
        )
        m.d.comb += able.eq(arrived & error & room)
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(self.issue):
            m.d.sync += self.phase.eq(Mux(last_phase, 0, self.phase + 1))
            with m.If(self.idle):
                m.d.sync += wait.eq(self.interval - 1)
            with m.If(last_phase):
                m.d.sync += [
                    self.column.eq(Mux(self.last_column, 0, self.column + 1)),
                    self.tile.eq(Mux(self.finish, 0, self.tile + 1)),
                ]
                with m.If(self.last_column):
                    m.d.sync += self.row.eq(Mux(self.last_row, 0, self.row + 1))
        return m
