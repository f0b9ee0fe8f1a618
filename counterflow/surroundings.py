"""Streams that take whatever is printed, on every terminal and at the end of every pipe.

And sentences that fit them; and programs that are started find there what they did elsewhere.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

ERRORS = "counterflow-plain"  # the name of `_plain` among the handlers of what cannot be encoded
PLAIN = dict(zip("–—…×−▁▂▃▄▅▆▇█", "--~x-12345678", strict=True))  # as wide, so that tables stay

KEPT = 60  # characters of a word that is cut
_ENDLESS = re.compile(r"\S{301,}")  # longer than file names are


def settle() -> None:
    """Let standard output and standard error take every character, and be there.

    Programs in Python that are started import nothing from the folder that the user is in.
    Figures are drawn without a display, whatever Matplotlib is told to show others in.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.pop("MPLBACKEND", None)
    codecs.register_error(ERRORS, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the program
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def silence(name: str = "stdout") -> None:
    """Let nothing more be written to this stream, which takes no more, not even at the end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, getattr(sys, name).fileno())
        os.close(nowhere)


@contextlib.contextmanager
def interrupted_by(*signals: signal.Signals, heard: list[int]) -> Iterator[None]:
    """Let these signals interrupt as Ctrl-C does, so that all is tidied up; `heard` tells which.

    One that is ignored, as of a command under nohup, stays so.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    ours = [one for one in signals if signal.getsignal(one) is signal.SIG_DFL]
    with contextlib.suppress(ValueError):  # outside of the main thread no signal is heard
        for one in ours:
            signal.signal(one, interrupt)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            for one in ours:
                signal.signal(one, signal.SIG_DFL)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let signals wait for what takes no time and must not be left half done.

    To block them in this thread is not enough: of a process any thread may hear one, and Python
    lets the main thread act upon it.
    """
    waiting: list[int] = []
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    ours = {}
    with contextlib.suppress(ValueError):  # outside of the main thread no signal is heard
        for one in signals:
            if callable(signal.getsignal(one)):
                ours[one] = signal.signal(one, lambda number, _frame: waiting.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        for one, handler in ours.items():
            signal.signal(one, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in waiting:
            signal.raise_signal(number)


def told(say: Callable[[], object]) -> None:
    """Let `say` write to standard error, if that takes anything."""
    try:
        say()
    except OSError:  # a full disk, a pipe that ended: the exit status must tell
        silence("stderr")


def shortened(text: str) -> str:
    """`text` with the beginnings alone of words that no line has room for, as of 5,000 digits."""
    return _ENDLESS.sub(lambda found: f"{found[0][:KEPT]}...", text)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(one, "?") for one in lacking), error.end
