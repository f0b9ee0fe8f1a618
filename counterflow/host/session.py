"""A session with a device: packets in sequence, resent on loss, and results in order.

Go-back-N: as many packets are on their way as the device can hold; what it has worked on it
acknowledges, and what it misses is sent again from there on.  The device has no timer, so that
whatever may be lost in silence is asked for here.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple

from counterflow.design.bus import link
from counterflow.design.bus.link import (
    POSITIONS,
    Info,
    Packet,
    Record,
    Status,
    channel_of,
    distance,
    packet,
)
from counterflow.host.frames import Frames, Received
from counterflow.host.journal import Heard, Journal, Prediction, Predictions
from counterflow.host.transport import LinkError, Transport

FIRST_PATIENCE = 0.5  # seconds without progress until the device is asked, before any is measured
LEAST_PATIENCE, MOST_PATIENCE = 0.1, 4.0
PATIENCE = 4  # times the measured time from a packet to its acknowledgement
TRIES = 12  # at least, before a device counts as gone: each may be lost, too
FLUSH_BYTES = 4200  # more than the rest of any packet in which the device may be stuck


class Answer(NamedTuple):
    """Of a register access; `word` is None of a write, `record` says whether it was refused."""

    record: Record
    word: int | None


class Sent(NamedTuple):
    """A packet that the device may not have."""

    position: int
    kind: Packet
    payload: bytes

    @property
    def end(self) -> int:
        return (self.position + link.STORED_BYTES + len(self.payload)) % POSITIONS


class Session:
    """The line to one device.

    ``info``, of the device; ``status``, the last heard; ``predictions``, by the component of a
    head, those of the network as 0, and ``answers``, since they were last cleared; ``resent`` and
    ``repeats`` count packets sent again and requests for results.  Everything raises LinkError, one
    sentence, after `timeout` seconds of silence.

    ``journal``: that of the training whose mark the device has, which `journal` gives; it has every
    prediction before the device is told that it need not keep it.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        journal: Callable[[int], Journal | None] = lambda mark: None,
    ) -> None:
        self.transport, self.timeout, self._clock = transport, timeout, clock
        self.frames = Frames()
        self.predictions: Predictions = defaultdict(list)
        self.answers: list[Answer] = []
        self.resent = self.repeats = 0
        self.status = Status(0, 0, 0, 0, complaint=False)
        self.journal: Journal | None = None
        self._journal, self._heard_of = journal, list[Heard]()
        self._flying: deque[Sent] = deque()
        self._sent = self._consumed = 0  # positions in the stream of packets
        self._whole = 0  # position behind the last whole result, which is what is acknowledged
        self._told = 0  # the last that was
        self._rest = b""  # of a result that is not whole
        self._round = 0.0  # seconds, measured; 0 before
        self._timing: tuple[int, float] | None = None
        self._gone_back: int | None = None
        self._asked = self._connected = False
        self._expiries = 0
        self._repeated = self._heard = self._moved = self._asked_at = self._clock()
        self._pumped = self._moved
        self.statuses = self._done = 0
        try:
            self.info = self._connect()
        except BaseException:
            if self.journal is not None:
                self.journal.close()
            raise

    def close(self) -> None:
        self.transport.close()
        if self.journal is not None:
            self.journal.close()

    def keep(self) -> None:
        """Have all that was heard in the journal."""
        if self.journal is not None:
            self.journal.add(self._heard_of, self._whole)
        self._heard_of.clear()

    # Sending

    def send(self, kind: Packet, payload: bytes) -> None:
        """Send a packet in sequence, as soon as the device has room for it."""
        size = len(payload) + link.STORED_BYTES
        while distance(self._consumed, self._sent) + size > self.info.buffers.packets:
            self.pump()
        one = Sent(self._sent, kind, payload)
        if not self._flying:
            self._moved = self._clock()
        self._flying.append(one)
        self._sent = one.end
        self._write(kind, one.position, payload)
        if self._timing is None:
            self._timing = (one.end, self._clock())
        self.pump(wait=False)

    def flush(self) -> None:
        """Wait until the device has worked on everything."""
        while self._flying:
            self.pump()

    def expect(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready`, which results make true."""
        self._moved = self._clock()
        while not ready():
            self.pump()

    def mark(self, value: int) -> None:
        """Have the device keep `value` as its mark."""
        self._until(lambda: self._write(Packet.MARK, value), lambda: self.status.mark == value)

    def refresh(self) -> Status:
        """The status as it is now."""
        before = self.statuses
        self._until(lambda: self._write(Packet.POLL), lambda: self.statuses > before)
        return self.status

    # Receiving

    @property
    def position(self) -> int:
        """Of the next result that has not come."""
        return (self._whole + len(self._rest)) % POSITIONS

    def pump(self, *, wait: bool = True) -> None:
        """Take what has come; with `wait` after a moment at most.  Asks again where due."""
        began = self._clock()
        if began - self._pumped > LEAST_PATIENCE:  # nobody has listened
            self._heard = self._moved = self._asked_at = began
        for received in self.frames.add(self.transport.read(wait=wait)):
            self._heard = self._clock()
            if received.kind is not Packet.INFO:
                self._consume(received.header.acknowledge)
            if received.kind is Packet.RESULTS:
                self._results(received)
            elif received.kind is Packet.STATUS:
                self._status(received)
        if distance(self._told, self._whole) > self.info.buffers.results // 4:
            self._write(Packet.POLL)
        self._pumped = self._clock()
        self._check_time()

    def _results(self, received: Received) -> None:
        """Take what is new of a packet of results; ask for what is missing in front of it."""
        if not self._connected:
            return
        known = distance(received.header.sequence, self.position)
        if known < 0:
            if self._clock() - self._repeated > self._patience / 2:
                self._repeat()
            return
        fresh = received.payload[known:]
        if fresh:
            self._moved, self._expiries = self._clock(), 0
        self._rest += fresh
        while (size := self._size(self._rest)) and len(self._rest) >= size:
            self._whole = (self._whole + size) % POSITIONS
            self._record(self._rest[:size])
            self._rest = self._rest[size:]

    def _size(self, text: bytes) -> int:
        """Bytes of the record that `text` begins with, 0 of none."""
        if not text:
            return 0
        if text[0] == Record.READ:
            return 1 + link.WORD_BYTES
        if text[0] in (Record.WRITTEN, Record.REFUSED):
            return 1
        kind, channel = channel_of(text[0])
        if 1 <= kind <= 3 and (channel == 0 or self.info.heads):
            return 1 + link.CLASS_BYTES + self.info.loss_bytes
        raise LinkError(f"{self.transport.name}: the board sent a result of unknown kind {text[0]}")

    def _record(self, text: bytes) -> None:
        if text[0] == Record.READ:
            self.answers.append(Answer(Record.READ, int.from_bytes(text[1:], "little")))
        elif text[0] in (Record.WRITTEN, Record.REFUSED):
            self.answers.append(Answer(Record(text[0]), None))
        else:
            loss, (kind, channel) = int.from_bytes(text[2:], "little"), channel_of(text[0])
            made = Prediction(kind, text[1], loss)
            self.predictions[channel].append(made)
            self._heard_of.append((self._whole, channel, made))

    def _consume(self, position: int) -> None:
        """Forget the packets that the device has worked on."""
        ahead = distance(self._consumed, position)
        if not 0 < ahead <= distance(self._consumed, self._sent):
            return
        self._consumed, self._moved, self._expiries = position, self._clock(), 0
        self._asked = False  # it is slow, nothing else: what it says is not yet the answer
        while self._flying and distance(self._flying[0].end, position) >= 0:
            self._flying.popleft()
        if self._timing and distance(self._timing[0], position) >= 0:
            took = self._clock() - self._timing[1]
            self._round = took if not self._round else 0.8 * self._round + 0.2 * took
            self._timing = None

    def _status(self, received: Received) -> None:
        self.status = status = Status.decoded(received.payload)
        self.statuses += 1
        self._done = received.header.acknowledge
        if not self._connected:
            return
        missing = distance(status.expected, self._sent)
        fresh = status.complaint and self._gone_back != status.expected
        if 0 < missing <= self.info.buffers.packets and (self._asked or fresh):
            self._go_back(status.expected)
        if self._asked and distance(self.position, status.written) > 0:
            self._repeat()
        self._asked = False

    # What makes up for losses

    def _go_back(self, expected: int) -> None:
        """Send again what the device has not got."""
        self._gone_back, self._timing = expected, None
        for one in self._flying:
            if distance(expected, one.position) >= 0:
                self._write(one.kind, one.position, one.payload)
                self.resent += 1

    def _repeat(self) -> None:
        self._repeated = self._clock()
        self.repeats += 1
        self._write(Packet.RESEND)

    def _check_time(self) -> None:
        """Ask the device how far it is when nothing has moved for a while; give up in the end."""
        now = self._clock()
        if now - self._heard > self.timeout:
            raise LinkError(
                f"{self.transport.name}: the board has not answered for {self.timeout:g} s; "
                "what it has accepted it has trained on whole, so check cable and power and give "
                "the same command again"
            )
        since = max(self._moved, self._asked_at)
        if not self._connected or now - since < min(self._patience, self.timeout / TRIES):
            return
        # Either something was lost or the device is slower than was thought.
        self._round = min(2 * self._round or FIRST_PATIENCE / 2, MOST_PATIENCE)
        self._asked_at, self._asked, self._gone_back = now, True, None
        self._expiries += 1
        if self._expiries > 1:  # it may take whatever comes for the rest of a packet
            self.transport.write(bytes(self.info.buffers.packets // 2))
        self._write(Packet.POLL)

    @property
    def _patience(self) -> float:
        if not self._round:
            return FIRST_PATIENCE
        return min(max(PATIENCE * self._round, LEAST_PATIENCE), MOST_PATIENCE)

    def _write(self, kind: Packet, sequence: int = 0, payload: bytes = b"") -> None:
        self.keep()
        self._told = self._whole
        self.transport.write(packet(kind, sequence, self._whole, payload))

    # Beginning

    def _connect(self) -> Info:
        """Find the device, and go on where it stands; results of an earlier session are taken."""
        nonce, info, status = secrets.randbelow(POSITIONS), None, None
        began = asked = self._clock()
        stuck = 0
        self.transport.write(packet(Packet.HELLO, nonce, 0))
        while info is None or status is None:
            for received in self.frames.add(self.transport.read(wait=True)):
                if received.kind is Packet.INFO and received.header.sequence == nonce:
                    info = Info.decoded(received.payload)
                elif received.kind is Packet.STATUS and info is not None:
                    status = Status.decoded(received.payload)
            now = self._clock()
            if now - began > self.timeout:
                raise LinkError(self._silent())
            if now - asked > FIRST_PATIENCE * 2**stuck:
                asked, stuck, info, status = now, min(stuck + 1, 3), None, None
                self.transport.write(bytes(FLUSH_BYTES) + packet(Packet.HELLO, nonce, 0))
        self.info, self.status, self.journal = info, status, self._journal(status.mark)
        self._whole = self._told = status.oldest
        self._sent = self._consumed = status.expected
        self._connected = True
        self._repeat()
        while True:  # what the device still had to do for another host
            status = self.refresh()
            done = self._done == status.expected
            if done and self.position == status.written:
                break
        self.answers.clear()
        return info

    def _silent(self) -> str:
        garbage = f" but {self.frames.spoilt} bytes of garbage" if self.frames.spoilt else ""
        return (
            f"{self.transport.name}: no Counterflow board answers there within {self.timeout:g} s"
            f"{garbage}; check that it is configured, and that the rate is the bitstream's (--baud)"
        )

    def _until(self, ask: Callable[[], None], answered: Callable[[], bool]) -> None:
        """Ask, and again, until the answer is there."""
        ask()
        asked, times = self._clock(), 0
        while not answered():
            self.pump()
            if self._clock() - asked > self._patience * 2**times:
                asked, times = self._clock(), min(times + 1, 3)
                ask()
