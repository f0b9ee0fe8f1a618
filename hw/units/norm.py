"""The norm: running statistics, two streams that it passes on, an update a slot.

    x  --> forward ---> y        tables: what tokens see of a channel, kept until they come back
            |   ^ tables
        totals   \\
            v     update <-- bus
        totals   /
            ^   v controls
    dx <-- backward <-- dy

Twin of `golden.units.norm`; when a token passes and when an update follows is counted in
`hw.norms.order`.
"""

from __future__ import annotations

from typing import Any, Self

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.latency import MEMORY
from counterflow.design.units.norm_times import NormStage
from counterflow.hw.norms.backward import Backward
from counterflow.hw.norms.forward import Forward
from counterflow.hw.norms.order import Order
from counterflow.hw.norms.registers import NormRegisters
from counterflow.hw.norms.update import ChannelUpdate
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.bus import Access
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import activation_stream, error_stream
from counterflow.hw.pooling.rings import Stash


class Norm(wiring.Component):
    """Normalises every channel, and adds a bias that learns.

    Parameters: ``stage``.
    Members: ``x``, ``y`` streams of activations; ``dy`` stream of gradients, with y beside each if
    those above give it back, ``dx`` if anybody wants it; ``bus_i``, ``bus_o``.
    Cost: five multipliers, two where nobody wants dx; the memories of `NormStage.memories`; latency
    `design.units.norm_times.FORWARD` from x to y, BACKWARD from dy to dx; an element a cycle each
    way.
    """

    def __init__(self, *, stage: NormStage) -> None:
        self.stage = stage
        numbers = stage.numbers
        returned = numbers.y if stage.unit.outputs[0].returned else None
        members: dict[str, In | Out] = {
            "x": In(activation_stream(numbers.x)),
            "y": Out(activation_stream(numbers.y)),
            "dy": In(error_stream(numbers.dy, returned)),
            "bus_i": In(Access),
            "bus_o": Out(Access),
        }
        if numbers.dx is not None:
            members["dx"] = Out(error_stream(numbers.dx))
        super().__init__(members)
        self.registers = NormRegisters(stage=stage)
        self.states = ChannelUpdate(stage=stage)

    @classmethod
    def of(cls, stage: NormStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(stage=stage)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stage, update, registers = self.stage, self.states, self.registers
        m.submodules.order = order = Order(stage=stage)
        m.submodules.forward = forward = Forward(stage=stage)
        m.submodules.backward = backward = Backward(stage=stage)
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
        self._totals(m, "forward", forward, update)
        self._totals(m, "backward", backward, update)
        self._seen(m, forward, backward)
        self._kept(m, forward, backward)
        self._registers(m, order, forward, backward)
        return m

    def _banked(self, bank: Value, channel: Value) -> Value:
        """The address of a channel's word in a bank."""
        return Mux(bank, self.stage.numbers.channels + channel, channel)

    def _memory(self, m: Module, name: str, words: int, bits: int) -> tuple[BlockMemory, Value]:
        """(A memory, the word that was addressed MEMORY cycles ago)."""
        m.submodules[name] = memory = BlockMemory(words=max(2, words), bits=bits)
        return memory, delayed(m, memory.read_data, MEMORY - 1, f"{name}_word")

    def _totals(self, m: Module, name: str, way: Any, update: ChannelUpdate) -> None:
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

    def _seen(self, m: Module, forward: Forward, backward: Backward) -> None:
        """What tokens see of a channel, each way, and who writes it."""
        update, channels = self.states, self.stage.numbers.channels
        for name, way, source in (
            ("tables", forward, update.table),
            ("controls", backward, update.controls),
        ):
            memory, word = self._memory(m, name, 2 * channels, len(source.as_value()))
            m.d.comb += [
                memory.write_enable.eq(update.table_write),
                memory.write_address.eq(self._banked(update.table_bank, update.table_channel)),
                memory.write_data.eq(source.as_value()),
                memory.read_address.eq(self._banked(way.in_bank, way.channel)),
                way.view.eq(word),
            ]

    def _kept(self, m: Module, forward: Forward, backward: Backward) -> None:
        """What is kept of a token until it comes back: of its channels, and y if need be."""
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

    def _registers(self, m: Module, order: Order, forward: Forward, backward: Backward) -> None:
        """The bus reaches states and settings, and reads the counters."""
        update, registers = self.states, self.registers
        connect(m, registers.settings, update.settings)
        connect(m, registers.generator, update.generator)
        waits = (self.x.valid & ~self.x.ready) | (self.dy.valid & ~self.dy.ready)
        m.d.comb += [
            registers.bus_i.eq(self.bus_i),
            self.bus_o.eq(registers.bus_o),
            registers.resting.eq(order.resting),
            registers.updated.eq(update.ends),
            registers.stalled.eq(waits),
            registers.clipped.eq(Cat(forward.clipped, backward.clipped, update.clipped)),
            update.fetch.eq(registers.fetch),
            update.store.eq(registers.store),
            update.at.eq(registers.at),
            update.pair.eq(registers.pair),
            update.new_first.eq(registers.new_first),
            update.new_second.eq(registers.new_second),
            registers.first.eq(update.first),
            registers.second.eq(update.second),
        ]
