"""Whether a router can make all paths as fast as it is asked to, told by its log."""

from __future__ import annotations

import re
from collections.abc import Iterator

LOWER = 0.8, 0.95  # of what was out of reach, least and most that is tried then
ROUNDS = 20  # of the router one after the other, in each of which a connection is too slow


class Reach:
    """Hears of a run of nextpnr that aims at a frequency, line by line.

    Its second router makes connections anew until all are fast enough, and goes on for hours where
    they cannot be.  What it says after each round tells which it will be: where they can be, most
    rounds leave none that is too slow, though some may be in each other's way.

    ``aim`` in MHz; None where connections are made once.  ``foretold``: the clock after placing, 0
    as long as it is not known: where it is low it is a poor guess.  ``hopeless``: the aim is out of
    reach.
    """

    def __init__(self, aim: float | None) -> None:
        self.aim = aim
        self.foretold = 0.0
        self.hopeless = False
        self._routing = False
        self._slow = 0  # rounds up to the last one in which a connection was

    def line(self, line: str) -> None:
        """Take one line of the log."""
        clock = re.search(r"Max frequency for clock .*: ([\d.]+) MHz", line)
        if clock and not self._routing:  # the slowest of several clocks
            self.foretold = min(self.foretold or float("inf"), float(clock[1]))
        self._routing |= "Running router2" in line
        if self.aim is None:
            return
        made = re.search(r"\biter=\d+ .*\btmgfail=(\d+)", line)
        if made:
            self._slow = self._slow + 1 if int(made[1]) else 0
        self.hopeless |= self._slow == ROUNDS


def aims(frequency: float, *, lower: bool = True) -> Iterator[Reach]:
    """Runs, one after the other until one is not `Reach.hopeless`.

    At `frequency`; if that may be ``lower``, at what its placement foretold, which often is too
    little and is the same for any aim; at nothing.
    """
    first = Reach(frequency)
    yield first
    least, most = (part * frequency for part in LOWER)
    if lower:
        yield Reach(min(max(first.foretold, least), most))
    yield Reach(None)
