"""The memories of a bench's top level: what it and the bench in another process agree on.

Apart from `sim.bench.top`, because a bench has no need of Amaranth and starts in half the time.
"""

from __future__ import annotations

FEED_TOKENS = 64  # tokens that the feeder's memories hold
FEED_ELEMENTS = 64  # elements of a sample in one word of its memory
ACCESSES = 256  # of registers that one memory holds, and another their responses
RECORD = "record"  # the file of a session's folder that has the recorded cycles
PATH_BITS = 2048  # of its path, eight a byte


def feed_words(inputs: int) -> int:
    """Words of the sample memory that one sample takes."""
    return -(-inputs // FEED_ELEMENTS)
