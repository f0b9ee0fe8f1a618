"""The norm of groups: some channels of an image brought to mean 0 and variance 1, and a bias added.

What it computes stands in `design.units.group_normalisation`.  The statistics are those of the very
image, so that it has to be complete before the first of it can go on, and so has its gradient:

    forward    x waits while its sums add up; then it is read back in order, and y leaves
    backward   dy and xhat wait while their sums add up; then they are read back, and dx leaves

Each way a token takes an image longer, and the next one may arrive while it is read back.  Nothing
is remembered but beta.  Of slots `design.units.norm` says what they are: token j sees, when it is
read back, the beta that the update of slot j - 2 left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from counterflow.design.graph import Edge, shown
from counterflow.design.parts.recipe import Recipe
from counterflow.design.units.group_normalisation import GroupNormalisation
from counterflow.design.units.group_times import GroupNormTimes
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.design.units.tiling import Tiling

GROUP = 2  # channels, unless a layer says otherwise
LEAST_COUNT = 8  # numbers that statistics are taken of


def check_group(edge: Edge, group: int) -> None:
    """ValueError, one sentence, unless groups of so many channels of `edge` can be normalised."""
    height, width, channels = edge.shape
    pixels = height * width
    possible = [
        one for one in range(1, channels + 1) if channels % one == 0 and pixels * one >= LEAST_COUNT
    ]
    remedy = f"group can be {_either(possible)}" if possible else "leave the norm out there"
    if channels % group:
        raise ValueError(
            f"its group of {group} channels does not divide the {channels} channels of the "
            f"{shown(edge.shape)} that it gets; {remedy}"
        )
    if pixels * group < LEAST_COUNT:
        raise ValueError(
            f"it gets images of {shown(edge.shape)} and normalises {pixels} pixels x {group} "
            f"channels = {pixels * group} numbers together, but statistics need at least "
            f"{LEAST_COUNT}; {remedy}"
        )


def _either(numbers: list[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


@dataclass(frozen=True, kw_only=True)
class GroupNormUnit(NormalUnit):
    """A norm of groups of the graph.  Ports: x; y."""

    kind: ClassVar[str] = "group_norm"

    group: int

    def numbers(self, recipe: Recipe, delay: int) -> GroupNormalisation:
        """See `NormalUnit.numbers`."""
        return GroupNormalisation(**self.common(recipe, delay), group=self.group)

    def times(self, tiling: Tiling | None, recipe: Recipe) -> GroupNormTimes:
        """See `Unit.times`."""
        return GroupNormTimes(self, partial(self.checked, recipe))
