"""The clocks that designs were routed at, to say what a new one will run at.

How fast a design is hangs on how full the device is, more than on anything a plan knows: the clock
of the routed design of the most similar number of LUTs is the honest guess.  The figures are those
of ``docs/results/synth-*.json``, all with seed 1 unless their command says another.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from counterflow.design.fpga.targets import TARGETS, Target


class Reached(NamedTuple):
    """A design that was placed and routed: its LUTs, as counted by Yosys, and its clock in MHz."""

    network: str
    target: str
    luts: int
    mhz: float


REACHED = (
    Reached("digits-conv", "ecp5-85f", 13_874, 114.2),
    Reached("digits", "ecp5-85f", 26_348, 108.8),
    Reached("mnist", "ecp5-85f", 31_974, 88.1),
    Reached("deep-digits-local", "ecp5-85f", 57_403, 58.1),
    Reached("lenet5", "ecp5-85f", 46_475, 91.0),
    Reached("cifar-resnet", "ecp5-85f", 62_983, 72.7),
)


class Clock(NamedTuple):
    """A frequency in MHz, and where it is from, as a sentence goes on after it."""

    mhz: float
    source: str


def clock(target: Target, luts: int, asked: float | None = None) -> Clock:
    """What to reckon with for a design of so many LUTs: `asked`, in MHz, or what similar ones do.

    Where nothing was routed for the target's family it is the target's frequency.
    """
    if asked is not None:
        return Clock(asked, "")
    alike = [one for one in REACHED if TARGETS[one.target].family == target.family]
    if not alike:
        return Clock(target.frequency, ", at which no design for such devices has been routed yet,")
    best = min(alike, key=lambda one: abs(math.log(one.luts / max(luts, 1))))
    speeds = [one.mhz for one in alike]
    return Clock(
        best.mhz,
        f", which {best.network} has reached, the most similar of the designs that were routed "
        f"({best.luts:,} LUTs; {min(speeds):g} to {max(speeds):g} MHz are seen on such devices),",
    )
