"""A stash in a memory beside the chip: what it holds, what passes, and what stays inside.

This is a plan and no more: no hardware is made for it.  The input of a unit with weights is written
once, when it comes, and read once, when its gradient comes.  Both go row by row of an image, in an
order that depends on no data, and each row begins with a burst of its own.  Inside stay a row that
is gathered and one that leaves, the rows under the kernel, and as many as it moves down by
(`design.fpga.memories.sent_words`, `fetched_words`).  Where that is no less than the stash itself,
the stash stays inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from counterflow.design.fpga.memories import fetched_words, freed_words, sent_words
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.slots import Stage

BURST = 64  # bytes of a burst of eight over 64 bits, of DDR3 as of DDR4
BANDWIDTH: Mapping[str, float] = {"DDR3-1600 x64": 12.8e9, "DDR4-2400 x64": 19.2e9}
"""Bytes a second of a channel at best: transfers a second times eight bytes."""

EFFICIENCY = 0.7
"""Part of that which is planned with, for refresh, opening of rows and turns between reads and
writes.  It is assumed and was not measured; whole rows of images are bursts long enough for it."""


@dataclass(frozen=True)
class Stashed:
    """The stash of unit `unit` outside: images of `rows` rows of `row_bytes`, in whole bursts.

    ``tokens`` images are there at once at most; ``freed`` bits are no longer held inside, where
    ``kept`` bits wait on their way there and back.
    """

    unit: str
    rows: int
    row_bytes: int
    tokens: int
    freed: int
    kept: int

    @property
    def image_bytes(self) -> int:
        """Bytes of an image."""
        return self.rows * self.row_bytes

    @property
    def traffic(self) -> int:
        """Bytes that pass for a sample: an image written and one read."""
        return 2 * self.image_bytes

    @property
    def capacity(self) -> int:
        """Bytes of all images that are there at once."""
        return self.tokens * self.image_bytes


def stashed(stage: Stage) -> Stashed:
    """The stash of `stage` outside, whether it frees anything or not."""
    tiling, depths = stage.tiling, stage.depths
    word = tiling.lanes.inputs * stage.arithmetic.x.bits
    row = math.ceil(tiling.geometry.row_inputs * stage.arithmetic.x.bits / 8)
    return Stashed(
        unit=stage.name,
        rows=tiling.geometry.image[0],
        row_bytes=math.ceil(row / BURST) * BURST,
        # The oldest is read while the newest is written, each in its own rows.
        tokens=math.ceil(depths.stash / tiling.image_words) + 1,
        freed=freed_words(tiling, depths) * word,
        kept=(sent_words(tiling) + fetched_words(tiling)) * word,
    )


def worth_it(design: Plan) -> tuple[Stashed, ...]:
    """The stashes that free memory inside, those first that free most for the bytes that pass."""
    found = [stashed(stage) for stage in design.schedule.weighted]
    freeing = [one for one in found if one.freed > 0]
    return tuple(sorted(freeing, key=lambda one: (one.traffic / one.freed, -one.freed, one.unit)))


def all_outside(design: Plan) -> Plan:
    """`design` with every stash outside that frees memory by it."""
    return replace(design, outside=tuple(one.unit for one in worth_it(design)))


def chosen(design: Plan) -> tuple[Stashed, ...]:
    """The stashes that are outside in `design`."""
    return tuple(
        stashed(stage) for stage in design.schedule.weighted if stage.name in design.outside
    )


@dataclass(frozen=True)
class Traffic:
    """What passes to and from a memory outside: bytes a sample, and bytes held at most."""

    sample_bytes: int
    capacity: int

    def bandwidth(self, samples: float) -> float:
        """Bytes a second at so many samples a second."""
        return self.sample_bytes * samples

    def share(self, channel: str, samples: float) -> float:
        """Part of what is planned of a channel in `BANDWIDTH` that so many samples a second
        take."""
        return self.bandwidth(samples) / (EFFICIENCY * BANDWIDTH[channel])

    def most(self, channel: str) -> float:
        """Samples a second for which a channel is enough."""
        return EFFICIENCY * BANDWIDTH[channel] / max(1, self.sample_bytes)


def traffic(stashes: Iterable[Stashed]) -> Traffic:
    """That of several stashes together."""
    every = list(stashes)
    return Traffic(sum(one.traffic for one in every), sum(one.capacity for one in every))
