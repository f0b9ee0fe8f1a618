"""The update of a norm: all channels one after the other, and what the bus stores in one.

cycle after a channel is addressed   2   its state, its totals
                                    10   all new parts of the state
                                    11   the new state at the memory's write port
                                    15   what tokens see of it, likewise
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import WORD_BITS
from counterflow.design.parts.formats import Rounding
from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.units.latency import MEMORY, UPDATE
from counterflow.design.units.normal_times import STORE, TABLES, NormalStage
from counterflow.hw.norms.layouts import state
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.weighted.bundles import GeneratorAccess, Settings
from counterflow.hw.weighted.generator import Generator
from counterflow.hw.weighted.update import Update, taken_late

EARLY = MEMORY + 1  # cycle in which what the bus stores is written
NEW = MEMORY + UPDATE  # cycle of all new parts

PREFIX = {"beta": "", "gamma": "gamma_"}  # of the names of parts, by what they are of
GRADIENT = {"beta": "errors", "gamma": "correlations"}  # the sum that it learns of


class BetaUpdate(wiring.Component):
    """Twin of `golden.units.normal.Normal._learn` and what is around it; a kind adds its own.

    Gamma, if there is one, is updated beside beta; they share random bits.  A beta that does not
    move stays as the bus stored it: nothing is made that would move it.  Nothing begins an update
    of a frozen norm, of which no token comes back: there is but what the bus stores.

    Parameters: ``stage``; ``backward``, the layout of the sums of a token that came back, of which
    ``errors`` is that of dy and ``correlations`` that of dy xhat, for gamma (none of a frozen
    norm); a kind's further ``members``.
    Members: ``begins`` in: an update does, of totals in ``bank``; ``backward_kind`` in: the kind of
    the token that they are of; ``ends`` out: what tokens see of the last channel is written;
    ``channel`` out, ``backward`` totals in MEMORY cycles later; ``table_write`` with ``table_bank``
    and ``table_channel`` out, beside what a kind writes there;
    ``fetch``, ``store`` in: the bus at pair ``pair`` of channel ``at``, while nothing else happens:
    ``first``, ``second`` out MEMORY cycles later, ``new_first``, ``new_second`` in;
    ``settings``, ``generator`` in; ``write_enable``, ``write_address``, ``write_data`` out: what
    stands at the write port of the states; ``clipped`` out.
    Cost: no multiplier; the memory of states, a generator; a channel a cycle.
    """

    def __init__(
        self,
        *,
        stage: NormalStage,
        backward: data.StructLayout | None,
        members: dict[str, In | Out],
    ) -> None:
        self.stage = stage
        channel = range(max(2, stage.numbers.channels))
        if backward is not None:
            members = {
                "begins": In(1),
                "bank": In(1),
                "backward_kind": In(KIND_BITS),
                "ends": Out(1),
                "backward": In(backward),
                "clipped": Out(1),
                **members,
            }
        super().__init__(
            {
                "channel": Out(channel),
                "table_write": Out(1),
                "table_bank": Out(1),
                "table_channel": Out(channel),
                "fetch": In(1),
                "store": In(1),
                "at": In(channel),
                "pair": In(2),
                "first": Out(WORD_BITS),
                "second": Out(WORD_BITS),
                "new_first": In(WORD_BITS),
                "new_second": In(WORD_BITS),
                "settings": In(Settings),
                "generator": In(GeneratorAccess),
                "write_enable": Out(1),
                "write_address": Out(channel),
                "write_data": Out(state(stage).size),
                **members,
            }
        )
        self._bank: Value = C(0) if backward is None else self.bank
        self.visit = Signal(name="visit")  # a channel is addressed by an update
        self.learns = Signal(name="learns")  # by a token that came back
        self.moves = Signal(name="moves")  # and what is learnt moves

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, layout = self.stage.numbers, state(self.stage)
        m.submodules.states = states = BlockMemory(words=max(2, numbers.channels), bits=layout.size)
        self._walk(m)
        m.d.comb += states.read_address.eq(self.channel)
        now = self._now(m, delayed(m, states.read_data, MEMORY - 1, "read"))
        backward = delayed(m, self.visit & self.learns, NEW, "learning")
        written = Signal(layout, name="written", reset_less=True)
        writes, new = self._new(m, now, backward)
        m.d.sync += written.eq(new)
        stored = delayed(m, self.store, EARLY, "stored_now")  # before the bus asks for it
        channel = delayed(m, self.channel, EARLY, "stored_channel")
        word = delayed(m, now.as_value(), EARLY - MEMORY, "stored_word")
        m.d.comb += [
            self.write_enable.eq(delayed(m, writes, STORE - NEW, "write") | stored),
            self.write_address.eq(
                Mux(stored, channel, delayed(m, channel, STORE - EARLY, "channel"))
            ),
            self.write_data.eq(Mux(stored, word, written.as_value())),
            states.write_enable.eq(self.write_enable),
            states.write_address.eq(self.write_address),
            states.write_data.eq(self.write_data),
        ]
        self._fetched(m, now)
        self._table(m, written)
        return m

    def _moved(self, m: Module, now: Any, backward: Value) -> tuple[Value, dict[str, Any]]:
        """What a kind remembers besides what it learns, in cycle NEW.

        (Whether the state is written; (whether it moves, its new value) by name); ``backward``: a
        token that trains came back.
        """
        return backward, {}

    @abstractmethod
    def _seen(self, m: Module, written: Any) -> Sequence[tuple[str, Value, Value]]:
        """(name, where it is written, value in cycle TABLES) of what tokens see of a channel.

        ``written`` is its state in cycle STORE.
        """

    def _walk(self, m: Module) -> None:
        """Address all channels from `begins` on, if ever, or that of the bus."""
        if self.stage.unit.frozen:
            m.d.comb += self.channel.eq(self.at)
            return
        running, at = Signal(name="running"), Signal.like(self.channel, name="at")
        channels = self.stage.numbers.channels
        last = self.visit & (self.channel == channels - 1)
        m.d.comb += [
            self.visit.eq(self.begins | running),
            self.channel.eq(Mux(self.fetch | self.store, self.at, at)),
            self.learns.eq(self.backward_kind >= Kind.TRAIN),
            self.moves.eq(self.backward_kind == Kind.TRAIN),
            self.ends.eq(delayed(m, last, TABLES, "last")),
        ]
        with m.If(self.visit):
            m.d.sync += [running.eq(~last), at.eq(Mux(last, 0, at + 1))]

    def _now(self, m: Module, read: Value) -> Any:
        """The state of a channel in cycle MEMORY, with the pair in it that the bus stores."""
        layout = state(self.stage)
        old, now = View(layout, read), Signal(layout, name="now")
        storing, pair = (
            delayed(m, value, MEMORY, name)
            for value, name in ((self.store, "storing"), (self.pair, "pair"))
        )
        for index, names in enumerate(self.stage.pairs):
            for name, given in zip(names, (self.new_first, self.new_second), strict=False):
                m.d.comb += now[name].eq(Mux(storing & (pair == index), given, old[name]))
        return now

    def _new(self, m: Module, now: Any, backward: Value) -> tuple[Value, Value]:
        """Whether a channel's state is written and the new one, in cycle NEW."""
        layout = state(self.stage)
        writes, found = self._moved(m, now, backward)
        learnt = self._learnt(m, now)
        if learnt:
            moves = delayed(m, self.visit & self.learns & self.moves, NEW, "moving_beta")
            found |= {name: (moves, value) for name, value in learnt.items()}
        new = Signal(layout, name="new")
        for name in layout.members:
            value = delayed(m, now[name], UPDATE, f"old_{name}")
            if name in found:
                moved, other = found[name]
                value = Mux(moved, other, value)
            m.d.comb += new[name].eq(value)
        return writes, new

    def _learnt(self, m: Module, now: Any) -> dict[str, Value]:
        """Beta, gamma and their velocities, moved by all tokens that wait; by name."""
        m.submodules.generator = generator = Generator()
        moving = self.stage.moving
        if moving and self.stage.numbers.parameters.round_update is Rounding.STOCHASTIC:
            moves = self.visit & self.learns & self.moves
            m.d.comb += generator.step.eq(delayed(m, moves, MEMORY, "drawing"))
        found: dict[str, Value] = {}
        given, clipped = [], []
        for name, (numbers, _) in moving.items():
            update = Update(numbers=numbers)
            m.submodules[f"{PREFIX[name]}update"] = update
            given += [
                update.weight.eq(now[name]),
                update.velocity.eq(now[f"{name}_velocity"]),
                update.gradient.eq(self._gradient(m, name)),
                update.random.eq(taken_late(m, numbers, generator.state, f"{PREFIX[name]}random")),
                update.extra_shift.eq(self.settings.extra_shift),
                update.compensate.eq(self.settings.compensate),
            ]
            found |= {name: update.new_weight, f"{name}_velocity": update.new_velocity}
            clipped.append(update.clipped)
        if moving:
            moved = delayed(m, self.visit & self.learns & self.moves, NEW, "moved")
            given.append(self.clipped.eq(moved & reduce(or_, clipped)))
        m.d.comb += [
            generator.load.eq(self.generator.load),
            generator.initial.eq(self.generator.initial),
            self.generator.state.eq(generator.state),
            *given,
        ]
        return found

    def _gradient(self, m: Module, name: str) -> Value:
        """That of beta or gamma, in cycle MEMORY: of this token and of those before that wait."""
        numbers, prefix = self.stage.numbers, PREFIX[name]
        now: Value = self.backward[GRADIENT[name]]
        if numbers.parameters.accumulate == 1:
            return now
        bits = numbers.learnt[name][0].gradient.bits
        waiting = BlockMemory(words=max(2, numbers.channels), bits=bits)
        m.submodules[f"{prefix}waiting"] = waiting
        some = Signal(name=f"{prefix}some")  # tokens wait for the update
        learnt = delayed(m, self.visit & self.learns, MEMORY, f"{prefix}learnt")
        last = self.channel == numbers.channels - 1
        ends = delayed(m, self.visit & last, MEMORY, f"{prefix}learnt_all")
        with m.If(learnt & ends):
            m.d.sync += some.eq(~self.moves)
        earlier = delayed(m, waiting.read_data, MEMORY - 1, f"{prefix}earlier").as_signed()
        total = Signal(bits, name=f"{prefix}gradient")
        m.d.comb += [
            total.eq(now + Mux(some, earlier, 0)),
            waiting.read_address.eq(self.channel),
            waiting.write_enable.eq(delayed(m, learnt, 1, f"{prefix}wait")),
            waiting.write_address.eq(delayed(m, self.channel, MEMORY + 1, f"{prefix}waiting_at")),
            waiting.write_data.eq(delayed(m, total, 1, f"{prefix}waits")),
        ]
        return total.as_signed()

    def _fetched(self, m: Module, now: Any) -> None:
        """The pair that the bus asked for."""
        pair = delayed(m, self.pair, MEMORY, "fetched_pair")
        for index, names in enumerate(self.stage.pairs):
            with m.If(pair == index):
                for name, out in zip(names, (self.first, self.second), strict=False):
                    m.d.comb += out.eq(now[name])

    def _table(self, m: Module, written: Any) -> None:
        """Write what tokens see: to the update's bank, or to both of them where the bus stores."""
        both = delayed(m, self.store, TABLES, "stored")
        again = delayed(m, both, 1, "stored_again")
        channel = delayed(m, self.channel, TABLES, "table_channel")
        m.d.comb += [
            self.table_write.eq(delayed(m, self.visit, TABLES, "visited") | both | again),
            self.table_bank.eq(Mux(both | again, again, self._bank)),
            self.table_channel.eq(Mux(again, delayed(m, channel, 1, "again_channel"), channel)),
        ]
        for name, target, value in self._seen(m, written):
            m.d.comb += target.eq(Mux(again, delayed(m, value, 1, f"{name}_again"), value))
