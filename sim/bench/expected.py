"""What a run must show in every cycle: golden's side of the comparison, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.tokens import Token
from counterflow.design.schedule.planner import Plan
from counterflow.golden.chain import Chain, Prediction
from counterflow.golden.cycle_trace import Trace
from counterflow.golden.units.update import Settings
from counterflow.sim.bench.compare import Layout
from counterflow.sim.bench.job import Job
from counterflow.sim.bench.memories import FEED_TOKENS

TAIL_SLOTS = 3  # slots that a run goes on after the last event, in which nothing may happen


class Block(NamedTuple):
    """Cycles that are compared at once: `tokens` are fed before them, `rows` are then to be seen.

    ``predictions`` of the samples among the tokens; ``ends``: nothing is to happen any more.
    """

    tokens: Sequence[Token]
    predictions: Sequence[Prediction]
    rows: NDArray[np.int64]
    ends: bool


class Expected:
    """Runs of a golden chain, each from an empty chain to an empty chain."""

    def __init__(self, plan: Plan, job: Job) -> None:
        self.plan, self.job = plan, job
        self.golden: Chain = job.chain(plan.schedule)
        self.layout = Layout(Trace(plan).fields)

    def blocks(self, tokens: Sequence[Token], settings: Settings | None = None) -> Iterator[Block]:
        """The next run, with `settings` if they change before it: blocks of `job.depth` cycles."""
        schedule, cycles = self.plan.schedule, self.job.depth
        if settings is not None:
            self.golden.set(settings)
        trace = Trace(self.plan, before=self.golden.slot)
        tail = max(1, TAIL_SLOTS * schedule.interval // cycles)
        fed, room = 0, FEED_TOKENS
        while tail:
            fresh, made = tokens[fed : fed + room], []
            if fresh:
                made = self.golden.run(fresh, self.job.samples, self.job.labels, trace)
            fed += len(fresh)
            ends = fed == len(tokens) and trace.base >= trace.end
            tail -= ends
            yield Block(fresh, made, trace.take(trace.base + cycles), ends)
            taken = max(0, trace.base - schedule.intake_start) // schedule.interval
            room = taken + FEED_TOKENS - fed

    def finish(self) -> Chain:
        """Golden after all runs."""
        return self.golden

    def close(self) -> None:
        """To be called when nothing is expected any more."""
