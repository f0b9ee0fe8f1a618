"""A Python twin of the device's side of the link, and lines that lose and spoil what passes.

The twin does byte by byte what the hardware does; its chain only notes the tokens and keeps
registers, and answers at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from counterflow.design.bus import link
from counterflow.design.bus.link import Header, Info, Packet, Record, Status, distance, packet
from counterflow.design.bus.registers import IntakeRegister, UnitRegister

Spoil = Callable[[bytes], bytes]


@dataclass
class Receiver:
    """Packets from bytes; ``check`` of False accepts any CRC: a defect to be found."""

    limit: int
    check: bool = True
    text: bytearray = field(default_factory=bytearray)
    hunting: bool = True

    def take(self, byte: int) -> tuple[Header, bytes] | bool | None:
        """A packet whole with `byte`, False if one is broken with it, else None."""
        if self.hunting:
            self.hunting, self.text = byte != link.SYNC, bytearray()
            return None
        self.text.append(byte)
        if len(self.text) < link.HEADER_BYTES - 1:
            return None
        header = Header.decoded(bytes(self.text[: link.HEADER_BYTES - 1]))
        if header is None or header.length >= self.limit:
            self.hunting = True
            return False
        if len(self.text) < link.FRAME_BYTES - 1 + header.length:
            return None
        self.hunting = True
        body, crc = bytes(self.text[: -link.CRC_BYTES]), self.text[-link.CRC_BYTES :]
        if self.check and link.crc32(body).to_bytes(4, "little") != bytes(crc):
            return False
        return header, body[link.HEADER_BYTES - 1 :]


class Twin:
    """A device: `give` it bytes and `take` what it sends.

    ``tokens`` are (kind, label, elements) in the order in which they were accepted.  Heads are
    those of components 1, 2, ...; each says of a sample what the network does, its number more.
    """

    def __init__(self, info: Info, elements: int, *, check: bool = True) -> None:
        self.info, self.elements = info, elements
        self.receiver = Receiver(info.buffers.packets // 2, check)
        self.tokens: list[tuple[int, int, bytes]] = []
        self.registers: dict[tuple[int, int], int] = defaultdict(int)
        self.expected = self.oldest = self.sent = self.mark = 0
        self.results, self.written = bytearray(), 0  # since `oldest`
        self.complaint = False
        self.waiting: list[tuple[int, bytes]] = []  # packets that wait for room for results
        self.consumed = 0
        self._out = bytearray()

    def give(self, data: bytes) -> None:
        for byte in data:
            found = self.receiver.take(byte)
            if found is False:
                self._complain()
            elif found is not None and found is not True:
                self._packet(*found)
            self._work()

    def take(self) -> bytes:
        """All that is to be sent, results included."""
        while distance(self.sent, self.written) > 0:
            start = distance(self.oldest, self.sent)
            part = bytes(self.results[start : start + link.MOST_RESULTS])
            self._send(Packet.RESULTS, self.sent, part)
            self.sent = (self.sent + len(part)) % link.POSITIONS
        out, self._out = bytes(self._out), bytearray()
        return out

    def _send(self, kind: Packet, sequence: int, payload: bytes) -> None:
        self._out += packet(kind, sequence, self.consumed, payload)

    def _status(self) -> None:
        status = Status(
            self.expected, self.oldest, self.written, self.mark, complaint=self.complaint
        )
        self._send(Packet.STATUS, self.sent, status.encoded())

    def _complain(self) -> None:
        if not self.complaint:
            self.complaint = True
            self._status()

    def _packet(self, header: Header, payload: bytes) -> None:
        kind = header.kind
        if kind != Packet.HELLO:
            further = distance(self.oldest, header.acknowledge)
            if 0 < further <= distance(self.oldest, self.written):
                del self.results[:further]
                self.oldest = header.acknowledge
                if distance(self.sent, self.oldest) > 0:
                    self.sent = self.oldest
        if kind in (Packet.POLL, Packet.RESEND, Packet.MARK):
            self.complaint = False
            self.mark = header.sequence if kind == Packet.MARK else self.mark
            self.sent = self.oldest if kind == Packet.RESEND else self.sent
            self._status()
        elif kind == Packet.HELLO:
            self.complaint = False
            self._send(Packet.INFO, header.sequence, self.info.encoded())
            self._status()
        elif kind & link.SEQUENCED_BITS:
            ahead = distance(self.expected, header.sequence)
            held = distance(self.consumed, self.expected)
            size = link.STORED_BYTES + len(payload)
            if ahead < 0:
                self._status()
            elif ahead > 0 or held + size > self.info.buffers.packets:
                self._complain()
            else:
                self.complaint = False
                self.expected = (self.expected + size) % link.POSITIONS
                self.waiting.append((kind, payload))

    def _work(self) -> None:
        """Work on packets while there is room for results; the device does so record by record."""
        while self.waiting and len(self.results) <= self.info.buffers.results // 2:
            kind, payload = self.waiting.pop(0)
            if kind == Packet.ACCESS:
                self._accesses(payload)
            elif kind == Packet.BUBBLES:
                self.tokens += [(0, 0, b"")] * int.from_bytes(payload, "little")
            else:
                self._samples(kind & 3, payload)
            self.consumed = (self.consumed + link.STORED_BYTES + len(payload)) % link.POSITIONS
            self._status()

    def _samples(self, kind: int, payload: bytes) -> None:
        size = 1 + self.elements * self.info.element_bytes
        for at in range(0, len(payload), size):
            label, *elements = payload[at : at + size]
            self.tokens.append((kind, label, bytes(elements)))
            for channel in range(self.info.heads + 1):
                first = kind | channel << link.CHANNEL_SHIFT
                loss = (sum(elements) + channel) % 1000
                record = bytes([first, label]) + loss.to_bytes(self.info.loss_bytes, "little")
                self._record(record)

    def _accesses(self, payload: bytes) -> None:
        at = 0
        while at < len(payload):
            write, register = payload[at] >> 7, payload[at] & 15
            node, at = payload[at + 1], at + 2
            if write:
                word = int.from_bytes(payload[at : at + 4], "little")
                self.registers[node, register], at = word, at + 4
                self._record(bytes([Record.WRITTEN]))
                continue
            counts = (node == 0 and register == IntakeRegister.TOKENS) or (
                node > 0 and register == UnitRegister.SLOTS
            )
            word = len(self.tokens) if counts else self.registers[node, register]
            self._record(bytes([Record.READ]) + word.to_bytes(4, "little"))

    def _record(self, text: bytes) -> None:
        self.results += text
        self.written = (self.written + len(text)) % link.POSITIONS


class Line:
    """The transport between a host and a twin, in no time: a clock that the reads move.

    ``down`` and ``up`` spoil what passes.
    """

    name = "twin"

    def __init__(self, twin: Twin, down: Spoil = bytes, up: Spoil = bytes) -> None:
        self.twin, self.down, self.up = twin, down, up
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def read(self, *, wait: bool) -> bytes:
        data = self.up(self.twin.take())
        if wait and not data:
            self.now += 0.01
        return data

    def write(self, data: bytes) -> None:
        self.twin.give(self.down(data))

    def close(self) -> None:
        pass
