"""The link's hardware in Amaranth's simulator against the Python twin, packet by packet."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from amaranth.sim import Simulator

from counterflow.design.bus import link
from counterflow.design.bus.link import Buffers, Packet, Status, packet
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.host.frames import Frames
from counterflow.hw.link import receiver
from counterflow.hw.link.check import PacketCheck
from counterflow.hw.link.link import Link, info_of
from counterflow.hw.link.receiver import PacketReceiver
from counterflow.hw.link.results import LONGEST, SPARE, Results
from counterflow.hw.link.uart import UartReceiver, UartTransmitter, divisor_of
from tests.headed import headed
from tests.link_twin import Receiver

BUFFERS = Buffers(packets=256, results=64)
VERDICT = 12  # cycles from a packet's last byte to the verdict on it


def simulated(unit: Any, bench: Callable[[Any], Any]) -> None:
    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def spoilt_stream(seed: int, packets: int) -> tuple[bytes, list[bytes]]:
    """Packets in sequence, some of them spoilt, with garbage between; and the good payloads.

    A spoilt packet comes again, whole, as a host would send it.
    """
    random_ = random.Random(seed)
    data, good, position = bytearray(), [], 0
    for _ in range(packets):
        payload = random_.randbytes(random_.randrange(1, 40))
        text = packet(Packet.TRAIN, position, 0, payload)
        for fault in random_.sample(["flip", "cut", "garbage", "double", "none"], 2):
            if fault == "flip":
                at = random_.randrange(len(text) * 8)
                spoilt = bytearray(text)
                spoilt[at // 8] ^= 1 << at % 8
                data += spoilt
            elif fault == "cut":
                data += text[: random_.randrange(len(text))]
            elif fault == "double":
                at = random_.randrange(len(text))
                data += text[:at] + text[at : at + 1] + text[at:]
            elif fault == "garbage":
                data += random_.randbytes(random_.randrange(30))
        data += bytes(BUFFERS.packets // 2 + link.FRAME_BYTES)  # what a stuck receiver may swallow
        data += text
        good.append(payload)
        position = (position + link.STORED_BYTES + len(payload)) % link.POSITIONS
    return bytes(data), good


def accepted_by_twin(data: bytes) -> list[bytes]:
    """Payloads in sequence that the Python receiver accepts."""
    receiver, found, position = Receiver(BUFFERS.packets // 2), [], 0
    for byte in data:
        taken = receiver.take(byte)
        if isinstance(taken, tuple) and taken[0].sequence == position:
            found.append(taken[1])
            position = (position + link.STORED_BYTES + len(taken[1])) % link.POSITIONS
    return found


def accepted_by_hardware(data: bytes) -> list[bytes]:
    """Payloads that the receiver commits to its ring."""
    unit, found = PacketReceiver(buffers=BUFFERS), []

    async def bench(context: Any) -> None:
        ring, committed = bytearray(BUFFERS.packets), 0
        for byte in [*data, *[None] * VERDICT]:
            context.set(unit.i.valid, byte is not None)
            context.set(unit.i.payload, byte or 0)
            while True:
                if context.get(unit.ring.en):
                    ring[context.get(unit.ring.addr)] = context.get(unit.ring.data)
                ready = context.get(unit.i.ready)
                await context.tick()
                now = context.get(unit.committed)
                if now != committed:
                    size = link.distance(committed, now)
                    text = bytes(ring[(committed + at) % len(ring)] for at in range(size))
                    assert int.from_bytes(text[1:3], "little") == size - link.STORED_BYTES
                    found.append(text[link.STORED_BYTES :])
                    context.set(unit.consumed, now)
                    committed = now
                if ready or byte is None:
                    break

    simulated(unit, bench)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_receiver_accepts_what_its_twin_does_and_nothing_broken(seed: int) -> None:
    data, good = spoilt_stream(seed, 12)
    found = accepted_by_hardware(data)
    assert found == accepted_by_twin(data) == good


def test_a_receiver_that_skips_the_crc_accepts_something_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = PacketReceiver._judge

    def careless(self: Any, m: Any, judging: Any, right: Any, *rest: Any) -> None:
        original(self, m, judging, 1, *rest)

    monkeypatch.setattr(receiver.PacketReceiver, "_judge", careless)
    data, good = spoilt_stream(0, 12)
    assert accepted_by_hardware(data) != good


def test_a_packet_without_room_is_refused_and_overwrites_nothing() -> None:
    unit = PacketReceiver(buffers=BUFFERS)
    payload = bytes(range(100))
    size = len(payload) + link.STORED_BYTES

    async def bench(context: Any) -> None:
        written: list[int] = []
        for number in range(3):
            text = packet(Packet.TRAIN, number * size, 0, payload)
            for byte in [*text, *[None] * VERDICT]:
                context.set(unit.i.valid, byte is not None)
                context.set(unit.i.payload, byte or 0)
                while byte is not None and not context.get(unit.i.ready):
                    await context.tick()
                if context.get(unit.ring.en):
                    written.append(context.get(unit.ring.addr))
                await context.tick()
        assert context.get(unit.committed) == 2 * size
        assert context.get(unit.complaint)
        assert len(written) == len(set(written)) == BUFFERS.packets

    simulated(unit, bench)


def checked(text: bytes, closing: bytes) -> tuple[int, list[int], bool]:
    """(header's check, four bytes of the CRC of `text`, whether `closing` differs from those)."""
    unit, found = PacketCheck(), []

    async def bench(context: Any) -> None:
        async def take(byte: int) -> None:
            context.set(unit.load, 1)
            context.set(unit.data, byte)
            await context.tick()
            context.set(unit.load, 0)
            assert context.get(unit.byte) == byte
            while context.get(unit.busy):
                await context.tick()

        context.set(unit.start, 1)
        await take(0x55)  # a sync, which is not part of either
        context.set(unit.start, 0)
        for byte in text:
            await take(byte)
        found.append(context.get(unit.header))
        context.set(unit.closing, 1)
        for byte in closing:
            found.append(context.get(unit.packet))
            await take(byte)
        found.append(context.get(unit.differs))

    simulated(unit, bench)
    return found[0], found[1:-1], bool(found[-1])


def test_the_checks_are_those_of_the_description() -> None:
    for text in (bytes(range(40)), b"123456789", b"\xff"):
        crc = link.crc32(text).to_bytes(4, "little")
        assert checked(text, crc) == (link.crc8(text), list(crc), False)


@pytest.mark.parametrize("bit", [0, 7, 12, 31])
def test_a_crc_that_differs_in_one_bit_is_seen(bit: int) -> None:
    text = b"123456789"
    wrong = (link.crc32(text) ^ 1 << bit).to_bytes(4, "little")
    assert checked(text, wrong)[2]


def test_one_flipped_bit_anywhere_is_seen() -> None:
    text = packet(Packet.TRAIN, 0, 0, bytes(range(30)))
    for at in range(8, 8 * len(text)):
        spoilt = bytearray(text)
        spoilt[at // 8] ^= 1 << at % 8
        receiver = Receiver(BUFFERS.packets // 2)
        assert not any(isinstance(receiver.take(byte), tuple) for byte in spoilt)


def test_the_link_answers_hello_and_access_and_feeds_the_chain() -> None:
    design = plan(load("tiny"))
    info = info_of(design, 12e6, 1_000_000, "bench")
    unit = Link(plan=design, info=info)
    frames, found = Frames(), []
    labels: list[int] = []
    elements: list[int] = []

    async def bench(context: Any) -> None:
        sample = bytes([3, 10, 20, 30, 40, 50, 60])
        access = bytes([0x80 | 1, 2, 1, 2, 3, 4, 0x07, 1])  # a write, then a read
        hello, data = packet(Packet.HELLO, 0x5A5A, 0), packet(Packet.TRAIN, 0, 0, sample)
        data += packet(Packet.ACCESS, link.STORED_BYTES + len(sample), 0, access)
        context.set(unit.samples.ready, 1)
        context.set(unit.labels.ready, 1)
        context.set(unit.request.ready, 1)
        context.set(unit.o.ready, 1)
        pending = list(hello)
        for cycle in range(3000):
            if cycle == 1000:  # INFO is there
                pending = list(data)
            some = bool(pending) and cycle % 12 == 0
            context.set(unit.i.valid, some)
            context.set(unit.i.payload, pending[0] if some else 0)
            if some and context.get(unit.i.ready):
                pending.pop(0)
            if context.get(unit.labels.valid):
                labels.append(context.get(unit.labels.payload.label))
            if context.get(unit.samples.valid):
                elements.append(context.get(unit.samples.payload.data))
            if context.get(unit.o.valid):
                found.extend(frames.add(bytes([context.get(unit.o.payload)])))
            asked = context.get(unit.request.valid)
            await context.tick()
            context.set(unit.response.valid, asked)
            context.set(unit.response.done, 1)
            context.set(unit.response.data, 0xFFFFFFFE)

    simulated(unit, bench)
    assert (labels, elements) == ([3], [10, 20, 30, 40, 50, 60])
    assert frames.spoilt == 0
    assert found[0].kind is Packet.INFO
    assert found[0].header.sequence == 0x5A5A
    assert link.Info.decoded(found[0].payload) == info
    results = b"".join(one.payload for one in found if one.kind is Packet.RESULTS)
    assert results == bytes([link.Record.WRITTEN, link.Record.READ, 0xFE, 0xFF, 0xFF, 0xFF])
    last = [one for one in found if one.kind is Packet.STATUS][-1]
    taken = 2 * link.STORED_BYTES + 7 + 8  # of the two packets in sequence
    assert Status.decoded(last.payload).expected == taken
    assert last.header.acknowledge == taken


def some_predictions(design: Plan, count: int, dice: random.Random) -> tuple[list[Any], bytes]:
    """Payloads of `count` predictions with scores in any order, and the records of these."""
    numbers, channels = design.schedule.loss.arithmetic, (0, *design.schedule.heads)
    wanted, offered = bytearray(), []
    for number in range(count):
        kind, channel = 1 + number % 3, channels[-number % len(channels)]
        scores, loss = [dice.randrange(-99, 99) for _ in range(numbers.classes)], number * 77
        for place, score in enumerate(scores):
            last = place == numbers.classes - 1
            about = {"channel": channel} if len(channels) > 1 else {}
            offered.append({"score": score, "loss": loss, "kind": kind, "last": last, **about})
        wanted += bytes([kind | channel << link.CHANNEL_SHIFT, scores.index(max(scores))])
        wanted += loss.to_bytes(link.loss_bytes(numbers), "little")
    return offered, bytes(wanted)


@pytest.mark.parametrize("design", [plan(load("tiny")), headed()], ids=["alone", "with heads"])
def test_a_prediction_becomes_a_record_with_whose_it_is(design: Plan) -> None:
    unit, found = Results(schedule=design.schedule, buffers=BUFFERS), bytearray()
    offered, wanted = some_predictions(design, 12, random.Random(3))

    async def bench(context: Any) -> None:
        while len(found) < len(wanted):
            context.set(unit.predictions.valid, bool(offered))
            context.set(unit.oldest, context.get(unit.written))
            if offered:
                context.set(unit.predictions.payload, offered[0])
                if context.get(unit.predictions.ready):
                    offered.pop(0)
            if context.get(unit.ring.en):
                found.append(context.get(unit.ring.data))
            await context.tick()

    simulated(unit, bench)
    assert found == wanted
    assert not offered


@pytest.mark.parametrize("answering", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("acknowledging", [0.0, 0.02, 0.2])
def test_no_result_is_written_over_before_the_host_has_it(
    acknowledging: float, answering: float
) -> None:
    design, dice = plan(load("tiny")), random.Random(5)
    unit, ring = Results(schedule=design.schedule, buffers=BUFFERS), [0] * BUFFERS.results
    offered, _ = some_predictions(design, 3, dice)
    answers = [(byte, byte == LONGEST - 1) for byte in range(LONGEST)] * 80
    sent, taken = bytearray(), bytearray()
    oldest = 0

    async def bench(context: Any) -> None:
        nonlocal oldest
        offering = False
        for _ in range(1_500):
            if not offering:
                offering = dice.random() >= answering
            context.set(unit.predictions.valid, offering)
            context.set(unit.predictions.payload, offered[0])
            context.set(unit.answers.valid, 1)
            context.set(unit.answers.payload, dict(zip(("byte", "last"), answers[0], strict=True)))
            if offering and context.get(unit.predictions.ready):
                offered.append(offered.pop(0))
                offering = False
            if context.get(unit.answers.ready):
                answers.append(answers.pop(0))
            if context.get(unit.ring.en):
                ring[context.get(unit.ring.addr)] = context.get(unit.ring.data)
                sent.append(context.get(unit.ring.data))
            told = context.get(unit.written)
            if dice.random() < acknowledging:
                taken.extend(ring[place % BUFFERS.results] for place in range(oldest, told))
                oldest = told
            context.set(unit.oldest, oldest)
            await context.tick()

    simulated(unit, bench)
    assert len(sent) - oldest <= BUFFERS.results, "a byte that is still needed was written over"
    assert taken == sent[: len(taken)]
    if acknowledging:
        assert len(taken) > BUFFERS.results
    else:  # no room is left that would do for a record
        assert len(sent) > BUFFERS.results - SPARE - LONGEST


def test_a_head_without_a_number_on_the_link_is_refused() -> None:
    design = headed()
    loss = design.schedule.losses[1]
    far = replace(loss, unit=replace(loss.unit, head=40))
    units = tuple(far if one is loss else one for one in design.schedule.units)
    wide = replace(design, schedule=replace(design.schedule, units=units))
    with pytest.raises(ValueError, match=r"a head behind component 40, but .* up to 31"):
        info_of(wide, 12e6, 1_000_000, "bench")


@pytest.mark.parametrize("divisor", [4, 7, 16])
@pytest.mark.parametrize("error", [-0.02, 0.0, 0.02])
def test_bytes_pass_the_line_at_rates_that_differ_a_little(divisor: int, error: float) -> None:
    unit, text = UartReceiver(divisor=divisor), bytes([0, 255, 0xA7, 0x55, 0xAA, 1, 128])
    found: list[int] = []

    async def bench(context: Any) -> None:
        bits = [1, 1]
        for byte in text:
            bits += [0, *(byte >> at & 1 for at in range(8)), 1]
        bits += [1, 1, 1]
        length = divisor * (1 + error)
        for cycle in range(int(len(bits) * length)):
            context.set(unit.rx, bits[int(cycle / length)])
            await context.tick()
            if context.get(unit.o.valid):
                found.append(context.get(unit.o.payload))

    simulated(unit, bench)
    assert bytes(found) == text


def test_the_transmitter_leaves_no_gap_between_bytes() -> None:
    divisor, text = 5, bytes([0x00, 0xFF, 0xA5])
    unit, line = UartTransmitter(divisor=divisor), []

    async def bench(context: Any) -> None:
        pending = list(text)
        for _ in range(10 * divisor * (len(text) + 1)):
            context.set(unit.i.valid, bool(pending))
            context.set(unit.i.payload, pending[0] if pending else 0)
            taken = pending and context.get(unit.i.ready)
            await context.tick()
            line.append(context.get(unit.tx))
            if taken:
                pending.pop(0)

    simulated(unit, bench)
    bits = "".join(str(bit) for bit in line[divisor // 2 :: divisor])
    frames = "".join("0" + f"{byte:08b}"[::-1] + "1" for byte in text)
    assert bits.startswith(frames)
    assert set(bits[len(frames) :]) == {"1"}


def test_a_clock_that_cannot_make_the_rate_is_refused() -> None:
    assert divisor_of(12e6, 1_000_000) == 12
    with pytest.raises(ValueError, match="too slow for 4,000,000 baud; at most 3,000,000"):
        divisor_of(12e6, 4_000_000)
    with pytest.raises(ValueError, match=r"9\.1 % off|7\.\d % off|8\.\d % off"):
        divisor_of(12e6, 2_200_000)
