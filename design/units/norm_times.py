"""A norm with running statistics in time: the cycle of each event, and what waits in it.

Passing tokens on takes a constant number of cycles each way; see `design.units.normal_times` for
its updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, QUEUE, SUM
from counterflow.design.units.normal_times import SHIFT, NormalStage, NormalTimes
from counterflow.design.units.normalisation import SCALE_CONTROL, SHIFT_CONTROL, Normalisation
from counterflow.design.units.slotted import Integers
from counterflow.design.units.timing import Cycles

BACKWARD = MEMORY + SUM + PRODUCT + SUM + PRODUCT + SHIFT + SUM + NARROW + QUEUE  # dy to dx
DX_QUEUE = BACKWARD + 1  # words: as many as are under way, and one

TOTALLED = MEMORY + SUM + PRODUCT + SUM  # the last x taken to all sums over its token known
RETURNED = MEMORY + SUM + PRODUCT + SUM + PRODUCT + SHIFT + SUM + SUM  # as TOTALLED, of the last dy


@dataclass(frozen=True)
class NormStage(NormalStage):
    """A norm with running statistics in the schedule."""

    twin = "golden.units.norm.Norm"
    totalled = TOTALLED
    returned = RETURNED

    numbers: Normalisation

    @property
    def running(self) -> dict[str, Format]:
        """See `NormalStage.running`."""
        found = {"mean": self.numbers.mean, "variance": self.numbers.variance}
        if self.unit.frozen:
            return found
        return {**found, "scale_control": SCALE_CONTROL, "shift_control": SHIFT_CONTROL}

    def initial(self) -> dict[str, Integers]:
        """See `Slotted.initial`: a variance of one."""
        numbers, found = self.numbers, super().initial()
        one = 1 << 2 * numbers.x.frac + numbers.variance.frac
        found["variance"] += min(one, numbers.variance.max)
        return found

    @property
    def table_bits(self) -> int:
        """Bits of what a token sees of a channel: centre, root, and what it learns."""
        return self.numbers.centre.bits + self.root_bits + self.beta_bits

    @property
    def kept_bits(self) -> int:
        """Bits of what the backward pass of a token needs: its kind; root and factor for dx."""
        if self.numbers.dx is None:
            return KIND_BITS
        return self.root_bits + self.numbers.carried.bits + KIND_BITS

    @cached_property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `NormalStage.memories`."""
        numbers, channels = self.numbers, self.numbers.channels
        forward = numbers.sums.bits + numbers.squares.bits
        if self.unit.frozen:
            return [*self._common_memories, ("tables", max(2, channels), self.table_bits)]
        backward = numbers.error_sum.bits if self.unit.moves else 0
        if numbers.gammas is not None:
            backward += numbers.correlation.bits
        found = self._common_memories
        found += [
            ("tables", 2 * channels, self.table_bits),
            ("sums", max(2, channels), forward),
            ("totals", 2 * channels, forward + numbers.centre.bits),
            ("kept", max(2, self.tokens * channels), self.kept_bits),
        ]
        if numbers.dx is not None:
            backward += numbers.product_sum.bits + numbers.gradient_sum.bits
            controls = SCALE_CONTROL.bits + SHIFT_CONTROL.bits
            found += [
                ("controls", 2 * channels, controls),
                ("dx", DX_QUEUE, numbers.dx.bits),
            ]
        found += [
            ("gradient sums", max(2, channels), backward),
            ("gradient totals", 2 * channels, backward),
        ]
        return found


class NormTimes(NormalTimes):
    """A norm with running statistics while a schedule is made."""

    stage = NormStage

    def through(self, arrivals: Cycles) -> Cycles:
        """See `NormalTimes.through`: they go on as they arrive."""
        return arrivals

    def back(self, arrivals: Cycles) -> Cycles:
        """See `NormalTimes.back`."""
        return arrivals + BACKWARD

    def over(self, later: Cycles) -> int:
        """See `NormalTimes.over`."""
        return int(later[-1])
