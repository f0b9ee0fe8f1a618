"""Streams that take whatever is printed, on every terminal and at the end of every pipe."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys

ERRORS = "counterflow-plain"  # the name of `_plain` among the handlers of what cannot be encoded
PLAIN = dict(zip("–—…×−▁▂▃▄▅▆▇█", "--~x-12345678", strict=True))  # as wide, so that tables stay


def settle() -> None:
    """Let standard output and standard error take every character, and be there."""
    codecs.register_error(ERRORS, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the program
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def silence() -> None:
    """Let nothing more be written to standard output, which takes no more, not even at the end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(one, "?") for one in lacking), error.end
