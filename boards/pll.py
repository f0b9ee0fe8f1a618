"""Dividers of a PLL for a wanted frequency: plain numbers, no hardware."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

TOLERANCE = 0.01  # of a frequency, by which what a PLL makes may differ from what was asked for


class Limits(NamedTuple):
    """What the PLL of a family can do; frequencies in MHz, both ends included.

    With ``divided_feedback`` the feedback comes from behind the output divider, so that this
    divider sets the oscillator's frequency and not the output's.
    """

    references: range
    feedbacks: range
    outputs: tuple[int, ...]
    detector: tuple[float, float]
    oscillator: tuple[float, float]
    output: tuple[float, float]
    divided_feedback: bool


LIMITS: Mapping[str, Limits] = {
    # Lattice TN-02200 with the narrower detector range of Trellis' ecppll.
    "ecp5": Limits(
        references=range(1, 129),
        feedbacks=range(1, 129),
        outputs=tuple(range(1, 129)),
        detector=(3.125, 400),
        oscillator=(400, 800),
        output=(10, 400),
        divided_feedback=True,
    ),
    # Lattice TN-02052, simple feedback.
    "ice40": Limits(
        references=range(1, 17),
        feedbacks=range(1, 129),
        outputs=(2, 4, 8, 16, 32, 64),
        detector=(10, 133),
        oscillator=(533, 1066),
        output=(16, 275),
        divided_feedback=False,
    ),
    # Xilinx DS181, PLLE2 of speed grade -1.
    "xc7": Limits(
        references=range(1, 57),
        feedbacks=range(2, 65),
        outputs=tuple(range(1, 129)),
        detector=(19, 450),
        oscillator=(800, 1600),
        output=(6.25, 464),
        divided_feedback=False,
    ),
}
"""Limits by the family of `design.fpga.blocks`."""


class Dividers(NamedTuple):
    """How a PLL makes ``frequency`` MHz: the dividers before the detector, in the feedback and
    behind the oscillator, which runs at ``oscillator`` MHz."""

    frequency: float
    oscillator: float
    reference: int
    feedback: int
    output: int


def dividers(family: str, clock: float, wanted: float) -> Dividers | None:
    """Dividers that make `wanted` MHz of `clock` MHz, within `TOLERANCE`; None if they are equal.

    ValueError, in a sentence that names what would do, where there are none.
    """
    if wanted == clock:
        return None
    limits = LIMITS[family]
    low, high = limits.output
    if not low <= wanted <= high:
        raise ValueError(
            f"the PLL makes {low:g} to {high:g} MHz and cannot make {wanted:g} MHz; without it the "
            f"clock is {clock:g} MHz"
        )
    middle = sum(limits.oscillator) / 2
    best = min(
        _near(limits, clock, wanted),
        key=lambda one: (
            abs(one.frequency - wanted),
            abs(one.oscillator - middle),
            one.reference,
        ),
        default=None,
    )
    if best is None or abs(best.frequency / wanted - 1) > TOLERANCE:
        nearest = f"; the nearest is {best.frequency:.6g} MHz" if best else ""
        raise ValueError(f"the PLL cannot make {wanted:g} MHz of {clock:g} MHz{nearest}")
    return best


def _near(limits: Limits, clock: float, wanted: float) -> Iterator[Dividers]:
    """All settings within the limits whose feedback is one of the two next to the ideal one."""
    for reference in limits.references:
        detector = clock / reference
        if not _within(detector, limits.detector):
            continue
        for output in limits.outputs:
            step = detector if limits.divided_feedback else detector / output
            ideal = int(wanted / step)
            for feedback in {ideal, ideal + 1} & set(limits.feedbacks):
                frequency = step * feedback
                oscillator = frequency * output
                if _within(oscillator, limits.oscillator) and _within(frequency, limits.output):
                    yield Dividers(frequency, oscillator, reference, feedback, output)


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def filter_range(detector: float) -> int:
    """FILTER_RANGE of an iCE40 PLL for a detector frequency in MHz."""
    return 1 + sum(detector >= bound for bound in (17, 26, 44, 66, 101))
