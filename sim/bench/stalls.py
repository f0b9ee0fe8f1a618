"""Stall patterns for the gates of a bench: when a side of the chain may transfer."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

PATTERNS = ("none", "random", "burst", "late", "slow", "long")


def pattern(name: str, seed: int) -> Iterator[bool]:
    """Whether the gate is open, cycle by cycle.

    ``none`` always; ``random`` every other cycle on average; ``burst`` open and closed for up to 60
    cycles in turn; ``late`` closed for 300 cycles, then open; ``slow`` one cycle in eight; ``long``
    open and closed for up to 2000 cycles in turn, so that everything before the gate fills up.
    """
    source = random.Random(seed)
    if name == "none":
        yield from itertools.repeat(True)
    elif name == "random":
        while True:
            yield source.random() < 0.5
    elif name == "burst":
        for is_open in itertools.cycle((True, False)):
            yield from itertools.repeat(is_open, source.randint(1, 60))
    elif name == "long":
        for is_open in itertools.cycle((True, False)):
            yield from itertools.repeat(is_open, source.randint(1, 2000))
    elif name == "late":
        yield from itertools.repeat(False, 300)
        yield from itertools.repeat(True)
    elif name == "slow":
        yield from itertools.cycle([True] + [False] * 7)
    else:
        raise ValueError(f"stall pattern {name!r} is not known; choose one of {PATTERNS}")
