"""Words of weights come back as they were written, from deep memories of several banks, too."""

from __future__ import annotations

import random

import pytest

from counterflow.design.fpga.blocks import DEEP, banks, memory_cells
from counterflow.design.units.latency import WORD
from counterflow.hw.weighted.weights import WeightMemory
from counterflow.sim.streams import respond

LANES, BITS = 2, 9
MASK = (1 << LANES * BITS) - 1


def word_of(address: int) -> int:
    """What is written there: no two words next to each other, or a bank apart, are alike."""
    return (address * 40_503 + 17) & MASK


@pytest.mark.parametrize("words", [1, 32, 33, DEEP, DEEP + 1, 2 * DEEP + 5])
def test_words_are_read_where_they_were_written(words: int) -> None:
    source = random.Random(words)
    ends = [min(words - 1, end) for end in (0, DEEP - 1, DEEP, 2 * DEEP - 1, 2 * DEEP, words - 1)]
    reads = [*ends, *(source.randrange(words) for _ in range(100))]
    cycles = words + len(reads) + WORD + 2
    columns = {
        # A new word stands at the lanes in the cycle after that in which it is said.
        "visits.learnt": [1] * words,
        "visits.learnt_address": [*range(words)],
        "lanes.new": [0, *map(word_of, range(words))],
        "visits.visited": [0] * (words + 1) + [1] * len(reads),
        "visits.address": [0] * (words + 1) + reads,
    }
    driven = {name: (some + [0] * cycles)[:cycles] for name, some in columns.items()}
    seen = respond(WeightMemory(words=words, lanes=LANES, bits=BITS), driven, ["lanes.word"])
    first = words + 1 + WORD
    found = [word for (word,) in seen[first : first + len(reads)]]
    assert found == [word_of(address) for address in reads]


@pytest.mark.parametrize("words", [1, 2, 33, 2047, 2048, 2049, 2520, 4096, 6000, 8000, 16384])
def test_banks_hold_each_word_once_in_hardly_more_blocks_than_one_memory(words: int) -> None:
    found = banks(words)
    assert max(words, 2) <= sum(found) <= words + 1  # a memory has two words at least
    assert all(size == DEEP for size in found[:-1])
    assert 2 <= found[-1] <= DEEP
    for bits, more in ((144, 0), (30, len(found) // 4)):  # of 30 bits some are left over in each
        each = sum(memory_cells(size, bits, "ecp5").blocks for size in found)
        assert each <= memory_cells(words, bits, "ecp5").blocks + more
