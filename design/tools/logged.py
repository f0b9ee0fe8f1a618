"""Errors of programs that write logs: whoever keeps the log says where."""

from __future__ import annotations

from pathlib import Path


class LoggedError(ValueError):
    """A program gave up; the text says what of it and where its log is, if that is kept.

    ``log`` is the file as it is now: who moves it changes this, who removes it makes it None.
    """

    def __init__(self, text: str, log: Path | None = None) -> None:
        super().__init__(text)
        self.text, self.log = text, log

    def __str__(self) -> str:
        return self.text if self.log is None else f"{self.text.rstrip('.')}; see {self.log}"
