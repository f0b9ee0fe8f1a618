"""What a run must show in every cycle: golden's side of the comparison, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.tokens import Token
from counterflow.design.schedule.planner import Plan
from counterflow.golden.chain import Chain
from counterflow.golden.cycle_trace import Trace
from counterflow.sim.bench.compare import Layout
from counterflow.sim.bench.job import Job
from counterflow.sim.bench.memories import FEED_TOKENS

TAIL_SLOTS = 3  # slots that a run goes on after the last event, in which nothing may happen


class Block(NamedTuple):
    """Cycles that are compared at once: `tokens` are fed before them, `bits` are then to be seen.

    ``ends``: nothing is to happen any more.
    """

    tokens: Sequence[Token]
    bits: NDArray[np.uint8]
    ends: bool


class Expected:
    """Runs of a golden chain, each from an empty chain to an empty chain."""

    def __init__(self, plan: Plan, job: Job) -> None:
        self.plan, self.job = plan, job
        self.golden: Chain = job.chain(plan.schedule)
        self.layout = Layout(Trace(plan).fields)
        self.predictions: list[Any] = []

    def blocks(self, tokens: Sequence[Token]) -> Iterator[Block]:
        """The next run: blocks of `job.depth` cycles."""
        schedule, cycles = self.plan.schedule, self.job.depth
        trace = Trace(self.plan, before=self.golden.slot)
        tail = max(1, TAIL_SLOTS * schedule.interval // cycles)
        fed, room = 0, FEED_TOKENS
        while tail:
            fresh = tokens[fed : fed + room]
            if fresh:
                run = self.golden.run(fresh, self.job.samples, self.job.labels, trace)
                self.predictions += run
            fed += len(fresh)
            ends = fed == len(tokens) and trace.base >= trace.end
            tail -= ends
            yield Block(fresh, self.layout.to_bits(trace.take(trace.base + cycles)), ends)
            taken = max(0, trace.base - schedule.intake_start) // schedule.interval
            room = taken + FEED_TOKENS - fed
