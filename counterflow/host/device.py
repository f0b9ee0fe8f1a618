"""A device: a board with a network that trains, and what can be asked of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from counterflow.design.bus import link
from counterflow.design.bus.link import BAUD, Operation, Packet, Record
from counterflow.design.bus.registers import WORD_BITS, IntakeRegister, UnitRegister
from counterflow.design.bus.transfers import Transfer
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.models import Bytes, Part
from counterflow.golden.transfer import Loadable, control_of
from counterflow.golden.units.update import Settings
from counterflow.host.journal import Journal, Predictions
from counterflow.host.session import Session
from counterflow.host.transport import LinkError, SerialPort, Transport

WORD = 1 << WORD_BITS
OnTokens = Callable[[int, Predictions], None]


@dataclass(frozen=True)
class Counters:
    """What the device has counted since its reset, modulo 2**32; tuples have an entry a unit."""

    cycles: int
    tokens: int
    """Tokens admitted to the chain, bubbles included."""
    bad_samples: int
    bad_labels: int
    slots: tuple[int, ...]
    products: tuple[int, ...]
    stalls: tuple[int, ...]
    saturations: tuple[int, ...]


INTAKE = (
    IntakeRegister.CYCLES,
    IntakeRegister.TOKENS,
    IntakeRegister.BAD_SAMPLES,
    IntakeRegister.BAD_LABELS,
)
UNIT = (
    UnitRegister.SLOTS,
    UnitRegister.PRODUCTS,
    UnitRegister.STALLS,
    UnitRegister.SATURATIONS,
)


class Device(Loadable):
    """The device behind `transport`, which must have the network of `plan`.

    Raises LinkError, one sentence, when it has another one, and from every method when it cannot
    be reached.  ``timeout``: seconds of silence after which that is so.  ``journal``: the file of
    what the device has said in the training that it may be in.
    """

    def __init__(
        self,
        transport: Transport,
        plan: Plan,
        *,
        timeout: float = 10.0,
        journal: Path | None = None,
    ) -> None:
        self.plan = plan
        of = (lambda mark: None) if journal is None else partial(Journal.of, journal)
        try:
            self.session = Session(transport, timeout=timeout, journal=of)
        except ValueError as error:
            transport.close()
            if isinstance(error, LinkError):
                raise
            raise LinkError(f"{transport.name}: {error}") from error
        self.info = self.session.info
        wanted = plan.description
        if self.info.network != wanted.hash():
            transport.close()
            raise LinkError(
                f"{transport.name}: the board has {self.info.name!r} with the hash "
                f"{self.info.network}, not {wanted.name!r}, which is {wanted.hash()}; name the "
                "network it was built from, or build a bitstream of this one"
            )

    @classmethod
    def open(
        cls,
        port: str,
        plan: Plan,
        *,
        baud: int = BAUD,
        timeout: float = 10.0,
        journal: Path | None = None,
    ) -> Self:
        """The device at a serial port."""
        given: tuple[object, object] = port, plan  # whatever the types say
        if not isinstance(given[0], str) or not isinstance(given[1], Plan):
            kinds = " and ".join(type(one).__name__ for one in given)
            raise ValueError(
                f"port and plan are {kinds}, expected a text and a plan, in this order"
            )
        return cls(SerialPort(port, baud), plan, timeout=timeout, journal=journal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the device, which finishes what it has accepted."""
        self.session.close()

    def access(self, table: Sequence[Transfer] | Integers) -> Integers:
        """Make register accesses in order; the words read, 0 for those that write.

        Raises LinkError where one is refused.
        """
        rows = np.asarray(table, np.int64)
        self.session.answers.clear()
        for payload in _packed(rows, self._room):
            self.session.send(Packet.ACCESS, payload)
        self.session.expect(lambda: len(self.session.answers) >= len(rows))
        answers = list(self.session.answers)
        self.session.answers.clear()
        for row, answer in zip(rows.tolist(), answers, strict=True):
            if answer.record is Record.REFUSED:
                raise LinkError(
                    f"the board refused the register access {Transfer(bool(row[0]), *row[1:])}"
                )
        return np.array([answer.word or 0 for answer in answers], np.int64)

    def counters(self) -> Counters:
        """Read what is counted."""
        units = [stage.index + 1 for stage in self.plan.schedule.stages]
        rows: list[tuple[int, int]] = [(0, register) for register in INTAKE]
        rows += [(unit, register) for register in UNIT for unit in units]
        words = self.access([Transfer(False, node, register, 0) for node, register in rows])
        first, rest = words[: len(INTAKE)].tolist(), words[len(INTAKE) :].reshape(len(UNIT), -1)
        return Counters(*first, *(tuple(column) for column in rest.tolist()))

    def rest(self) -> Counters:
        """Wait until every unit has made a slot of every token accepted; the counters then."""
        self.session.flush()
        began, before = time.monotonic(), None
        while True:
            now = self.counters()
            if all(slots == now.tokens for slots in now.slots) and before == now.tokens:
                self._settle()
                return now
            if before != now.tokens:
                began = time.monotonic()
            if time.monotonic() - began > max(60.0, 6 * self.session.timeout):
                raise LinkError(
                    f"the board has accepted {now.tokens} tokens, but its units have made only "
                    f"{min(now.slots)} slots and make no more"
                )
            before = now.tokens

    def _settle(self) -> None:
        """Take every result that the device has made."""
        session = self.session
        while session.refresh().written != session.position:
            session.pump()

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs)."""
        word = control_of(settings)
        units = [stage.index + 1 for stage in self.plan.schedule.stages]
        self.access([Transfer(True, unit, UnitRegister.CONTROL, word) for unit in units])

    def empty(self) -> None:
        """Bring home all gradients of an earlier training, whatever they do to its weights."""
        description = self.plan.description
        kinds = np.full(self.plan.schedule.delay + 1, Kind.BUBBLE, np.uint8)
        if description.recipe.accumulate > 1:  # those that wait for an update, too
            kinds[0] = Kind.TRAIN
        none = Part(np.zeros((1, description.elements), np.uint8), np.zeros(1, np.uint8))
        self.rest()
        self.run(kinds, np.zeros(len(kinds), np.int64), none)
        self.rest()

    def run(
        self, kinds: Bytes, indices: Integers, part: Part, on_tokens: OnTokens | None = None
    ) -> Predictions:
        """Feed tokens; the predictions of those that are no bubbles, in order, by channel.

        ``kinds`` [T] and ``indices`` [T] as of `golden.training.models.Run`.  ``on_tokens`` is
        called with the tokens sent and the predictions that are there already.
        """
        wanted = kinds[kinds != Kind.BUBBLE].tolist()
        due = dict.fromkeys((0, *self.plan.schedule.heads), wanted)
        found = self.session.predictions
        found.clear()
        for done, kind, payload in self._packets(kinds, indices, part):
            self.session.send(kind, payload)
            if on_tokens:
                on_tokens(done, found)
        count = len(due) * len(wanted)
        self.session.expect(lambda: sum(map(len, found.values())) >= count)
        self.session.flush()
        made = {channel: list(found[channel]) for channel in sorted({*found, *due})}
        found.clear()
        for channel, said in made.items():
            expected = due.get(channel, [])
            if [one.kind for one in said] != expected:
                whose = f" of head {channel}" if channel else ""
                raise LinkError(
                    f"the board sent {len(said)} predictions{whose} where {len(expected)} others "
                    "were due"
                )
        return made

    def cycles(self) -> int:
        """The device's clock cycles since its reset, modulo 2**32."""
        return int(self.access([Transfer(False, 0, IntakeRegister.CYCLES, 0)])[0])

    @property
    def _room(self) -> int:
        """Bytes of a payload: several packets fit into the device at once."""
        return min(self.info.buffers.longest, self.info.buffers.packets // 3 - link.STORED_BYTES)

    def _packets(
        self, kinds: Bytes, indices: Integers, part: Part
    ) -> Iterator[tuple[int, Packet, bytes]]:
        """(tokens sent then, kind, payload) of packets of tokens of one kind each."""
        most = max(self._room // link.token_bytes(self.plan.description), 1)
        changes = np.flatnonzero(np.diff(kinds)) + 1
        bounds = [0, *changes.tolist(), len(kinds)]
        for start, end in itertools.pairwise(bounds):
            if start == end:
                continue
            kind = Kind(int(kinds[start]))
            step = link.MOST_BUBBLES if kind is Kind.BUBBLE else most
            for at in range(start, end, step):
                stop = min(at + step, end)
                if kind is Kind.BUBBLE:
                    payload = (stop - at).to_bytes(2, "little")
                else:
                    which = indices[at:stop]
                    chosen = Part(part.samples[which], part.labels[which])
                    payload = encoded(chosen, self.info.element_bytes).tobytes()
                yield stop, link.tokens_kind(kind), payload


def encoded(part: Part, element_bytes: int) -> NDArray[np.uint8]:
    """Samples as they are sent: label, elements; [N, bytes]."""
    wide = part.samples.astype("<u2" if element_bytes == 2 else np.uint8)
    elements = wide.reshape(len(part), -1).view(np.uint8)
    return np.concatenate([part.labels.astype(np.uint8)[:, None], elements], axis=1)


def _packed(rows: NDArray[Any], room: int) -> Iterator[bytes]:
    """Register accesses as payloads of at most `room` bytes."""
    payload = b""
    for write, node, register, word in rows.tolist():
        first = (Operation.WRITE if write else Operation.READ) | register
        text = bytes([first, node])
        if write:
            text += (word % WORD).to_bytes(link.WORD_BYTES, "little")
        if len(payload) + len(text) > room:
            yield payload
            payload = b""
        payload += text
    if payload:
        yield payload
