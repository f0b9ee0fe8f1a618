"""The walk: which tile of which position a unit issues in each cycle, and when it has to wait."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.units.latency import BEGIN
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import rest
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import (
    Slot,
    WalkState,
    decision_signals,
    input_words,
    place_signals,
    walk_claims,
)
from counterflow.hw.weighted.place import DECISIVE, Place, shapes_of


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
    Out: ``now``, the visit that is decided in this cycle; ``place``, the rest of what is to be said
    of it, in the next cycle; ``claims``, what it takes; ``state``.
    """

    def __init__(self, *, stage: Stage, interval: int) -> None:
        self.stage, self.interval = stage, interval
        super().__init__(
            {
                "slot": In(Slot),
                "words": In(input_words(stage)),
                **{name: In(1) for name in ("error_ready", "row_room", "line_room")},
                **{name: In(1) for name in ("row_able", "line_able") if stage.asides},
                "now": Out(decision_signals(stage)),
                "place": Out(place_signals(stage)),
                "claims": Out(walk_claims(stage)),
                "state": Out(WalkState),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        now, state = self.now, self.state
        due, started = Signal(name="due"), Signal(name="started")
        may = self._elapsed(m, started)
        last_phase, first_phase = Signal(name="last_phase"), Signal(init=1, name="first_phase")
        done = now.issue & last_phase
        # The first cycles bring the first tile from `Place` to `now`.
        begins = Signal(BEGIN, name="begins")
        m.d.sync += begins.eq(Cat(C(1, 1), begins))
        step = done | (begins[-2] & ~begins[-1])
        following = self._following(m, step, begins)
        self._arrived(m, step, following)
        connect(m, flipped(self.slot), flipped(now.slot))
        m.d.comb += started.eq(now.issue & state.idle)
        with m.If(step):
            m.d.sync += [getattr(now, name).eq(value) for name, value in following.items()]
        with m.If(now.issue):
            m.d.sync += [
                now.phase.eq(Mux(last_phase, 0, now.phase + 1)),
                first_phase.eq(last_phase),
            ]
        m.d.comb += [
            last_phase.eq(now.phase == self.stage.tiling.phases - 1),
            state.idle.eq(now.starts_slot & first_phase),
            due.eq(~state.idle | may),
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

    def _following(self, m: Module, step: Value, begins: Signal) -> dict[str, Value]:
        """What is decisive of the next tile, out of registers.

        What follows from a place takes most of a cycle to find, and what has to be compared with it
        takes another one.  All of it goes on a cycle after the walk's `step`, which is known late.
        """
        m.submodules.ahead = ahead = Place(stage=self.stage)
        late = Signal(name="late")
        m.d.sync += late.eq(step)
        moves = step | ~begins[0]
        goes = [own(m, moves, f"goes_{what}", init=1) for what in ("on", "after", "next")]
        m.d.comb += ahead.step.eq(goes[0])
        found: dict[str, Value] = {}
        for name, shape in shapes_of(self.stage).items():
            after, following = (
                Signal(shape, name=f"{when}_{name}", reset_less=True) for when in ("after", "next")
            )
            with m.If(goes[1]):
                m.d.sync += after.eq(getattr(ahead, name))
            with m.If(goes[2]):
                m.d.sync += following.eq(after)
            if name in DECISIVE:
                found[name] = Mux(late, after, following)
            else:
                with m.If(late):
                    m.d.sync += getattr(self.place, name).eq(following)
        return found

    def _arrived(self, m: Module, step: Value, following: dict[str, Value]) -> None:
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
        after_start, after_end = self.interval - 1, rest(self.stage.tiling)
        enough, recent = zip(
            _counted(m, started, after_start, "wait", init=BEGIN),
            _counted(m, self.now.finish, after_end, "left"),
            strict=True,
        )
        may = Signal(name="may")
        m.d.sync += may.eq(Cat(enough).all() & ~Cat(recent).any())
        return may


def _counted(m: Module, start: Value, cycles: int, name: str, init: int = 0) -> tuple[Value, Value]:
    """Of a `start` before this cycle, whether more than so many have gone by in the next one.

    With it, whether there was one that the count does not know yet: it is known late in its cycle,
    and counted from the next one on if there is time.
    """
    if not max(cycles, init):
        return C(1), C(0)
    late = cycles > 1
    began = delayed(m, start, 1, f"{name}_began") if late else start
    left = Signal(range(max(cycles, init) + 1), init=init, name=name)
    with m.If(left != 0):
        m.d.sync += left.eq(left - 1)
    with m.If(began):
        m.d.sync += left.eq(cycles - late)
    recent = start | began if cycles else C(0)
    return left <= 1 if len(left) > 1 else C(1), recent
