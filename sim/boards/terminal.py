"""The serial line of a simulated board as a pseudo-terminal, which a host opens as any port."""

from __future__ import annotations

import contextlib
import os
import select
import time
import tty
from dataclasses import dataclass

from counterflow.sim.boards.board import Board
from counterflow.sim.boards.line_faults import LineFaults

SLICE = 3000  # cycles between two looks at the terminal
QUIET = 100  # slices without a byte after which the simulation may wait for one
IDLE_SLICE = 200  # cycles between two looks then: nothing moves, and others want the processor
READ_BYTES = 512  # at once, so that the line decides how fast they go
PULLED_SECONDS = 1.0
IDLE_SECONDS = 0.05


@dataclass
class Traffic:
    """Bytes that passed at the board's pins, and those that a pulled cable lost."""

    given: int = 0
    found: int = 0
    lost: int = 0


class Terminal:
    """A pseudo-terminal whose `name` is the port; bytes pass through `down` and `up`.

    With ``pull`` the cable is pulled for a second that many seconds after the first byte.
    Bytes for a host that does not read are lost, as they are at a port that nobody has open.
    """

    def __init__(
        self, board: Board, down: LineFaults, up: LineFaults, pull: float | None = None
    ) -> None:
        self.board, self.down, self.up, self.pull = board, down, up, pull
        self.traffic = Traffic()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.name = os.ttyname(self._slave)
        self._quiet, self._first = 0, 0.0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Unplug: a host that has the port open gets an error."""
        os.close(self._slave)
        os.close(self._master)

    def step(self) -> None:
        """Simulate a slice with what has come from the host, or wait a moment for something."""
        given = self._read()
        found = self.board.run(IDLE_SLICE if self._quiet > QUIET else SLICE, given)
        self.traffic.given += len(given)
        self.traffic.found += len(found)
        busy = given or found or self.board.waiting
        self._quiet = 0 if busy else self._quiet + 1
        text = self.up.spoil(found)
        if self._pulled():
            self.traffic.lost += len(text)
        elif text:
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, text)

    def _read(self) -> bytes:
        if self.board.waiting > READ_BYTES:
            return b""
        wait = IDLE_SECONDS if self._quiet > QUIET else 0
        if not select.select([self._master], [], [], wait)[0]:
            return b""
        data = os.read(self._master, READ_BYTES)
        self._first = self._first or time.monotonic()
        if self._pulled():
            self.traffic.lost += len(data)
            return b""
        return self.down.spoil(data)

    def _pulled(self) -> bool:
        if self.pull is None or not self._first:
            return False
        return 0 <= time.monotonic() - self._first - self.pull < PULLED_SECONDS
