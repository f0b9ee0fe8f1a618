"""Folds for a whole network that fit a device: multipliers, block RAMs and, roughly, LUTs.

What a unit takes of block RAMs depends a little on all the others, since its delay does.  So the
search goes by depths of buffers that are scaled from those of one schedule.  What it finds is
scheduled and counted exactly, and the room for block RAMs corrected by what was off.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from counterflow.design.fit.knapsack import Knapsack, undominated
from counterflow.design.fit.unit_folds import Option, unit_options
from counterflow.design.fpga.needs import Needs, needs
from counterflow.design.fpga.targets import Resources, total
from counterflow.design.network.description import Description, Fold
from counterflow.design.schedule.folding import SLACK, fold
from counterflow.design.schedule.planner import plan
from counterflow.design.units.tiling import Lanes

LOOKS = 6, 64  # folds that are counted exactly in a round of a search: of large nets, of small
WORK = 2**18  # products of a sample that are many for one such count
SPARE = 2, 0.03  # block RAMs, and part of those there are, by which a search may be off
HOPELESS = 1.5  # of the block RAMs there are: folds that all take more need no second look
STEP = 2  # times what there is, up to which a next step is looked for


class Found(NamedTuple):
    """A fold to be counted, in the order in which one is preferred to another.

    ``idle``: multipliers times cycles, of which the useful ones are the same in every fold;
    ``block_rams`` and ``luts`` are those of units with weights, and not exact.
    """

    idle: int
    block_rams: int
    luts: float
    multipliers: int
    interval: int


class Search:
    """The folds of `description` within `has`, in blocks of `family`.

    ``luts``: those that may be planned with, at first all there are; ``intervals``: every one that
    a fold can have, in cycles, rising.  ValueError for a family of which nothing is known, and
    where a description has no schedule.
    """

    def __init__(self, description: Description, has: Resources, family: str) -> None:
        self.description, self.has, self.family = description, has, family
        self.luts = float(has.luts)
        self._needs: dict[tuple[Lanes, ...], Needs] = {}
        self._knapsacks: dict[int, tuple[list[list[Option]], Knapsack]] = {}
        most = max(self.has.multipliers, len(description.weighted))
        asked = description.model_copy(update={"fold": Fold(multipliers=most)})
        self._start_from(self.counted(fold(asked)))

    def fastest(self, limit: int | None = None) -> Needs | None:
        """The fold that idles least among those within a tenth of the fastest that fits.

        Of several the one with the fewest block RAMs, then with the least logic; `limit`, if given,
        is the longest interval in cycles.  None where none fits.
        """
        return self._twice(lambda: self._fastest(limit))

    def within(self, limit: int) -> Needs | None:
        """The fold with the fewest multipliers whose interval is at most `limit` cycles.

        None where none fits.
        """
        return self._twice(lambda: self._within(limit))

    def _twice(self, look: Callable[[], Needs | None]) -> Needs | None:
        """The better result of two looks, the second by the depths of what the first found."""
        first = look()
        base = self.least(1) if first is None else first
        if base.total.block_rams > HOPELESS * self.has.block_rams:
            return first
        self._start_from(base)
        second = look()
        if first is None or second is None:
            return first or second
        if max(first.interval, second.interval) > min(first.interval, second.interval) * (
            1 + SLACK
        ):
            return min(first, second, key=lambda found: found.interval)
        return min(first, second, key=_rank)

    def _fastest(self, limit: int | None) -> Needs | None:
        best = self._quickest()
        if best is None or (limit is not None and best.interval > limit):
            return best
        longest = math.floor(best.interval * (1 + SLACK))
        longest = longest if limit is None else min(longest, limit)
        other = self._idlest([t for t in self.intervals if best.interval <= t <= longest])
        return best if other is None else min(best, other, key=_rank)

    def _within(self, limit: int) -> Needs | None:
        index = bisect.bisect_right(self.intervals, limit) - 1
        return None if index < 0 else self._idlest([self.intervals[index]])

    def next_step(self, below: int) -> Needs | None:
        """The fold that overruns what there is by the least, with an interval of at most `below`.

        None where that takes more than `STEP` times what there is.
        """
        index = bisect.bisect_right(self.intervals, below) - 1
        if index < 0:
            return None
        lists = self._able(self.intervals[index])
        has = self.has.multipliers, self.has.block_rams, self.luts
        most = STEP * has[0], STEP * has[1]
        knapsack = Knapsack([[option.item for option in options] for options in lists], most)
        rows, columns = (np.arange(size, dtype=np.float64) for size in knapsack.prices.shape)
        blocks = columns + self.around.block_rams
        rows = rows + self.around.multipliers
        worst = (knapsack.prices + self.around.luts) / max(1.0, has[2])
        worst = np.maximum(worst, (rows / max(1, has[0]))[:, None])
        worst = np.maximum(worst, (blocks / max(1, has[1]))[None, :])
        if not np.isfinite(worst).any():
            return None
        at = np.unravel_index(int(np.argmin(worst)), worst.shape)
        return self.counted(_lanes(lists, knapsack.chosen(int(at[0]), int(at[1]))))

    def least(self, resource: int) -> Needs:
        """The fold that takes least of a resource: of multipliers (0), block RAMs (1), LUTs (2)."""
        cheapest = [
            min(options, key=lambda option: (option.item[resource], *option.item))
            for options in self.options
        ]
        return self.counted(tuple(option.tiling.lanes for option in cheapest))

    def fits(self, needed: Needs) -> bool:
        """Whether there are the blocks; LUTs are too rough to refuse a fold by the last of them."""
        there, taken = self.has, needed.total
        return taken.multipliers <= there.multipliers and taken.block_rams <= there.block_rams

    @cached_property
    def slowest(self) -> str:
        """The unit that allows no interval shorter than the first of `intervals`."""
        shortest = [min(option.bound for option in options) for options in self.options]
        if max(shortest) < self.intervals[0]:
            return self.description.graph.slowest.name
        return self.description.weighted[shortest.index(max(shortest))].name

    def counted(self, lanes: tuple[Lanes, ...]) -> Needs:
        """What a fold really takes."""
        if lanes not in self._needs:
            asked = self.description.model_copy(update={"fold": Fold(lanes=lanes)})
            self._needs[lanes] = needs(plan(asked), self.family)
        return self._needs[lanes]

    def _start_from(self, base: Needs) -> None:
        """Look at folds by the depths of this one."""
        stages = base.plan.schedule.weighted
        # For each unit with weights the folds that are no worse than another in every respect.
        self.options = [unit_options(one, self.has.multipliers, self.family) for one in stages]
        shortest = max(min(option.bound for option in options) for options in self.options)
        floor = max(shortest, self.description.graph.slowest.bound)
        bounds = {option.bound for options in self.options for option in options}
        self.intervals = sorted({max(bound, floor) for bound in bounds})
        # What the units without weights take.
        weighted = {stage.name for stage in stages}
        self.around = total(taken for unit, taken in base.units.items() if unit not in weighted)
        self._knapsacks.clear()

    @property
    def _room(self) -> int:
        """Block RAMs for units with weights."""
        return self.has.block_rams - self.around.block_rams

    @property
    def _margin(self) -> int:
        """Block RAMs by which the search may be off."""
        return max(SPARE[0], math.ceil(SPARE[1] * self.has.block_rams))

    @cached_property
    def _looks(self) -> int:
        """How many folds may be counted exactly in a round."""
        work = sum(u.geometry.elements * u.geometry.taps for u in self.description.weighted)
        return min(max(LOOKS[0], WORK // work), LOOKS[1])

    def _knapsack(self, interval: int) -> tuple[list[list[Option]], Knapsack]:
        """The options of every unit that keep up with an interval, and their combinations."""
        if interval not in self._knapsacks:
            lists = self._able(interval)
            products = self.has.multipliers - self.around.multipliers
            most = max(0, products), max(0, self._room + self._margin)
            items = [[option.item for option in options] for options in lists]
            self._knapsacks[interval] = lists, Knapsack(items, most)
        return self._knapsacks[interval]

    def _able(self, interval: int) -> list[list[Option]]:
        lists = []
        for options in self.options:
            able = [option for option in options if option.bound <= interval]
            lists.append([able[index] for index in undominated([o.item for o in able])])
        return lists

    def _best(self, interval: int, room: int, *, frugal: bool = False) -> Found | None:
        """The fold with the fewest multipliers (if `frugal`, block RAMs) for an interval."""
        _, knapsack = self._knapsack(interval)
        prices = knapsack.prices[:, : max(0, room + 1)]
        allowed = prices <= self.luts - self.around.luts
        if not allowed.any():
            return None
        if frugal:
            blocks = int(np.argmax(allowed.any(axis=0)))
            multipliers = int(np.argmax(allowed[:, blocks]))
        else:
            multipliers = int(np.argmax(allowed.any(axis=1)))
            blocks = int(np.argmax(allowed[multipliers]))
        luts = float(prices[multipliers, blocks])
        return Found(multipliers * interval, blocks, luts, multipliers, interval)

    def _count(self, found: Found) -> Needs:
        lists, knapsack = self._knapsack(found.interval)
        chosen = knapsack.chosen(found.multipliers, found.block_rams)
        return self.counted(_lanes(lists, chosen))

    def _quickest(self) -> Needs | None:
        """About the fastest fold that fits: at each interval the one with the fewest block RAMs."""
        room = self._room + self._margin
        for _ in range(2):
            # Nearly always one of the first few fits; if not, the search is further off than its
            # margin, and by how much is known then.
            start = bisect.bisect_left(
                self.intervals, True, key=lambda t: self._best(t, room) is not None
            )
            off = 0
            for interval in self.intervals[start : start + self._looks]:
                found = self._best(interval, room, frugal=True)
                assert found is not None, "longer intervals allow all that shorter ones do"
                needed = self._count(found)
                if self.fits(needed):
                    return needed
                off = needed.total.block_rams - self.around.block_rams - found.block_rams
            room = self._room - off
        return None

    def _idlest(self, intervals: list[int]) -> Needs | None:
        """The fold that idles least with one of some intervals and fits."""
        for room in (self._room + self._margin, self._room, self._room - self._margin):
            found = self._idlest_within(intervals, room)
            if found is not None:
                return found
        return None

    def _idlest_within(self, intervals: list[int], room: int) -> Needs | None:
        # Until an interval is looked at closely it stands with the fewest multipliers it could
        # have, and so is looked at only if these could be the best.
        queue = [self._least(interval) for interval in intervals]
        heapq.heapify(queue)
        looks = 0
        while queue and looks < self._looks:
            found = heapq.heappop(queue)
            if found.block_rams >= 0:
                looks += 1
                needed = self._count(found)
                if self.fits(needed):
                    return needed
            less = room if found.block_rams < 0 else found.block_rams - 1
            other = self._best(found.interval, less)
            if other is not None:
                heapq.heappush(queue, other)
        return None

    def _least(self, interval: int) -> Found:
        least = sum(
            min(option.item.first for option in options if option.bound <= interval)
            for options in self.options
        )
        return Found(least * interval, -1, 0.0, least, interval)


def _lanes(lists: list[list[Option]], chosen: list[int]) -> tuple[Lanes, ...]:
    pairs = zip(lists, chosen, strict=True)
    return tuple(options[index].tiling.lanes for options, index in pairs)


def _rank(needed: Needs) -> tuple[int, int, int]:
    taken = needed.total
    return taken.multipliers * needed.interval, taken.block_rams, taken.luts
