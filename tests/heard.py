"""Children that hear Ctrl-C."""

from __future__ import annotations

import signal


def heard() -> None:
    """To be run in a child: a shell's background jobs, and what they start, ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
