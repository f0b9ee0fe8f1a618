"""The protocol as a description: bytes of packets, what is refused, and that the page agrees."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.design.bus import link
from counterflow.design.bus.link import (
    Buffers,
    Header,
    Info,
    Packet,
    Record,
    Status,
    distance,
    packet,
)
from counterflow.design.network.files import load, shipped
from counterflow.host.frames import Frames

PAGE = Path(__file__).parents[1] / "docs" / "host-link.md"
INFO = Info("0123456789ab", 2, 3, Buffers(2048, 512), 48_000_000, 3_000_000, "net", "board")


def test_the_checks_are_the_published_ones() -> None:
    assert link.crc8(b"123456789") == 0xF4  # CRC-8/SMBUS
    assert link.crc32(b"123456789") == 0xCBF43926  # CRC-32/ISO-HDLC


def test_a_packet_is_laid_out_as_the_page_says() -> None:
    text = packet(Packet.TRAIN, 0x1234, 0xABCD, b"xyz")
    assert text[:8] == bytes([0xA7, 0x12, 3, 0, 0x34, 0x12, 0xCD, 0xAB])
    assert text[8] == link.crc8(text[1:8])
    assert text[9:12] == b"xyz"
    assert text[12:] == link.crc32(text[1:12]).to_bytes(4, "little")
    assert len(text) == 3 + link.FRAME_BYTES


def test_the_page_names_every_kind_with_its_number() -> None:
    page = PAGE.read_text()
    for kind in Packet:
        assert f"| `{kind:02X}` | {kind.name} |" in page
    for record in Record:
        assert f"`{record:02X}`" in page
    numbers = {int(one.replace(",", "")) for one in re.findall(r"\d[\d,]*", page)}
    assert {link.FRAME_BYTES, link.STORED_BYTES, link.MOST_RESULTS, link.POSITIONS} <= numbers
    assert f"`{link.SYNC:02X}`" in page


def test_info_and_status_come_back_as_they_were() -> None:
    for info in (INFO, replace(INFO, heads=3, version=link.HEADS_VERSION)):
        assert Info.decoded(info.encoded()) == info
    for complaint in (False, True):
        status = Status(1, 0xFFFF, 515, 7, complaint=complaint)
        assert Status.decoded(status.encoded()) == status
        assert len(status.encoded()) == link.STATUS_BYTES


def test_the_first_byte_of_a_prediction_has_room_for_its_channel() -> None:
    for channel in (0, 1, link.MOST_CHANNEL):
        for kind in (*Record, 1, 2, 3):
            first = kind | channel << link.CHANNEL_SHIFT
            assert first < 256
            assert link.channel_of(first) == (kind, channel)


def test_every_network_has_room_for_two_of_its_samples() -> None:
    for name in shipped():
        description = load(name)
        buffers = Buffers.of(description)
        assert link.token_bytes(description) <= buffers.longest
        assert buffers.packets & (buffers.packets - 1) == 0
        assert buffers.packets <= 1 << 14


@pytest.mark.parametrize(
    ("start", "end", "bytes_"), [(0, 5, 5), (65_530, 4, 10), (4, 65_530, -10), (7, 7, 0)]
)
def test_distances_go_round(start: int, end: int, bytes_: int) -> None:
    assert distance(start, end) == bytes_


def test_a_spoilt_header_is_none() -> None:
    text = bytearray(Header(Packet.INFO, 5, 6, 7).encoded())
    assert Header.decoded(bytes(text)) == (Packet.INFO, 5, 6, 7)
    text[2] ^= 1
    assert Header.decoded(bytes(text)) is None


@given(
    payloads=st.lists(st.binary(max_size=link.MOST_RESULTS), max_size=8),
    garbage=st.lists(st.binary(max_size=40), min_size=9, max_size=9),
    step=st.integers(1, 50),
)
def test_the_host_finds_every_packet_between_garbage(
    payloads: list[bytes], garbage: list[bytes], step: int
) -> None:
    packets = [packet(Packet.RESULTS, at, 0, one) for at, one in enumerate(payloads)]
    text = garbage[-1] + b"".join(
        one + between for one, between in zip(packets, garbage, strict=False)
    )
    text += bytes(2 * link.MOST_RESULTS)  # what a header in the garbage may ask for
    frames, found = Frames(), []
    for at in range(0, len(text), step):
        found += [one.payload for one in frames.add(text[at : at + step])]
    assert found == payloads
