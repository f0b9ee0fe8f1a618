"""What a board has said of the tokens of one training, kept before it forgets it.

A board keeps its results until they are acknowledged.  A host that writes each prediction into
this file first can be killed at any moment: the next one reads here what the board has said, and
gets the rest from the board.  Half a record at the end, as a full disk leaves it, counts as none.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from counterflow.design.bus.link import POSITIONS, channel_of, distance


class Prediction(NamedTuple):
    """The best class of a token, and its loss in bits with `design.units.loss.LOG_FRAC` places."""

    kind: int
    chosen: int
    loss: int


Predictions = dict[int, list[Prediction]]
Heard = tuple[int, int, Prediction]
"""The position behind a prediction in the stream of results, its channel, and it."""

RECORD = struct.Struct("<HBBQ")  # position, kind + 8 * channel, best class, loss
START, PASSED, LOST = 0, 0, 7  # kinds: the mark for a loss; a position; a number that is unknown
SUFFIX = ".predictions"


def beside(progress: Path) -> Path:
    """The journal of the training whose file of progress is at `progress`."""
    return progress.with_name(f"{progress.name}{SUFFIX}")


class Journal:
    """The open journal at `path`, which one program at a time has; `end` as of `add`."""

    def __init__(self, path: Path) -> None:
        self.path, self.end = path, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ValueError(
                f"{path} is in use by another host; name another file with --progress"
            ) from None
        except OSError:
            pass  # a file system without locks

    @classmethod
    def of(cls, path: Path, mark: int) -> Self | None:
        """The journal of the training with that mark, to go on with; None where `path` has none."""
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        whole = len(text) // RECORD.size * RECORD.size
        if not whole or RECORD.unpack_from(text)[1:] != (START, 0, mark):
            return None
        made = cls(path)
        os.ftruncate(made._file, whole)
        made.end = RECORD.unpack_from(text, whole - RECORD.size)[0]
        return made

    def begin(self, mark: int, position: int) -> None:
        """Be the journal of a new training, whose results begin at that position."""
        os.ftruncate(self._file, 0)
        self.end = position
        self._write([(position, START, 0, mark)])

    def add(self, heard: Iterable[Heard], end: int) -> None:
        """Keep what is new of predictions heard; those up to `end` may then be acknowledged."""
        fresh = [one for one in heard if distance(self.end, one[0]) > 0]
        rows = [(at, one.kind + 8 * channel, one.chosen, one.loss) for at, channel, one in fresh]
        if not rows and distance(self.end, end) > POSITIONS // 8:  # before positions come again
            rows = [(end, PASSED, 0, 0)]
        if rows:
            self._write(rows)
            self.end = rows[-1][0]

    def read(self, due: Mapping[int, int]) -> dict[int, list[Prediction | None]]:
        """So many predictions of each channel as are `due`, in order; None for each that is lost.

        Lost are those that another program has taken from the board.  They are noted, so that what
        comes stands in its place.
        """
        found: dict[int, list[Prediction | None]] = defaultdict(list)
        text = os.pread(self._file, os.fstat(self._file).st_size, 0)
        for _, first, chosen, loss in RECORD.iter_unpack(text):
            kind, channel = channel_of(first)
            if kind == LOST:
                found[channel] += [None] * loss
            elif kind != PASSED:
                found[channel].append(Prediction(kind, chosen, loss))
        lost = {channel: count - len(found[channel]) for channel, count in due.items()}
        rows = [(self.end, LOST + 8 * one, 0, count) for one, count in lost.items() if count > 0]
        if rows:
            self._write(rows)
        return {
            channel: (found[channel] + [None] * count)[:count] for channel, count in due.items()
        }

    def close(self) -> None:
        os.close(self._file)

    def _write(self, rows: Iterable[tuple[int, int, int, int]]) -> None:
        """Append records; OSError, with the file's name, where they do not all fit."""
        text = b"".join(RECORD.pack(*row) for row in rows)
        try:
            done = os.write(self._file, text)
            if done < len(text):
                os.write(self._file, text[done:])
        except OSError as error:
            error.filename = str(self.path)
            raise
