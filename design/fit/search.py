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
from numpy.typing import NDArray

from counterflow.design.fit.knapsack import Knapsack, undominated
from counterflow.design.fit.relaxed import Relaxed
from counterflow.design.fit.unit_folds import Option, unit_options
from counterflow.design.fpga.needs import Needs, needs
from counterflow.design.fpga.outside import all_outside
from counterflow.design.fpga.products import factors, product_luts
from counterflow.design.fpga.targets import Resources, total
from counterflow.design.fpga.ultra import WORTH
from counterflow.design.network.description import Description, Fold
from counterflow.design.schedule.folding import SLACK, fold, in_luts, with_luts
from counterflow.design.schedule.planner import plan
from counterflow.design.units.tiling import Lanes

LOOKS = 6, 64  # folds that are counted exactly in a round of a search: of large nets, of small
WORK = 2**18  # products of a sample that are many for one such count
SPARE = 2, 0.03  # block RAMs, and part of those there are, by which a search may be off
HOPELESS = 1.5  # of the block RAMs there are: folds that all take more need no second look
TABLE = 2**26  # steps of filling a table of combinations, up to which there is one


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

    ``more``: multipliers of LUTs that a fold may have beside the blocks.
    ``luts``: those that may be planned with, at first all there are; ``intervals``: every one that
    a fold can have, in cycles, rising; ``outside``: every stash is in a memory beside the chip that
    frees memory by it.  An UltraRAM counts as the block RAMs that hold as many bits.  ValueError
    for a family of which nothing is known, and where a description has no schedule.
    """

    def __init__(
        self,
        description: Description,
        has: Resources,
        family: str,
        *,
        outside: bool = False,
        lut_multipliers: int = 0,
    ) -> None:
        self.description, self.has, self.family, self.outside = description, has, family, outside
        self.more = lut_multipliers
        self.luts = float(has.luts)
        self.rams = rams(has)
        self._needs: dict[tuple[Lanes, ...], Needs] = {}
        self._combined: dict[int, tuple[list[list[Option]], Knapsack | Relaxed]] = {}
        self._picked: dict[tuple[int, int, int], list[int]] = {}
        most = max(self.has.multipliers, description.least_multipliers)
        budget = Fold(multipliers=most, lut_multipliers=self.more)
        asked = description.model_copy(update={"fold": budget})
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
        if self.taken_rams(base) > HOPELESS * self.rams:
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
        blocks = taken.block_rams <= there.block_rams and taken.ultra_rams <= there.ultra_rams
        weighted = needed.plan.schedule.weighted
        tilings = [stage.tiling for stage in weighted]
        of_luts = in_luts(tilings, [tiling.lanes for tiling in tilings])
        return blocks and taken.multipliers <= there.multipliers and of_luts <= self.more

    def taken_rams(self, needed: Needs) -> int:
        """Block RAMs that a fold takes, UltraRAMs as so many; all there are and more if one
        overruns.

        Either kind can be short while there is some of the other.
        """
        there, taken = self.has, needed.total
        over = max(0, taken.block_rams - there.block_rams)
        over += WORTH * max(0, taken.ultra_rams - there.ultra_rams)
        return self.rams + over if over and there.ultra_rams else rams(taken)

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
            found = self._needed(lanes)
            excess = min(found.total.multipliers - self.has.multipliers, self.more)
            if excess > 0:
                weighted = found.plan.schedule.weighted
                blocks = [
                    found.units[stage.name].multipliers // stage.tiling.lane_count
                    for stage in weighted
                ]
                tilings = [stage.tiling for stage in weighted]
                found = self._needed(with_luts(tilings, excess, blocks))
            self._needs[lanes] = found
        return self._needs[lanes]

    def _needed(self, lanes: tuple[Lanes, ...]) -> Needs:
        """What these lanes take."""
        asked = self.description.model_copy(update={"fold": Fold(lanes=lanes)})
        design = plan(asked)
        if self.outside:
            design = all_outside(design)
        return needs(design, self.family, self.has)

    def _start_from(self, base: Needs) -> None:
        """Look at folds by the depths of this one."""
        stages = base.plan.schedule.weighted
        # For each unit with weights the folds that are no worse than another in every respect.
        self.options = [
            unit_options(one, self.multipliers, self.family, outside=self.outside) for one in stages
        ]
        shortest = max(min(option.bound for option in options) for options in self.options)
        floor = max(shortest, self.description.graph.slowest.bound)
        bounds = {option.bound for options in self.options for option in options}
        self.intervals = sorted({max(bound, floor) for bound in bounds})
        self._product = max(
            product_luts(a, b, self.family)
            for a, b in (
                (one.bits, two.bits)
                for stage in stages
                for one, two in factors(stage.tiling, stage.arithmetic)
            )
        )
        # What the units without weights take.
        weighted = {stage.name for stage in stages}
        self.around = total(taken for unit, taken in base.units.items() if unit not in weighted)
        self._combined.clear()
        self._picked.clear()

    @property
    def _room(self) -> int:
        """Block RAMs for units with weights."""
        return self.rams - rams(self.around)

    @property
    def _products(self) -> int:
        """Multipliers for units with weights."""
        return max(0, self.multipliers - self.around.multipliers)

    @property
    def multipliers(self) -> int:
        """Those there are, and those that LUTs may be."""
        return self.has.multipliers + self.more

    def _luts_for(self, multipliers: NDArray[np.int64]) -> NDArray[np.float64]:
        """LUTs of units with weights with so many, of which some may be more than there are."""
        over = np.maximum(0, multipliers + self.around.multipliers - self.has.multipliers)
        return self.luts - self.around.luts - over * self._product

    @property
    def _margin(self) -> int:
        """Block RAMs by which the search may be off."""
        return max(SPARE[0], math.ceil(SPARE[1] * self.rams))

    @cached_property
    def _looks(self) -> int:
        """How many folds may be counted exactly in a round."""
        work = sum(u.geometry.elements * u.geometry.taps for u in self.description.weighted)
        return min(max(LOOKS[0], WORK // work), LOOKS[1])

    def _combinations(self, interval: int) -> tuple[list[list[Option]], Knapsack | Relaxed]:
        """The options of every unit that keep up with an interval, and their combinations."""
        if interval not in self._combined:
            lists = self.able(interval)
            most = self._products, max(0, self._room + self._margin)
            items = [[option.item for option in options] for options in lists]
            combined = Relaxed(items) if is_large(lists, most) else Knapsack(items, most)
            self._combined[interval] = lists, combined
        return self._combined[interval]

    def able(self, interval: int) -> list[list[Option]]:
        """The options of every unit that keep up with an interval."""
        lists = []
        for options in self.options:
            able = [option for option in options if option.bound <= interval]
            lists.append([able[index] for index in undominated([o.item for o in able])])
        return lists

    def _best(self, interval: int, room: int, *, frugal: bool = False) -> Found | None:
        """The fold with the fewest multipliers (if `frugal`, block RAMs) for an interval."""
        _, combined = self._combinations(interval)
        if isinstance(combined, Relaxed):
            return self._near(combined, interval, room, frugal=frugal)
        prices = combined.prices[:, : max(0, room + 1)]
        allowed = prices <= self._luts_for(np.arange(len(prices)))[:, None]
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

    def _near(self, relaxed: Relaxed, interval: int, room: int, *, frugal: bool) -> Found | None:
        """As `_best`, nearly."""
        # Those that are to be of LUTs take these, whether a fold needs all of them or not.
        limits = self._products, room, float(self._luts_for(np.array([self._products]))[0])
        if min(limits) < 0:
            return None
        picked = relaxed.within(limits, aim=1 if frugal else 0)
        if picked is None:
            return None
        multipliers, blocks, luts = relaxed.amounts(picked)
        self._picked[interval, int(multipliers), int(blocks)] = picked
        return Found(int(multipliers) * interval, int(blocks), luts, int(multipliers), interval)

    def _count(self, found: Found) -> Needs:
        lists, combined = self._combinations(found.interval)
        amounts = found.multipliers, found.block_rams
        if isinstance(combined, Relaxed):
            return self.counted(lanes_of(lists, self._picked[found.interval, *amounts]))
        return self.counted(lanes_of(lists, combined.chosen(*amounts)))

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
                if (
                    found is None
                ):  # longer intervals allow all that shorter ones do, but for `Relaxed`
                    continue
                needed = self._count(found)
                if self.fits(needed):
                    return needed
                off = self.taken_rams(needed) - rams(self.around) - found.block_rams
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


def rams(of: Resources) -> int:
    """Block RAMs, and UltraRAMs as the block RAMs that hold as many bits."""
    return of.block_rams + WORTH * of.ultra_rams


def is_large(lists: list[list[Option]], most: tuple[int, int]) -> bool:
    """Whether a table of all combinations would take long to fill."""
    return (most[0] + 1) * (most[1] + 1) * sum(map(len, lists)) > TABLE


def lanes_of(lists: list[list[Option]], chosen: list[int]) -> tuple[Lanes, ...]:
    """The lanes of every unit's chosen option."""
    pairs = zip(lists, chosen, strict=True)
    return tuple(options[index].tiling.lanes for options, index in pairs)


def _rank(needed: Needs) -> tuple[int, int, int]:
    taken = needed.total
    return taken.multipliers * needed.interval, rams(taken), taken.luts
