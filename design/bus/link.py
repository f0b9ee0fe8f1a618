"""The host link: what host and device say to each other over a line of bytes, as one description.

The hardware (`hw.link.link`), the host program (`counterflow.host`) and `docs/host-link.md` are
made from or held to what stands here; that page explains why it is so.  Numbers of several bytes
come lowest byte first.

    packet:   sync  kind  length:2  sequence:2  acknowledge:2  check  payload  crc:4
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.losses import LossNumbers

VERSION = 1  # of the protocol; to be raised with whatever makes older programs misunderstand
HEADS_VERSION = 2  # of a device whose network has heads: only there predictions have channels
VERSIONS = (VERSION, HEADS_VERSION)

SYNC = 0xA7  # rare in images, whose bytes are mostly small or 255
POSITION_BITS = 16  # positions in both streams of bytes count modulo 2**16
POSITIONS = 1 << POSITION_BITS


@dataclass(frozen=True)
class Crc:
    """A cyclic redundancy check in the terms of the Williams model."""

    width: int
    polynomial: int
    initial: int
    reflected: bool
    inverted: int


HEADER_CRC = Crc(8, 0x07, 0x00, reflected=False, inverted=0x00)  # over kind ... acknowledge
PACKET_CRC = Crc(  # over kind ... payload, the header's check included: that of zlib and Ethernet
    32, 0x04C11DB7, 0xFFFFFFFF, reflected=True, inverted=0xFFFFFFFF
)

HEADER_BYTES = 9  # sync ... check
CRC_BYTES = PACKET_CRC.width // 8
FRAME_BYTES = HEADER_BYTES + CRC_BYTES
STORED_BYTES = 3  # kind and length, which lie before each payload in the device's buffer


class Packet(IntEnum):
    """Kinds of packets."""

    # From the host, at any time: they act when they arrive and have no payload.
    HELLO = 0x01  # asks for INFO, which repeats `sequence`, any number, and then STATUS
    POLL = 0x02  # acknowledges and asks for STATUS
    RESEND = 0x03  # as POLL, and results shall be sent again from `acknowledge` on
    MARK = 0x04  # as POLL, and the device keeps `sequence` as its mark: see `Status.mark`
    # From the host, in sequence: they act one after the other.  The lower bits are a `Kind`.
    BUBBLES = 0x10  # count:2
    INFER = 0x11  # whole samples: label, elements
    TRAIN = 0x12
    ACCUMULATE = 0x13
    ACCESS = 0x20  # register accesses: operation, node, and four bytes if it writes
    # From the device.
    INFO = 0x41
    STATUS = 0x42
    RESULTS = 0x43

    @property
    def sequenced(self) -> bool:
        """Whether it is from the host and has a place in the sequence."""
        return 0x10 <= self < 0x40


TOKENS_BIT = 0x10  # of sequenced kinds: those that carry tokens
SEQUENCED_BITS = 0x30
MOST_BUBBLES = (1 << 16) - 1  # of one packet


class Operation(IntEnum):
    """First byte of a register access; its low four bits name the register."""

    READ = 0x00
    WRITE = 0x80


class Record(IntEnum):
    """First byte of a result; a prediction begins with the token's `Kind`, 1 to 3.

    Above that, from CHANNEL_SHIFT on, stands whose prediction it is: see `channel_of`.
    """

    READ = 4  # word:4
    WRITTEN = 5
    REFUSED = 6  # no node took the access, or the unit was in mid-slot


WORD_BYTES = 4
CLASS_BYTES = 1
CHANNEL_SHIFT = 3  # of a prediction's first byte
MOST_CHANNEL = (1 << 8 - CHANNEL_SHIFT) - 1

STATUS_BYTES = 9  # expected:2 oldest:2 written:2 mark:2 flags
COMPLAINT = 1  # flag: something has been lost or broken since the last packet in sequence
INFO_FIXED = 22  # bytes of INFO in front of the names
MOST_INFO = 96
MOST_RESULTS = 128  # bytes in one packet, so that no status waits long behind them

BAUD = 1_000_000  # unless somebody says otherwise


def element_bytes(description: Description) -> int:
    """Bytes of an element of a sample: one, or two where the input format is wider."""
    return 1 if description.formats.input.bits <= 8 else 2


def token_bytes(description: Description) -> int:
    """Bytes of a sample with its label."""
    return 1 + description.elements * element_bytes(description)


def loss_bytes(numbers: LossNumbers) -> int:
    """Bytes of a loss in a prediction."""
    return -(-numbers.loss.bits // 8)


def prediction_bytes(numbers: LossNumbers) -> int:
    """Bytes of a prediction: kind, class, loss."""
    return 1 + CLASS_BYTES + loss_bytes(numbers)


def channel_of(first: int) -> tuple[int, int]:
    """A result's first byte without its channel, and that: a head's component, else 0."""
    return first & ((1 << CHANNEL_SHIFT) - 1), first >> CHANNEL_SHIFT


def tokens_kind(kind: Kind) -> Packet:
    """The kind of packet that carries tokens of `kind`."""
    return Packet(TOKENS_BIT | kind)


def crc8(data: bytes) -> int:
    """`HEADER_CRC` of `data`."""
    value = HEADER_CRC.initial
    for byte in data:
        value = _TABLE[value ^ byte]
    return value ^ HEADER_CRC.inverted


def _crc8_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte << 1 ^ (HEADER_CRC.polynomial if byte & 0x80 else 0)) & 0xFF
    return byte


_TABLE = tuple(_crc8_of(byte) for byte in range(256))


def crc32(data: bytes) -> int:
    """`PACKET_CRC` of `data`."""
    return zlib.crc32(data)


class Header(NamedTuple):
    """The header of a packet, without sync and check."""

    kind: int
    length: int
    sequence: int
    acknowledge: int

    def encoded(self) -> bytes:
        """Kind ... check."""
        numbers = (self.length, self.sequence, self.acknowledge)
        text = bytes([self.kind]) + b"".join(number.to_bytes(2, "little") for number in numbers)
        return text + bytes([crc8(text)])

    @classmethod
    def decoded(cls, text: bytes) -> Self | None:
        """The header in kind ... check, or None where the check is wrong."""
        if crc8(text[:-1]) != text[-1]:
            return None
        numbers = (int.from_bytes(text[at : at + 2], "little") for at in (1, 3, 5))
        return cls(text[0], *numbers)


def packet(kind: int, sequence: int, acknowledge: int, payload: bytes = b"") -> bytes:
    """A whole packet."""
    body = Header(kind, len(payload), sequence, acknowledge).encoded() + payload
    return bytes([SYNC]) + body + crc32(body).to_bytes(CRC_BYTES, "little")


def distance(start: int, end: int) -> int:
    """Bytes from the position `start` to `end`, negative where `end` is behind."""
    return (end - start + POSITIONS // 2) % POSITIONS - POSITIONS // 2


@dataclass(frozen=True)
class Buffers:
    """Bytes that the device can hold: of packets not yet worked on, of results not yet known."""

    packets: int = 1024
    results: int = 512

    @classmethod
    def of(cls, description: Description) -> Self:
        """The default, or more where a packet of one sample would be more than a half."""
        least = 2 * (token_bytes(description) + STORED_BYTES)
        return cls(packets=max(cls.packets, 1 << (least - 1).bit_length()))

    @property
    def longest(self) -> int:
        """Bytes of the longest payload that the device takes."""
        return self.packets // 2 - STORED_BYTES


@dataclass(frozen=True)
class Status:
    """What STATUS says: positions in both streams, and whether something was lost."""

    expected: int
    """Position of the next packet in sequence."""
    oldest: int
    """Position of the first result that the device still has."""
    written: int
    """Position of the next result that it will make."""
    mark: int
    """What the host has last sent as mark, by which it knows its board again; 0 after a reset."""
    complaint: bool

    def encoded(self) -> bytes:
        numbers = (self.expected, self.oldest, self.written, self.mark)
        flags = COMPLAINT * self.complaint
        return b"".join(number.to_bytes(2, "little") for number in numbers) + bytes([flags])

    @classmethod
    def decoded(cls, payload: bytes) -> Self:
        if len(payload) != STATUS_BYTES:
            raise ValueError(f"the device sent a status of {len(payload)} bytes")
        expected, oldest, written, mark = (
            int.from_bytes(payload[at : at + 2], "little") for at in (0, 2, 4, 6)
        )
        return cls(expected, oldest, written, mark, bool(payload[8] & COMPLAINT))


@dataclass(frozen=True)
class Info:
    """What INFO says of the device; the first byte is the version, whatever follows."""

    network: str
    """The description's hash."""
    element_bytes: int
    loss_bytes: int
    buffers: Buffers
    frequency: int
    """Of the clock, in Hz."""
    baud: int
    """Of the line, in bits a second; 0 where a transport has no such rate."""
    name: str
    """Of the network."""
    board: str
    heads: int = 0
    """Components with a head, which has predictions of its own."""
    version: int = VERSION

    def encoded(self) -> bytes:
        """The payload of INFO."""
        fixed = (
            (self.version, 1),
            (self.element_bytes, 1),
            (self.loss_bytes, 1),
            (self.heads, 1),
            (self.buffers.packets, 2),
            (self.buffers.results, 2),
        )
        text = b"".join(number.to_bytes(size, "little") for number, size in fixed)
        text += bytes.fromhex(self.network)
        text += b"".join(number.to_bytes(4, "little") for number in (self.frequency, self.baud))
        text += f"{self.name}\0{self.board}".encode("ascii")
        if len(text) > MOST_INFO:
            raise ValueError(f"board {self.board!r} has too long a name")
        return text

    @classmethod
    def decoded(cls, payload: bytes) -> Self:
        """Raises ValueError, one sentence, for another version of the protocol."""
        if not payload or payload[0] not in VERSIONS:
            spoken, known = payload[0] if payload else "none", " and ".join(map(str, VERSIONS))
            raise ValueError(
                f"the board speaks version {spoken} of the link, this program versions {known}; "
                "build the board's bitstream and install the program from the same release"
            )

        def number(at: int, size: int) -> int:
            return int.from_bytes(payload[at : at + size], "little")

        name, _, board = payload[INFO_FIXED:].decode("ascii", "replace").partition("\0")
        return cls(
            network=payload[8:14].hex(),
            element_bytes=payload[1],
            loss_bytes=payload[2],
            buffers=Buffers(number(4, 2), number(6, 2)),
            frequency=number(14, 4),
            baud=number(18, 4),
            name=name,
            board=board,
            heads=payload[3],
            version=payload[0],
        )
