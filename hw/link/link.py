"""The host link: a chain behind two streams of bytes, whoever carries them: docs/host-link.md."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.bus.link import (
    HEADS_VERSION,
    MOST_CHANNEL,
    POSITION_BITS,
    VERSION,
    Buffers,
    Info,
    element_bytes,
    loss_bytes,
)
from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Request, Response, all_predictions
from counterflow.hw.intake import sample_stream
from counterflow.hw.link.commands import Commands, RingBytes
from counterflow.hw.link.receiver import PacketReceiver
from counterflow.hw.link.results import Results
from counterflow.hw.link.sender import PacketSender
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.streams import label_stream


def info_of(plan: Plan, frequency: float, baud: int, board: str) -> Info:
    """What a device with the network of `plan` says of itself.

    ValueError, one sentence, where the link has no numbers for its heads.
    """
    description: Description = plan.description
    heads = plan.schedule.heads
    if heads and heads[-1] > MOST_CHANNEL:
        raise ValueError(
            f"{description.name} has a head behind component {heads[-1]}, but the host link has "
            f"numbers for components up to {MOST_CHANNEL}; cut it into fewer"
        )
    return Info(
        network=description.hash(),
        element_bytes=element_bytes(description),
        loss_bytes=loss_bytes(plan.schedule.loss.arithmetic),
        buffers=Buffers.of(description),
        frequency=round(frequency),
        baud=baud,
        name=description.name,
        board=board,
        heads=len(heads),
        version=HEADS_VERSION if heads else VERSION,
    )


class Link(wiring.Component):
    """Receiver, commands, results and sender of packets, between bytes and the ports of a chain.

    A UART or anything else that carries bytes, lossy or not, joins at ``i`` and ``o``.

    Parameters: ``plan``, ``info``.
    Members: ``i`` and ``o``, streams of bytes from and to the host; ``samples``, ``labels``,
    ``request`` out, ``predictions`` of all losses and ``response`` in: the chain's; ``complaint``
    out.
    Cost: two memories of `Buffers`; no multiplier.
    """

    def __init__(self, *, plan: Plan, info: Info) -> None:
        self.plan, self.info = plan, info
        number = plan.description.formats.input
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "samples": Out(sample_stream(number)),
                "labels": Out(label_stream()),
                "request": Out(stream.Signature(Request)),
                "response": In(Response),
                "predictions": In(all_predictions(plan.schedule)),
                "complaint": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        buffers, description = self.info.buffers, self.plan.description
        m.submodules.receiver = receiver = PacketReceiver(buffers=buffers)
        m.submodules.bytes = packets = RingBytes(depth=buffers.packets)
        m.submodules.commands = commands = Commands(
            number=description.formats.input, elements=description.elements, buffers=buffers
        )
        m.submodules.results = results = Results(schedule=self.plan.schedule, buffers=buffers)
        m.submodules.sender = sender = PacketSender(info=self.info, buffers=buffers)
        self._ring(m, "packets", buffers.packets, receiver.ring, packets)
        self._ring(m, "kept", buffers.results, results.ring, sender)
        connect(m, flipped(self.i), receiver.i)
        connect(m, packets.o, commands.i)
        connect(m, commands.samples, flipped(self.samples))
        connect(m, commands.labels, flipped(self.labels))
        connect(m, commands.request, flipped(self.request))
        connect(m, flipped(self.predictions), results.predictions)
        connect(m, commands.answer, results.answers)
        connect(m, sender.o, flipped(self.o))
        m.d.comb += [
            commands.response.eq(self.response),
            packets.committed.eq(receiver.committed),
            receiver.consumed.eq(packets.consumed),
            self.complaint.eq(receiver.complaint),
            sender.hello.eq(receiver.hello),
            sender.resend.eq(receiver.resend),
            sender.report.eq(receiver.report | receiver.hello | commands.finished),
            sender.sequence.eq(receiver.header.sequence),
            sender.consumed.eq(packets.consumed),
            sender.expected.eq(receiver.committed),
            sender.written.eq(results.written),
            sender.mark.eq(receiver.mark),
            sender.complaint.eq(receiver.complaint),
        ]
        oldest = self._oldest(m, receiver, results)
        m.d.comb += [results.oldest.eq(oldest), sender.oldest.eq(oldest)]
        return m

    @staticmethod
    def _oldest(m: Module, receiver: PacketReceiver, results: Results) -> Signal:
        """The first result that the host has not acknowledged; it can only name one that is there.

        Another number is that of a host that has just started.
        """
        oldest, left = Signal(POSITION_BITS, name="oldest"), Signal(POSITION_BITS, name="left")
        m.d.comb += left.eq(results.written - receiver.header.acknowledge)
        with m.If(receiver.acknowledged & (left <= results.held)):
            m.d.sync += oldest.eq(receiver.header.acknowledge)
        return oldest

    @staticmethod
    def _ring(
        m: Module, name: str, depth: int, written: wiring.PureInterface, reader: object
    ) -> None:
        """A memory of bytes between what `written` writes and what has ``addr`` and ``data``.

        A byte is asked for when its writing has been told, which is later.
        """
        m.submodules[name] = memory = BlockMemory(words=depth, bits=8)
        m.d.comb += [
            memory.write_enable.eq(written.en),
            memory.write_address.eq(written.addr),
            memory.write_data.eq(written.data),
            memory.read_address.eq(reader.addr),  # type: ignore[attr-defined]
            reader.data.eq(memory.read_data),  # type: ignore[attr-defined]
        ]
