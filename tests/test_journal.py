"""What a board has said survives the host, killed at any moment, and a disk that is full."""

from __future__ import annotations

import os
import random
import resource
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from counterflow.design.bus.link import POSITIONS
from counterflow.host.journal import RECORD, Journal, Prediction
from counterflow.host.session import Session
from tests.link_twin import Line, Twin
from tests.test_link_session import ELEMENTS, INFO, sample, trained

MARK, HEADS, SAMPLES = 77, 2, 300


class KilledError(BaseException):
    """Ends a host as a signal would: whatever it has not written or sent is gone."""


class Deadly(Line):
    """A line whose host ends before one of the packets that it would send."""

    left = 0

    def write(self, data: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise KilledError
        super().write(data)


def started(path: Path) -> Twin:
    """A device at the beginning of a training, with the journal of it."""
    twin = Twin(replace(INFO, heads=HEADS), ELEMENTS)
    twin.mark = MARK
    journal = Journal(path)
    journal.begin(MARK, twin.written)
    journal.close()
    return twin


def live(twin: Twin, path: Path, writes: int) -> bool:
    """A host that goes on with the training, killed before its packet of number `writes`."""
    transport = Deadly(twin)
    transport.left = writes
    session = None
    try:
        session = connected(transport, path)
        count = len(twin.tokens)
        trained(session, count, SAMPLES - count, 7)
        session.flush()
        session.keep()
        return True
    except KilledError:
        return False
    finally:
        if session is not None and session.journal is not None:
            session.journal.close()  # as the system does


def connected(transport: Line, path: Path) -> Session:
    return Session(transport, timeout=30, clock=transport.clock, journal=partial(Journal.of, path))


def wanted(count: int = SAMPLES) -> dict[int, list[tuple[int, int]]]:
    """Best class and loss of each sample, by channel."""
    return {
        channel: [(sample(at)[0], (sum(sample(at)[1:]) + channel) % 1000) for at in range(count)]
        for channel in range(1 + HEADS)
    }


def said(path: Path, count: int = SAMPLES) -> dict[int, list[tuple[int, int] | None]]:
    journal = Journal.of(path, MARK)
    assert journal is not None
    found = journal.read(dict.fromkeys(range(1 + HEADS), count))
    journal.close()
    return {
        channel: [None if one is None else (one.chosen, one.loss) for one in every]
        for channel, every in found.items()
    }


@pytest.mark.parametrize("seed", range(12))
def test_hosts_killed_at_any_moment_keep_all_that_the_board_said_once_and_in_order(
    seed: int, tmp_path: Path
) -> None:
    path, chance = tmp_path / "journal", random.Random(seed)
    twin, lives = started(path), 1
    while not live(twin, path, chance.randrange(2, 12)) and lives < 400:
        lives += 1
    assert lives > 4
    assert len(twin.tokens) == SAMPLES
    assert said(path) == wanted()


def test_a_host_that_acknowledges_what_it_has_not_kept_loses_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault for which the order is as it is."""
    path, real = tmp_path / "journal", Session.keep
    twin = started(path)
    monkeypatch.setattr(Session, "keep", lambda self: None)
    assert not live(twin, path, 30)
    monkeypatch.setattr(Session, "keep", real)
    assert live(twin, path, 10**6)
    found = said(path)
    assert found != wanted()
    assert None in found[0]


def test_what_another_program_was_told_is_lost_and_all_else_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    twin = started(path)
    transport = Line(twin)
    session = connected(transport, path)
    trained(session, 0, 40)
    session.flush()
    session.keep()
    session.journal.close()  # type: ignore[union-attr]
    other = Session(Line(twin), timeout=30)
    trained(other, 40, 20)
    other.flush()
    other.refresh()
    other.refresh()
    assert twin.oldest == twin.written
    expected = wanted(60)
    for channel, found in said(path, 60).items():
        assert found == [*expected[channel][:40], *[None] * 20]
    session = connected(transport, path)
    trained(session, 60, 30)
    session.flush()
    session.keep()
    session.journal.close()  # type: ignore[union-attr]
    expected = wanted(90)
    for channel, found in said(path, 90).items():
        assert found == [*expected[channel][:40], *[None] * 20, *expected[channel][60:]]


def test_a_journal_is_of_one_training(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert Journal.of(path, MARK) is None
    path.write_bytes(b"")
    assert Journal.of(path, MARK) is None
    path.write_bytes(b"something else that is longer than a record")
    assert Journal.of(path, MARK) is None
    started(path)
    assert Journal.of(path, MARK + 1) is None
    assert Journal.of(path, MARK) is not None


def test_a_journal_is_of_one_host_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    with pytest.raises(ValueError, match="is in use by another host; name another file with"):
        Journal(path)
    journal.close()
    Journal(path).close()


def test_half_a_record_is_none(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    started(path)
    journal = Journal.of(path, MARK)
    assert journal is not None
    one, other = Prediction(2, 3, 500), Prediction(2, 1, 7)
    journal.add([(10, 0, one)], 10)
    journal.close()
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"half")
    journal = Journal.of(path, MARK)
    assert journal is not None
    assert path.stat().st_size == whole
    journal.add([(10, 0, one), (20, 0, other)], 20)  # the first is there already
    assert journal.read({0: 2}) == {0: [one, other]}


def test_positions_that_come_again_are_told_apart(tmp_path: Path) -> None:
    """Between two predictions the board may say any amount of other things, as weights."""
    path = tmp_path / "journal"
    started(path)
    journal = Journal.of(path, MARK)
    assert journal is not None
    one, at = Prediction(2, 3, 500), 0
    for _ in range(5):
        for _ in range(13):
            at = (at + 5000) % POSITIONS
            journal.add([], at)
        at = (at + 10) % POSITIONS
        journal.add([(at, 0, one)], at)
    assert journal.read({0: 5}) == {0: [one] * 5}


def test_on_a_full_disk_nothing_is_acknowledged_that_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    twin = started(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * RECORD.size + 5, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            live(twin, path, 10**6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == os.fspath(path)
    assert live(twin, path, 10**6)
    assert said(path) == wanted()
