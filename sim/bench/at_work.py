"""In how many cycles the units with weights had no reason to wait, from what was recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.schedule.planner import Plan
from counterflow.design.units.timing import rest
from counterflow.sim.bench.compare import Layout


class AtWork:
    """Where slots begin and finish, since reset, in the recorded cycles of one run or several.

    In all other cycles a unit waits for something, which its counter of stalls says.
    """

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self.plan = plan
        names = [str(field) for field in layout.fields]
        self._columns = {
            (stage.name, edge): int(layout.start[names.index(f"{stage.name}.walk.{edge}")])
            for stage in plan.schedule.weighted
            for edge in ("begin", "finish")
        }
        self.reset()

    def reset(self) -> None:
        """Forget what was before a reset."""
        self._cycles = 0
        self._edges: dict[tuple[str, str], list[int]] = {place: [] for place in self._columns}

    def see(self, rows: NDArray[np.uint8]) -> None:
        """The next recorded rows of bits, after those seen before or an idle time."""
        for place, column in self._columns.items():
            self._edges[place] += (np.flatnonzero(rows[:, column] == 1) + self._cycles).tolist()
        self._cycles += len(rows)

    def cycles(self, stage: Any) -> int:
        """Cycles of slots, and those between two in which the next was not due yet."""
        begins, finishes = (self._edges[stage.name, edge] for edge in ("begin", "finish"))
        found, resting = 0, rest(stage.tiling)
        for begin, finish in zip(begins, finishes, strict=False):
            due = max(begin + self.plan.schedule.interval, finish + 1 + resting)
            found += stage.cycles + due - finish - 1
        return found
