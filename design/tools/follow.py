"""Runs a program that writes a log, and passes the log on line by line while it grows."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from counterflow.design.tools.logged import LoggedError

OnLine = Callable[[str], None]

POLL = 0.1  # seconds between looks at the log


class ToolError(LoggedError):
    """A program gave up; the text is one sentence with what it said."""


def follow(
    command: Sequence[str],
    folder: Path,
    log: str,
    on_line: OnLine,
    *,
    what: str,
    stopped: Callable[[], bool] = lambda: False,
) -> float:
    """Run `command` in `folder`, where it writes `log`; returns the seconds that it took.

    ToolError, naming the program as `what` with its last error, where it fails.  Whatever ends
    this call ends the program, and so does it when it is `stopped`.
    """
    start = time.monotonic()
    path = folder / log
    with (folder / f"{log}.err").open("w+", encoding="utf-8", errors="replace") as errors:
        with subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
        ) as process:
            try:
                seen = 0
                while process.poll() is None:
                    time.sleep(POLL)
                    if stopped():
                        process.kill()
                    seen = _new_lines(path, seen, on_line)
                _new_lines(path, seen, on_line)
            finally:
                process.kill()
        if process.returncode != 0:
            errors.seek(0)
            said = [one for one in (path, Path(errors.name)) if one.exists() and one.stat().st_size]
            reason = _reason(path, errors.read())
            raise ToolError(f"{what} failed: {reason}", next(iter(said), None))
    (folder / f"{log}.err").unlink()
    return time.monotonic() - start


def _new_lines(path: Path, seen: int, on_line: OnLine) -> int:
    """Pass on the whole lines behind byte `seen`; returns where they end."""
    if not path.exists():
        return seen
    with path.open("rb") as file:
        file.seek(seen)
        text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        on_line(line)
    return seen + len(whole)


def _reason(path: Path, errors: str) -> str:
    """The first error in the log or in what the program said elsewhere, else its last line."""
    log = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for text in (log, errors):
        found = re.search(r"^.*?\bERROR: (.+)$", text, re.MULTILINE)
        if found:
            return found[1].strip()
    lines = errors.strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
