"""A norm's two ways and its update, joined, whatever its source of statistics."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.latency import MEMORY
from counterflow.design.units.normal_times import NormalStage
from counterflow.hw.norms.beta_update import BetaUpdate
from counterflow.hw.norms.order import Order
from counterflow.hw.norms.registers import NormRegisters
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.bus import Access
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import activation_stream, error_stream
from counterflow.hw.pooling.rings import Stash


class NormalUnit(wiring.Component):
    """Brings channels to mean 0 and variance 1, and adds a bias that learns, behind a gamma.

    A frozen one only goes forward, and all that is known of a channel stays as the bus stored it.

    Parameters: ``stage``.
    Members: ``x``, ``y`` streams of activations; ``dy`` stream of gradients, with y beside each if
    those above give it back, unless it is frozen, ``dx`` if anybody wants it; ``bus_i``, ``bus_o``.
    A subclass names its parts and joins what they hand to each other.
    """

    def __init__(self, *, stage: Any, states: BetaUpdate) -> None:
        self.stage = stage
        numbers = stage.numbers
        returned = numbers.y if stage.unit.outputs[0].returned else None
        members: dict[str, In | Out] = {
            "x": In(activation_stream(numbers.x)),
            "y": Out(activation_stream(numbers.y)),
            "bus_i": In(Access),
            "bus_o": Out(Access),
        }
        if not stage.unit.frozen:
            members["dy"] = In(error_stream(numbers.dy, returned))
        if numbers.dx is not None:
            members["dx"] = Out(error_stream(numbers.dx))
        super().__init__(members)
        self.registers = NormRegisters(stage=stage)
        self.states = states

    @classmethod
    def of(cls, stage: NormalStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(stage=stage)  # type: ignore[call-arg]

    @abstractmethod
    def _ways(self) -> tuple[Any, Any]:
        """Its parts that go forward and, unless it is frozen, come back."""

    @abstractmethod
    def _join(self, m: Module, forward: Any, backward: Any) -> None:
        """Let the parts have what they need of each other, and memories between them."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stage, update, registers = self.stage, self.states, self.registers
        forward, backward = self._ways()
        if stage.unit.frozen:
            return self._forward_only(m, forward)
        m.submodules.order = order = Order(stage=stage)
        m.submodules.forward = forward
        m.submodules.backward = backward
        m.submodules.update = update
        m.submodules.registers = registers
        connect(m, flipped(self.x), forward.x)
        connect(m, forward.y, flipped(self.y))
        connect(m, flipped(self.dy), backward.dy)
        if stage.numbers.dx is not None:
            connect(m, backward.dx, flipped(self.dx))
        m.d.comb += [
            forward.may.eq(order.forward_may),
            forward.bank.eq(order.forward_bank),
            forward.predict.eq(registers.settings.predict),
            backward.may.eq(order.backward_may),
            backward.bank.eq(order.backward_bank),
            order.forward_begins.eq(forward.begins),
            order.forward_known.eq(forward.known),
            order.backward_begins.eq(backward.begins),
            order.backward_known.eq(backward.known),
            order.backward_ends.eq(backward.ends),
            order.update_ends.eq(update.ends),
            update.begins.eq(order.update_begins),
            update.bank.eq(order.update_bank),
        ]
        self._join(m, forward, backward)
        waits = (self.x.valid & ~self.x.ready) | (self.dy.valid & ~self.dy.ready)
        clipped = Cat(forward.clipped, backward.clipped, update.clipped)
        self._registers(m, order.resting, update.ends, waits, clipped)
        return m

    def _forward_only(self, m: Module, forward: Any) -> Module:
        """Its parts where nothing comes back: no token waits for another, or for an update."""
        m.submodules.forward = forward
        m.submodules.update = self.states
        m.submodules.registers = self.registers
        connect(m, flipped(self.x), forward.x)
        connect(m, forward.y, flipped(self.y))
        passing = Signal(name="passing")  # a token is under way that sees what the bus stored
        with m.If(forward.known):
            m.d.sync += passing.eq(0)
        with m.Elif(forward.begins):
            m.d.sync += passing.eq(1)
        m.d.comb += [forward.may.eq(1), forward.room.eq(1)]
        self._seen_of(m, "tables", forward, self.states.table)
        waits = self.x.valid & ~self.x.ready
        self._registers(m, ~passing, forward.known, waits, Cat(forward.clipped, C(0, 2)))
        return m

    def _banked(self, bank: Value, channel: Value) -> Value:
        """The address of a channel's word in a bank; what is frozen has one."""
        if self.stage.unit.frozen:
            return channel
        return Mux(bank, self.stage.numbers.channels + channel, channel)

    def _memory(self, m: Module, name: str, words: int, bits: int) -> tuple[BlockMemory, Value]:
        """(A memory, the word that was addressed MEMORY cycles ago)."""
        m.submodules[name] = memory = BlockMemory(words=max(2, words), bits=bits)
        return memory, delayed(m, memory.read_data, MEMORY - 1, f"{name}_word")

    def _totals(self, m: Module, name: str, way: Any, update: Any) -> None:
        """Totals and kinds of two tokens, from where they are made to where they are used."""
        target = getattr(update, name)
        channels, bits = self.stage.numbers.channels, len(target.as_value())
        memory, word = self._memory(m, f"{name}_totals", 2 * channels, bits)
        kinds = [Signal(KIND_BITS, name=f"{name}_kind_{bank}") for bank in (0, 1)]
        with m.If(way.known):
            for bank, kind in enumerate(kinds):
                with m.If(way.known_bank == bank):
                    m.d.sync += kind.eq(way.kind)
        with m.If(update.ends):  # before the first token comes back there is none
            for bank, kind in enumerate(kinds):
                with m.If(update.bank == bank):
                    m.d.sync += kind.eq(0)
        m.d.comb += [
            memory.write_enable.eq(way.total_write),
            memory.write_address.eq(self._banked(way.known_bank, way.total_channel)),
            memory.write_data.eq(way.total.as_value()),
            memory.read_address.eq(self._banked(update.bank, update.channel)),
            target.eq(word),
            getattr(update, f"{name}_kind").eq(Mux(update.bank, kinds[1], kinds[0])),
        ]

    def _seen_of(self, m: Module, name: str, way: Any, source: Any) -> None:
        """What tokens see of a channel where they go this way; the update writes it."""
        update, channels = self.states, self.stage.numbers.channels
        banks = 1 if self.stage.unit.frozen else 2
        memory, word = self._memory(m, name, banks * channels, len(source.as_value()))
        m.d.comb += [
            memory.write_enable.eq(update.table_write),
            memory.write_address.eq(self._banked(update.table_bank, update.table_channel)),
            memory.write_data.eq(source.as_value()),
            memory.read_address.eq(self._banked(way.in_bank, way.channel)),
            way.view.eq(word),
        ]

    def _kept(self, m: Module, forward: Any, backward: Any) -> None:
        """What is kept of a token until it comes back: of its channels; y or xhat if need be."""
        words = self.stage.tokens * self.stage.numbers.channels
        memory, word = self._memory(m, "kept", words, len(forward.word.as_value()))
        m.d.comb += [
            memory.write_enable.eq(forward.keep),
            memory.write_address.eq(forward.keep_address),
            memory.write_data.eq(forward.word.as_value()),
            memory.read_address.eq(backward.address),
            backward.word.eq(word),
            forward.room.eq(1),
        ]
        if not self.stage.stash_words:
            return
        m.submodules.stash = stash = Stash(
            words=self.stage.stash_words, bits=self.stage.numbers.y.bits
        )
        m.d.comb += [
            forward.room.eq(stash.room),
            stash.reserve.eq(forward.taken),
            stash.write.eq(forward.y_taken),
            stash.word.eq(forward.y_word),
            stash.read.eq(backward.taken),
            backward.y_word.eq(stash.oldest),
        ]

    def _registers(
        self, m: Module, resting: Value, updated: Value, waits: Value, clipped: Value
    ) -> None:
        """The bus reaches states and settings, and reads the counters."""
        update, registers = self.states, self.registers
        connect(m, registers.settings, update.settings)
        connect(m, registers.generator, update.generator)
        m.d.comb += [
            registers.bus_i.eq(self.bus_i),
            self.bus_o.eq(registers.bus_o),
            registers.resting.eq(resting),
            registers.updated.eq(updated),
            registers.stalled.eq(waits),
            registers.clipped.eq(clipped),
            update.fetch.eq(registers.fetch),
            update.store.eq(registers.store),
            update.at.eq(registers.at),
            update.pair.eq(registers.pair),
            update.new_first.eq(registers.new_first),
            update.new_second.eq(registers.new_second),
            registers.first.eq(update.first),
            registers.second.eq(update.second),
        ]
