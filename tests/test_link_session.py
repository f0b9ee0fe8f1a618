"""The host's session against a Python twin of the device, over lines that lose and spoil."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.bus import link
from counterflow.design.bus.link import Buffers, Info, Packet
from counterflow.host.session import Session
from counterflow.host.transport import LinkError
from counterflow.sim.boards.line_faults import KINDS, LineFaults
from tests.link_twin import Line, Twin

ELEMENTS = 6
INFO = Info(
    network="0123456789ab",
    element_bytes=1,
    loss_bytes=2,
    buffers=Buffers(),
    frequency=12_000_000,
    baud=1_000_000,
    name="tiny",
    board="twin",
)


def sample(number: int) -> bytes:
    """A label and elements that differ from those of the numbers near it."""
    return bytes([number % 4, *((number * (at + 3) + at) % 256 for at in range(ELEMENTS))])


def trained(session: Session, first: int, count: int, step: int = 20) -> None:
    """Send samples `first` ... as packets of `step`."""
    for at in range(first, first + count, step):
        payload = b"".join(sample(one) for one in range(at, min(at + step, first + count)))
        session.send(Packet.TRAIN, payload)


def expected(count: int, first: int = 0) -> list[tuple[int, int, bytes]]:
    texts = [sample(one) for one in range(first, first + count)]
    return [(2, text[0], text[1:]) for text in texts]


def line(twin: Twin, rate: float, kinds: tuple[str, ...] = KINDS, seed: int = 1) -> Line:
    return Line(twin, LineFaults(rate, kinds, seed).spoil, LineFaults(rate, kinds, seed + 1).spoil)


def connected(transport: Line, timeout: float = 30.0) -> Session:
    return Session(transport, timeout=timeout, clock=transport.clock)


@pytest.mark.parametrize("heads", [0, 2, 31])
def test_all_samples_arrive_once_in_order_and_every_prediction_comes_back(heads: int) -> None:
    twin = Twin(replace(INFO, heads=heads), ELEMENTS)
    session = connected(Line(twin))
    trained(session, 0, 1000)
    session.expect(lambda: sum(map(len, session.predictions.values())) == 1000 * (1 + heads))
    session.flush()
    assert twin.tokens == expected(1000)
    assert sorted(session.predictions) == list(range(1 + heads))
    for channel, made in session.predictions.items():
        assert [one.chosen for one in made] == [sample(at)[0] for at in range(1000)]
        assert [one.loss for one in made] == [
            (sum(sample(at)[1:]) + channel) % 1000 for at in range(1000)
        ]
    assert session.resent == session.repeats - 1 == 0  # the first request is part of connecting


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(1, 10**6),
    rate=st.sampled_from([1e-4, 1e-3, 3e-3]),
    kinds=st.sets(st.sampled_from(KINDS), min_size=1),
    step=st.integers(1, 45),
)
def test_nothing_is_lost_or_doubled_over_a_faulty_line(
    seed: int, rate: float, kinds: set[str], step: int
) -> None:
    twin = Twin(INFO, ELEMENTS)
    session = connected(line(twin, rate, tuple(sorted(kinds)), seed))
    trained(session, 0, 300, step)
    session.expect(lambda: len(session.predictions[0]) >= 300)
    session.flush()
    assert twin.tokens == expected(300)
    assert [one.loss for one in session.predictions[0]] == [
        sum(sample(at)[1:]) % 1000 for at in range(300)
    ]


def test_a_receiver_that_skips_the_crc_is_found_out() -> None:
    def wrong(check: bool) -> int:
        spoilt = 0
        for seed in range(12):
            twin = Twin(INFO, ELEMENTS, check=check)
            transport = line(twin, 3e-3, ("flip",), seed + 1)
            try:
                session = connected(transport)
                trained(session, 0, 200)
                session.flush()
            except (LinkError, IndexError):
                spoilt += 1
                continue
            spoilt += twin.tokens != expected(200)
        return spoilt

    assert wrong(check=True) == 0
    assert wrong(check=False) > 6


def test_a_new_host_goes_on_where_a_killed_one_left_off() -> None:
    twin = Twin(INFO, ELEMENTS)
    for start in range(0, 400, 80):
        count = len(twin.tokens)
        assert twin.tokens == expected(count)
        session = connected(line(twin, 1e-3, seed=start + 5))
        count = len(twin.tokens)
        trained(session, count, 80, 7)
        # Killed here: some packets not acknowledged, half of one more on the line.
        half = link.packet(Packet.TRAIN, twin.expected, 0, sample(count + 80))
        twin.give(half[: start % len(half)])
    session = connected(Line(twin))
    session.flush()
    assert twin.tokens == expected(len(twin.tokens))
    assert len(twin.tokens) >= 300


@pytest.mark.slow
def test_ten_thousand_faults_are_survived() -> None:
    twin = Twin(INFO, ELEMENTS)
    down, up = LineFaults(5e-3, seed=1), LineFaults(5e-3, seed=2)
    session = connected(Line(twin, down.spoil, up.spoil))
    count = 0
    while down.total + up.total < 10_000:
        trained(session, count, 1000, 9)
        count += 1000
        session.expect(lambda: len(session.predictions[0]) >= count)  # noqa: B023
    session.flush()
    assert twin.tokens == expected(count)


def test_a_pulled_cable_is_survived_and_a_dead_line_reported() -> None:
    twin = Twin(INFO, ELEMENTS)
    transport = Line(twin)
    session = connected(transport, timeout=5.0)
    trained(session, 0, 100)
    pulled_at = transport.now

    def cut(data: bytes) -> bytes:
        return b"" if transport.now < pulled_at + 1.0 else data

    transport.down = transport.up = cut
    trained(session, 100, 300)
    session.flush()
    assert twin.tokens == expected(400)
    transport.down = lambda data: b""
    with pytest.raises(LinkError, match="has not answered for 5 s"):
        trained(session, 400, 1000)


def test_garbage_alone_is_no_board() -> None:
    twin = Twin(INFO, ELEMENTS)
    transport = Line(twin, down=lambda data: b"", up=lambda data: bytes(range(256)))
    transport.read = lambda *, wait: setattr(transport, "now", transport.now + 0.1) or b"\xa7no"
    with pytest.raises(LinkError, match=r"no Counterflow board answers .* bytes of garbage"):
        connected(transport, timeout=3.0)


def test_another_version_of_the_protocol_is_named() -> None:
    twin = Twin(INFO, ELEMENTS)
    object.__setattr__(twin.info, "version", 7)
    try:
        with pytest.raises(
            ValueError, match="speaks version 7 of the link, this program versions 1 and 2"
        ):
            connected(Line(twin))
    finally:
        object.__setattr__(twin.info, "version", link.VERSION)


@pytest.mark.parametrize("first", [7, 1 << 3 | 4, 1 << 3 | 2])
def test_a_result_of_unknown_kind_is_named(first: int) -> None:
    twin = Twin(INFO, ELEMENTS)  # without heads
    session = connected(Line(twin))
    twin._record(bytes([first, 0, 0, 0]))
    with pytest.raises(LinkError, match=f"sent a result of unknown kind {first}"):
        session.pump()


def test_the_mark_is_kept() -> None:
    twin = Twin(INFO, ELEMENTS)
    session = connected(line(twin, 1e-3))
    session.mark(4711)
    assert twin.mark == 4711
    assert connected(Line(twin)).status.mark == 4711
