"""The update of a norm: all channels one after the other, and what the bus stores in one.

cycle after a channel is addressed   2   its state, its totals
                                     5   totals divided by the pixels
                                    10   all new parts of the state
                                    11   the new state at the memory's write port
                                    15   what tokens see of it, likewise
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import WORD_BITS
from counterflow.design.parts.formats import Rounding
from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.units.latency import MEMORY, UPDATE
from counterflow.design.units.norm_times import STORE, TABLES, NormStage
from counterflow.design.units.normalisation import CENTRE_FRAC, DECAY, MEAN_GUARD
from counterflow.hw.norms.layouts import backward_totals, controls, forward_totals, seen, state
from counterflow.hw.norms.roots import Roots
from counterflow.hw.norms.rounding import SHARED, half_up, register, shared
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.narrow import saturate
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.weighted.bundles import GeneratorAccess, Settings
from counterflow.hw.weighted.generator import Generator
from counterflow.hw.weighted.update import Update

EARLY = MEMORY + 1  # cycle in which what the bus stores is written
NEW = MEMORY + UPDATE  # cycle of all new parts


class ChannelUpdate(wiring.Component):
    """Twin of `golden.units.norm.Norm.update`.

    Parameters: ``stage``.
    Members: ``begins`` in: an update does, of totals in ``bank``; ``forward_kind``,
    ``backward_kind`` in: kinds of the tokens that they are of; ``ends`` out: what tokens see of the
    last channel is written; ``channel`` out, ``forward``, ``backward`` totals in MEMORY cycles
    later; ``table_write`` with ``table_bank``, ``table_channel``, ``table``, ``controls`` out;
    ``fetch``, ``store`` in: the bus at pair ``pair`` of channel ``at``, while nothing else happens:
    ``first``, ``second`` out MEMORY cycles later, ``new_first``, ``new_second`` in;
    ``settings``, ``generator`` in; ``write_enable``, ``write_address``, ``write_data`` out: what
    stands at the write port of the states; ``clipped`` out.
    Cost: no multiplier; the memory of states, a generator; a channel a cycle.
    """

    def __init__(self, *, stage: NormStage) -> None:
        self.stage = stage
        channel = range(max(2, stage.numbers.channels))
        super().__init__(
            {
                "begins": In(1),
                "bank": In(1),
                "forward_kind": In(KIND_BITS),
                "backward_kind": In(KIND_BITS),
                "ends": Out(1),
                "channel": Out(channel),
                "forward": In(forward_totals(stage)),
                "backward": In(backward_totals(stage)),
                "table_write": Out(1),
                "table_bank": Out(1),
                "table_channel": Out(channel),
                "table": Out(seen(stage)),
                "controls": Out(controls(stage)),
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
                "clipped": Out(1),
            }
        )
        self.visit = Signal()  # a channel is addressed by an update
        self.learns = Signal()  # by a token that came back
        self.moves = Signal()  # and beta moves

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, layout = self.stage.numbers, state(self.stage)
        m.submodules.states = states = BlockMemory(words=max(2, numbers.channels), bits=layout.size)
        last = self._walk(m)
        m.d.comb += states.read_address.eq(self.channel)
        now = self._now(m, delayed(m, states.read_data, MEMORY - 1, "read"))
        forward = delayed(m, self.visit & (self.forward_kind >= Kind.TRAIN), NEW, "moving")
        backward = delayed(m, self.visit & self.learns, NEW, "learning")
        written = Signal(layout, name="written", reset_less=True)
        m.d.sync += written.eq(self._new(m, now, forward, backward))
        stored = delayed(m, self.store, EARLY, "stored_now")  # before the bus asks for it
        channel = delayed(m, self.channel, EARLY, "stored_channel")
        word = delayed(m, now.as_value(), EARLY - MEMORY, "stored_word")
        m.d.comb += [
            self.write_enable.eq(delayed(m, forward | backward, STORE - NEW, "write") | stored),
            self.write_address.eq(
                Mux(stored, channel, delayed(m, channel, STORE - EARLY, "channel"))
            ),
            self.write_data.eq(Mux(stored, word, written.as_value())),
            states.write_enable.eq(self.write_enable),
            states.write_address.eq(self.write_address),
            states.write_data.eq(self.write_data),
            self.ends.eq(delayed(m, last, TABLES, "last")),
        ]
        self._fetched(m, now)
        self._table(m, written)
        return m

    def _walk(self, m: Module) -> Value:
        """Address all channels from `begins` on; whether this is the last one."""
        running, at = Signal(), Signal.like(self.channel)
        channels = self.stage.numbers.channels
        last = self.visit & (self.channel == channels - 1)
        m.d.comb += [
            self.visit.eq(self.begins | running),
            self.channel.eq(Mux(self.fetch | self.store, self.at, at)),
            self.learns.eq(self.backward_kind >= Kind.TRAIN),
            self.moves.eq(self.backward_kind == Kind.TRAIN),
        ]
        with m.If(self.visit):
            m.d.sync += [running.eq(~last), at.eq(Mux(last, 0, at + 1))]
        return last

    def _now(self, m: Module, read: Value) -> Any:
        """The state of a channel in cycle MEMORY, with the pair in it that the bus stores."""
        layout = state(self.stage)
        old, now = View(layout, read), Signal(layout, name="now")
        storing, pair = (
            delayed(m, value, MEMORY, name)
            for value, name in ((self.store, "storing"), (self.pair, "pair"))
        )
        for index, name in enumerate(layout.members):
            given = (self.new_first, self.new_second)[index % 2]
            m.d.comb += now[name].eq(Mux(storing & (pair == index // 2), given, old[name]))
        return now

    def _new(self, m: Module, now: Any, forward: Value, backward: Value) -> Value:
        """The new state of a channel, in cycle NEW."""
        layout, found = state(self.stage), self._statistics(m, now)
        moved = {"mean": forward, "variance": forward}
        if self.stage.numbers.dx is not None:
            found |= self._controls(m, now)
            moved |= {"scale_control": backward, "shift_control": backward}
        found |= self._beta(m, now)
        beta = delayed(m, self.visit & self.learns & self.moves, NEW, "moving_beta")
        moved |= {"beta": beta, "beta_velocity": beta}
        new = Signal(layout, name="new")
        for name in layout.members:
            old = delayed(m, now[name], UPDATE, f"old_{name}")
            value = Mux(moved[name], found[name], old) if name in moved else old
            m.d.comb += new[name].eq(value)
        return new

    def _statistics(self, m: Module, now: Any) -> dict[str, Value]:
        """The running mean and variance, moved a part of the way."""
        numbers = self.stage.numbers
        mean = shared(m, self.forward.differences, numbers.mean_share, "mean")
        centre = delayed(m, self.forward.centre, SHARED, "centre")
        towards = {
            "mean": (centre << MEAN_GUARD - CENTRE_FRAC) + mean,
            "variance": shared(m, self.forward.squares, numbers.variance_share, "variance"),
        }
        found = {}
        for name, number in (("mean", numbers.mean), ("variance", numbers.variance)):
            old = delayed(m, now[name], SHARED, f"{name}_old")
            gap = register(m, towards[name] - old, f"{name}_gap")
            moved = register(m, delayed(m, old, 1, f"{name}_older") + half_up(gap, DECAY), name)
            value, _ = saturate(moved, number)
            found[name] = delayed(m, value, UPDATE - SHARED - 2, f"{name}_new")
        return found

    def _controls(self, m: Module, now: Any) -> dict[str, Value]:
        """Both controls, moved by the means of what they control."""
        numbers, found = self.stage.numbers, {}
        formats = {one.name: one.number for one in self.stage.parameters}
        for name, total, share in (
            ("scale_control", self.backward.products, numbers.scale_share),
            ("shift_control", self.backward.gradients, numbers.shift_share),
        ):
            step = shared(m, total, share, name)
            old = delayed(m, now[name], SHARED, f"{name}_old")
            moved = register(m, old + step, f"{name}_moved")
            value, _ = saturate(moved, formats[name])
            found[name] = delayed(m, value, UPDATE - SHARED - 1, f"{name}_new")
        return found

    def _beta(self, m: Module, now: Any) -> dict[str, Value]:
        """Beta and its velocity, moved by the sum of dy over all tokens that wait."""
        numbers = self.stage.numbers.parameters
        m.submodules.generator = generator = Generator()
        m.submodules.update = update = Update(numbers=numbers)
        if numbers.round_update is Rounding.STOCHASTIC:
            moves = self.visit & self.learns & self.moves
            m.d.comb += generator.step.eq(delayed(m, moves, MEMORY, "drawing"))
        m.d.comb += [
            generator.load.eq(self.generator.load),
            generator.initial.eq(self.generator.initial),
            self.generator.state.eq(generator.state),
            update.weight.eq(now.beta),
            update.velocity.eq(now.beta_velocity),
            update.gradient.eq(self._gradient(m)),
            update.random.eq(generator.state),
            update.extra_shift.eq(self.settings.extra_shift),
            update.compensate.eq(self.settings.compensate),
            self.clipped.eq(
                delayed(m, self.visit & self.learns & self.moves, NEW, "moved") & update.clipped
            ),
        ]
        return {"beta": update.new_weight, "beta_velocity": update.new_velocity}

    def _gradient(self, m: Module) -> Value:
        """The gradient of beta, in cycle MEMORY: of this token and of those before that wait."""
        numbers = self.stage.numbers
        if numbers.parameters.accumulate == 1:
            return self.backward.errors
        bits = numbers.parameters.gradient.bits
        m.submodules.waiting = waiting = BlockMemory(words=max(2, numbers.channels), bits=bits)
        some = Signal()  # tokens wait for the update
        learnt = delayed(m, self.visit & self.learns, MEMORY, "learnt")
        ends = delayed(m, self.visit & (self.channel == numbers.channels - 1), MEMORY, "learnt_all")
        with m.If(learnt & ends):
            m.d.sync += some.eq(~self.moves)
        earlier = delayed(m, waiting.read_data, MEMORY - 1, "earlier").as_signed()
        total = Signal(numbers.parameters.gradient.bits, name="gradient")
        m.d.comb += [
            total.eq(self.backward.errors + Mux(some, earlier, 0)),
            waiting.read_address.eq(self.channel),
            waiting.write_enable.eq(delayed(m, learnt, 1, "wait")),
            waiting.write_address.eq(delayed(m, self.channel, MEMORY + 1, "waiting_at")),
            waiting.write_data.eq(delayed(m, total, 1, "waits")),
        ]
        return total.as_signed()

    def _fetched(self, m: Module, now: Any) -> None:
        """The pair that the bus asked for."""
        names = list(state(self.stage).members)
        pair = delayed(m, self.pair, MEMORY, "fetched_pair")
        for out, half in ((self.first, names[0::2]), (self.second, names[1::2])):
            for index, name in enumerate(half):
                with m.If(pair == index):
                    m.d.comb += out.eq(now[name])

    def _table(self, m: Module, written: Any) -> None:
        """Write what tokens see: to the update's bank, or to both of them where the bus stores."""
        m.submodules.roots = roots = Roots(stage=self.stage)
        late = TABLES - STORE
        both = delayed(m, self.store, TABLES, "stored")
        again = delayed(m, both, 1, "stored_again")
        channel = delayed(m, self.channel, TABLES, "table_channel")
        view, word = roots.view.as_value(), Signal(controls(self.stage), name="control_word")
        m.d.comb += [
            roots.state.eq(written),
            word.scale.eq(written.scale_control),
            word.shift.eq(written.shift_control),
            self.table_write.eq(delayed(m, self.visit, TABLES, "visited") | both | again),
            self.table_bank.eq(Mux(both | again, again, self.bank)),
            self.table_channel.eq(Mux(again, delayed(m, channel, 1, "again_channel"), channel)),
            self.table.eq(Mux(again, delayed(m, view, 1, "view_again"), view)),
        ]
        control = delayed(m, word.as_value(), late, "control")
        m.d.comb += self.controls.eq(Mux(again, delayed(m, control, 1, "control_again"), control))
