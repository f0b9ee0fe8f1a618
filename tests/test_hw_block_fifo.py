"""The queue in block RAM does in every cycle what Amaranth's does."""

from __future__ import annotations

import random
from collections import deque

import pytest
from amaranth.lib.fifo import SyncFIFO
from amaranth.sim import Simulator

from counterflow.hw.parts.block_fifo import BlockFIFO

CYCLES = 400


def trace(
    fifo: BlockFIFO | SyncFIFO, moves: list[tuple[int, int, int]]
) -> list[tuple[int | None, ...]]:
    """(w_rdy, r_rdy, level, r_data where it means something) of each cycle."""
    seen: list[tuple[int | None, ...]] = []

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for write, read, word in moves:
            ctx.set(fifo.w_en, write)
            ctx.set(fifo.r_en, read)
            ctx.set(fifo.w_data, word)
            ready = ctx.get(fifo.r_rdy)
            word_out = ctx.get(fifo.r_data) if ready else None
            seen.append((ctx.get(fifo.w_rdy), ready, ctx.get(fifo.level), word_out))
            await ctx.tick()

    simulator = Simulator(fifo)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize("depth", [2, 3, 8, 20])
@pytest.mark.parametrize(("writes", "reads"), [(0.9, 0.3), (0.3, 0.9), (0.6, 0.6), (1.0, 1.0)])
def test_every_cycle_is_that_of_the_other_queue(depth: int, writes: float, reads: float) -> None:
    dice = random.Random(depth)
    moves = [
        (int(dice.random() < writes), int(dice.random() < reads), dice.getrandbits(8))
        for _ in range(CYCLES)
    ]
    found = trace(BlockFIFO(width=8, depth=depth), moves)
    assert found == trace(SyncFIFO(width=8, depth=depth), moves)
    queue: deque[int] = deque()
    for (write, read, word), (room, ready, level, out) in zip(moves, found, strict=True):
        assert (room, ready, level) == (len(queue) < depth, bool(queue), len(queue))
        assert out == (queue[0] if queue else None)
        taken = read and ready
        if write and room:
            queue.append(word)
        if taken:
            queue.popleft()


def test_a_queue_of_one_word_is_refused() -> None:
    with pytest.raises(ValueError, match="depth is 1, expected at least 2"):
        BlockFIFO(width=8, depth=1)
