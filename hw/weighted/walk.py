"""The walk: which tile of which position a unit issues in each cycle, and when it has to wait."""

from __future__ import annotations

from amaranth.hdl import C, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import rest
from counterflow.hw.weighted.bundles import (
    Slot,
    WalkState,
    input_words,
    visit_signals,
    walk_claims,
)
from counterflow.hw.weighted.place import Place, shapes_of


class Walk(wiring.Component):
    """Visits all tiles at each position of a slot, `phases` cycles a tile, slots `interval` apart.

    Positions follow each other row by row, and at each of them the tiles, row by row.  A slot
    starts once `threshold` words of its input have arrived; within it a tile waits only for what it
    needs itself: its input word, its row's gradient, room behind.  A slot that is late, since the
    one before it had to wait, follows it at once, or after the `design.units.timing.rest` in which
    the last tiles are written.

    Parameters: ``stage``; ``interval`` in cycles.
    Members, in: ``slot``, what it is; ``words`` of its image; ``error_ready``: the row's gradient
    is there; ``row_room``: a row of outputs can be reserved; ``line_room``: the rows of input
    gradient that end with this row of places can be; ``row_able``, ``line_able``: the losses that
    the unit does not learn from, if any, need not be waited for.
    Out: ``now``, the visit that is decided in this cycle; ``claims``, what it takes; ``state``.
    """

    def __init__(self, *, stage: Stage, interval: int) -> None:
        self.stage, self.interval = stage, interval
        super().__init__(
            {
                "slot": In(Slot),
                "words": In(input_words(stage)),
                **{name: In(1) for name in ("error_ready", "row_room", "line_room")},
                **{name: In(1) for name in ("row_able", "line_able") if stage.asides},
                "now": Out(visit_signals(stage)),
                "claims": Out(walk_claims(stage)),
                "state": Out(WalkState),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        now, state = self.now, self.state
        due, begun, started = (Signal(name=name) for name in ("due", "begun", "started"))
        last_phase, first_phase = Signal(name="last_phase"), Signal(init=1, name="first_phase")
        done = now.issue & last_phase
        step = done | ~begun
        following = self._following(m, step)
        self._arrived(m, step, following)
        connect(m, flipped(self.slot), flipped(now.slot))
        m.d.comb += started.eq(now.issue & state.idle)
        found = Signal(name="found")  # the first tile, which then is on its way to `now`
        m.d.sync += [found.eq(1), begun.eq(found)]
        with m.If(step):
            m.d.sync += [getattr(now, name).eq(value) for name, value in following.items()]
        with m.If(now.issue):
            m.d.sync += [
                now.phase.eq(Mux(last_phase, 0, now.phase + 1)),
                first_phase.eq(last_phase),
            ]
        m.d.comb += [
            last_phase.eq(now.phase == self.stage.tiling.phases - 1),
            state.idle.eq((now.starts_slot & first_phase) | ~begun),
            due.eq(~state.idle | self._elapsed(m, started)),
            now.issue.eq(~first_phase | (due & state.arrived & self._able())),
            state.stalled.eq(due & ~now.issue),
            now.row_begin.eq(now.issue & now.first_column & first_phase),
            now.line_end.eq(done & now.last_part),
            now.row_end.eq(done & now.last_column),
            now.place_down.eq(done & now.ends_line),
            now.finish.eq(done & now.ends_slot),
        ]
        self._claim(m)
        return m

    def _claim(self, m: Module) -> None:
        """Say what the visit of this cycle takes."""
        now, claims, returning = self.now, self.claims, self.slot.returning
        m.d.comb += [
            claims.image.eq(now.finish),
            claims.error.eq(now.row_end & returning),
            claims.output.eq(now.row_begin),
            claims.lines.eq(now.first_across & now.row_begin & now.first_row & returning),
            claims.rows.eq(now.rows_done),
        ]

    def _following(self, m: Module, step: Value) -> dict[str, Signal]:
        """What is said of the place of the next tile, out of registers.

        What follows from a place takes most of a cycle to find, and what has to be compared with it
        takes another one.
        """
        m.submodules.ahead = ahead = Place(stage=self.stage)
        m.d.comb += ahead.step.eq(step)
        following = {
            name: Signal(shape, name=f"following_{name}", reset_less=True)
            for name, shape in shapes_of(self.stage).items()
        }
        with m.If(step):
            m.d.sync += [value.eq(getattr(ahead, name)) for name, value in following.items()]
        return following

    def _arrived(self, m: Module, step: Value, following: dict[str, Signal]) -> None:
        """Whether the words that the tile needs are there, out of a register.

        Compared a cycle before, for this tile and for the next one, whose slot may be the next.
        """

        now, words = self.now, self.words

        def there(needed: Value) -> Value:
            return Mux(words.more, words.arrived >= needed, words.arrived > needed)

        needed = Signal(Shape(len(now.needed) + 1, signed=True), name="needed")
        first = self.stage.threshold - 1 + self.stage.tiling.image_words
        m.d.comb += needed.eq(Mux(following["starts_slot"], first, following["needed"]))
        stays, follows = ~now.uses | there(now.needed), ~following["uses"] | there(needed)
        m.d.sync += self.state.arrived.eq(Mux(step, follows, stays))

    def _able(self) -> Value:
        """Whether all else that the tile waits for is there."""
        now, returning = self.now, self.slot.returning
        error = ~now.first_column | ~returning | self.error_ready
        room = ~now.first_column | self.row_room
        line_room = ~now.starts_line | ~returning | self.line_room
        if self.stage.asides:
            error &= ~now.first_column | self.row_able
            line_room &= ~now.starts_line | self.line_able
        return error & room & line_room & ~(self.state.idle & self.state.hold)

    def _elapsed(self, m: Module, started: Value) -> Value:
        """Whether a slot may start: an interval after the one before, and after its rest.

        Also not in the first cycles after reset, in which the walk gets to its first tile.
        """
        rest_of_interval = _countdown(m, started, self.interval - 1, "wait", init=2)
        return rest_of_interval & _countdown(m, self.now.finish, rest(self.stage.tiling), "left")


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
