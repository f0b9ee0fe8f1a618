"""A norm with the statistics of groups in time: whole images wait in it, both ways.

cycle after the last x of an image was taken   2   its square
                                               3   the sums of its channel
                                               4   those of its group
                                               6   N Q, S S
                                               7   N Q - S S
                                              10   v, M
                                              14   t, h and M at a memory's write port
                                              15   the first x is read back, one a cycle follows

cycle after the last dy of an image was taken  3   xhat; both at the write port of their buffer
                                               4   dy xhat
                                               5   the sums of its channel, those of dy for beta
                                               6   those of its group
                                               9   c1, c2 at a memory's write port
                                              10   the first dy and xhat are read back

With a gamma gamma dy takes the place of dy, a cycle later from its product on.

Each group is dealt with a cycle or more after the one before, as channels come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.group_normalisation import GroupNormalisation
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, QUEUE, SUM
from counterflow.design.units.normal_times import ROOT, SHARED, SHIFT, NormalStage, NormalTimes
from counterflow.design.units.timing import Cycles, occupancy

TOTAL = MEMORY + SUM  # x taken to the sums of its channel
SQUARES = SUM + PRODUCT  # S and Q of a group to N Q and S S
STATISTICS = SQUARES + SUM + SHARED + ROOT  # S and Q of a group to M, t and h
KNOWN = TOTAL + SUM + STATISTICS  # the last x taken to those of the last group, written

TOTAL_BACK = MEMORY + SUM + PRODUCT + SUM  # as TOTAL, of dy
KNOWN_BACK = TOTAL_BACK + SUM + SHARED  # as KNOWN, of c1 and c2
WEIGHED = SUM  # later with a gamma, whose product with dy is rounded
AGAIN = 1  # written to the first element read back

BACKWARD = MEMORY + PRODUCT + SUM + PRODUCT + SHIFT + NARROW + QUEUE  # dy read to dx offered
DX_QUEUE = BACKWARD + 1  # words: as many as are under way, and one


@dataclass(frozen=True)
class GroupNormStage(NormalStage):
    """A norm with the statistics of groups in the schedule.

    ``image``: elements of x that wait until those of their image are complete, of ``images``
    tokens at most; ``image_back``, ``images_back``: those of dy, with xhat beside each (0 where
    nobody wants dx).
    """

    twin = "golden.units.group_norm.GroupNorm"
    totalled = 0  # only which beta the token has seen
    returned = TOTAL_BACK
    weighed = WEIGHED

    numbers: GroupNormalisation
    image: int
    images: int
    image_back: int
    images_back: int

    @property
    def statistics_bits(self) -> int:
        """Bits of what a token that goes forward sees of a group: M, t, h, and its kind."""
        return self.numbers.centre.bits + self.root_bits + KIND_BITS

    @property
    def means_bits(self) -> int:
        """Bits of what a token that comes back sees of a group: c1, c2, and its kind."""
        return self.numbers.error_mean.bits + self.numbers.product_mean.bits + KIND_BITS

    @property
    def kept_bits(self) -> int:
        """Bits of what the way back needs of a channel: the token's kind; and a factor for dx."""
        return KIND_BITS + (0 if self.numbers.dx is None else self.numbers.carried.bits)

    @cached_property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `NormalStage.memories`."""
        numbers, channels = self.numbers, self.numbers.channels
        found = self._common_memories
        found += [
            ("tables", max(2, channels * (1 if self.unit.frozen else 2)), self.beta_bits),
            ("image", max(2, self.image), numbers.x.bits),
            ("sums", max(2, channels), numbers.sums.bits + numbers.squares.bits),
            ("statistics", max(2, self.images * numbers.groups), self.statistics_bits),
        ]
        if self.unit.frozen:
            return found
        found.append(("kept", max(2, self.tokens * channels), self.kept_bits))
        backward = numbers.error_sum.bits
        if numbers.gammas is not None:
            backward += numbers.correlation.bits
        found.append(("gradient totals", 2 * channels, backward))
        if numbers.dx is not None:
            backward += numbers.product_sum.bits + numbers.group_error_sum.bits
            backward -= numbers.error_sum.bits if numbers.gammas is None else 0
            found += [
                ("kept roots", max(2, self.tokens * numbers.groups), self.root_bits),
                ("gradients", max(2, self.image_back), numbers.given.bits + numbers.y.bits),
                ("means", max(2, self.images_back * numbers.groups), self.means_bits),
                ("dx", DX_QUEUE, numbers.dx.bits),
            ]
        found.append(("gradient sums", max(2, channels), backward))
        return found


class GroupNormTimes(NormalTimes):
    """A norm with the statistics of groups while a schedule is made."""

    stage = GroupNormStage

    def through(self, arrivals: Cycles) -> Cycles:
        """See `NormalTimes.through`: one after the other when all of them are known."""
        self.arrivals = arrivals
        read: Cycles = arrivals[-1] + KNOWN + AGAIN + np.arange(len(arrivals))
        return read

    def read_back(self, arrivals: Cycles) -> Cycles:
        """When dy and xhat are read back, given when dy arrives."""
        known = KNOWN_BACK + (WEIGHED if self.unit.gamma else 0)
        read: Cycles = arrivals[-1] + known + AGAIN + np.arange(len(arrivals))
        return read

    def back(self, arrivals: Cycles) -> Cycles:
        """See `NormalTimes.back`."""
        return self.read_back(arrivals) + BACKWARD

    def over(self, later: Cycles) -> int:
        """See `NormalTimes.over`: as the last dy is read back, if dx is wanted."""
        return int(later[-1] if self.gradients is None else self.read_back(later)[-1])

    def depths(self, slot: int) -> Mapping[str, int]:
        """See `NormalTimes.depths`: both images, and the tokens that they are of."""
        found = {"image": 0, "images": 0, "image_back": 0, "images_back": 0}
        both = {"": (self.arrivals, self.passes)}
        if self.gradients is not None and self.errors is not None:
            both["_back"] = (self.errors.later, self.read_back(self.errors.later))
        for way, (taken, read) in both.items():
            found[f"image{way}"] = occupancy(taken, read + 1, slot)
            found[f"images{way}"] = occupancy(taken[:1], read[-1:] + 1, slot)
        return found
