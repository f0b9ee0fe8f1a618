"""Children that hear Ctrl-C, and that their terminal is gone."""

from __future__ import annotations

import signal


def heard() -> None:
    """To be run in a child: background jobs ignore interrupts, those of `nohup` hang-ups, too."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
