"""Which memories of a plan are UltraRAM, where a device has some.

An UltraRAM has 4096 words of 72 bits, zeros at first, with one clock for reads and writes.  That
suits large deep memories, stashes and weights above all: both begin with zeros, weights being
written over the bus.  Yosys takes it where it costs less than block RAM, from four RAMB36 on, but
does not know how many a device has.  `placed` does: where there are too few, those memories stay in
block RAM that gain least by it, and where block RAM is short instead, further memories move
over.  The Verilog leaves the choice to Yosys, so that what `placed` changes needs a `ram_style`
attribute in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from counterflow.design.fpga.blocks import MemoryCells, memory_cells
from counterflow.design.fpga.memories import Memory
from counterflow.design.fpga.targets import Resources

WORTH = 16  # block RAMs of 18 kbit that hold as many bits as an UltraRAM


class _Candidate(NamedTuple):
    """Memory number `place` of `unit`: what it takes as block RAM and as UltraRAM.

    ``chosen``: Yosys takes UltraRAM.
    """

    unit: str
    place: int
    blocks: int
    ultra_rams: int
    chosen: bool

    @property
    def gain(self) -> float:
        """Block RAMs that an UltraRAM saves."""
        return self.blocks / self.ultra_rams


def placed(
    units: Mapping[str, list[Memory]], family: str, has: Resources
) -> dict[str, list[Memory]]:
    """The memories of `units`, told which to be in UltraRAM and which not on a device that `has` so
    much.

    Every memory that Yosys puts there stays there, as long as there are enough.
    """
    found = {unit: list(parts) for unit, parts in units.items()}
    candidates = sorted(_candidates(units, family), key=lambda one: -one.gain)
    left = has.ultra_rams
    blocks = sum(_cells(one, family).blocks for parts in units.values() for one in parts)
    for one in (one for one in candidates if one.chosen):
        if one.ultra_rams <= left:
            left -= one.ultra_rams
            continue
        found[one.unit][one.place] = found[one.unit][one.place]._replace(ultra=False)
        blocks += one.blocks
    for one in (one for one in candidates if not one.chosen):
        if blocks <= has.block_rams or one.gain <= 1:
            break
        if one.ultra_rams <= left:
            found[one.unit][one.place] = found[one.unit][one.place]._replace(ultra=True)
            left, blocks = left - one.ultra_rams, blocks - one.blocks
    return found


def _candidates(units: Mapping[str, list[Memory]], family: str) -> Iterator[_Candidate]:
    for unit, parts in units.items():
        for index, one in enumerate(parts):
            freely = _cells(one, family)
            if not one.clocked or one.table or not (freely.blocks or freely.ultra_rams):
                continue
            blocks = _cells(one._replace(ultra=False), family).blocks
            ultra = _cells(one._replace(ultra=True), family).ultra_rams
            yield _Candidate(unit, index, blocks, ultra, freely.ultra_rams > 0)


def _cells(one: Memory, family: str) -> MemoryCells:
    _, words, bits, *kind = one
    names = ("clocked", "collides", "cleared", "table", "logic", "ultra")
    return memory_cells(words, bits, family, **dict(zip(names, kind, strict=True)))
