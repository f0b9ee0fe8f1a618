"""Packets out of a stream of bytes that may hold anything between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from counterflow.design.bus.link import (
    CRC_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    MOST_INFO,
    MOST_RESULTS,
    SYNC,
    Header,
    Packet,
    crc32,
)

LONGEST = max(MOST_INFO, MOST_RESULTS)  # payload of a device's packet
KINDS = (Packet.INFO, Packet.STATUS, Packet.RESULTS)


class Received(NamedTuple):
    """A packet from the device whose CRC is right."""

    kind: Packet
    header: Header
    payload: bytes


class Frames:
    """Collects bytes; ``spoilt`` counts those that belonged to no good packet."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.spoilt = 0

    def add(self, data: bytes) -> Iterator[Received]:
        """The packets that are whole with `data`.

        After anything else the search goes on with the next byte, so that a packet is found
        whatever came before it.
        """
        self._bytes += data
        while True:
            start = self._bytes.find(SYNC)
            skipped = len(self._bytes) if start < 0 else start
            self.spoilt += skipped
            del self._bytes[:skipped]
            if len(self._bytes) < HEADER_BYTES:
                return
            header = Header.decoded(bytes(self._bytes[1:HEADER_BYTES]))
            if header is None or header.kind not in KINDS or header.length > LONGEST:
                self._skip()
                continue
            end = HEADER_BYTES + header.length
            if len(self._bytes) < header.length + FRAME_BYTES:
                return
            text = bytes(self._bytes[1:end])
            sent = int.from_bytes(self._bytes[end : end + CRC_BYTES], "little")
            if crc32(text) != sent:
                self._skip()
                continue
            del self._bytes[: end + CRC_BYTES]
            yield Received(Packet(header.kind), header, text[HEADER_BYTES - 1 :])

    def _skip(self) -> None:
        del self._bytes[0]
        self.spoilt += 1
