"""What tokens see of a channel's state: its centre, one over its deviation, beta and gamma."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.latency import SUM
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal import (
    CENTRE_FRAC,
    ROOT_STEPS,
    ROOTS,
    VARIANCE_FRAC,
    Normal,
)
from counterflow.design.units.normal_times import ROOT
from counterflow.design.units.normalisation import MEAN_GUARD
from counterflow.hw.norms.layouts import seen, state
from counterflow.hw.norms.learnt import predicted
from counterflow.hw.norms.rounding import half_up, register
from counterflow.hw.parts.pipeline import delayed, looked_up


class Roots(wiring.Component):
    """Twin of `golden.units.norm.Norm.view`.

    Parameters: ``stage``.
    Members: ``state`` of a channel in; ``view`` of it out, ROOT cycles later.
    Cost: no multiplier; a table of roots; latency ROOT, a channel a cycle.
    """

    def __init__(self, *, stage: NormStage) -> None:
        self.stage = stage
        super().__init__({"state": In(state(stage)), "view": Out(seen(stage))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.stage.numbers
        halvings, root = rooted(m, numbers, self.state.variance, platform)
        centre = half_up(self.state.mean, MEAN_GUARD - CENTRE_FRAC)
        found = predicted(m, numbers, self.state)
        m.d.comb += [
            self.view.centre.eq(delayed(m, centre, ROOT, "centre")),
            self.view.root.eq(root),
            self.view.halvings.eq(halvings),
            *(self.view[name].eq(delayed(m, one, ROOT - SUM, name)) for name, one in found.items()),
        ]
        return m


def rooted(m: Module, numbers: Normal, variance: Value, platform: object) -> tuple[Value, Value]:
    """(h, counted from the least one; t) of a variance, ROOT cycles later.

    Twin of `golden.units.normal.rooted`.
    """
    least, most = numbers.halvings
    variance = register(m, variance + (1 << VARIANCE_FRAC), "variance")  # never 0
    found = Signal(numbers.halving_bits, name="found")
    for h in range(least, most + 1):  # the last one that fits stays
        with m.If(variance[2 * h :].any()):
            m.d.comb += found.eq(h - least)
    halvings = register(m, found, "halvings")
    # With its leading one among bits 4 and 5, it numbers the entries from 16 on.
    shifted = (variance << ROOT_STEPS) >> (2 * least)
    steps = Signal(ROOT_STEPS + 2, name="steps", reset_less=True)
    m.d.sync += steps.eq((shifted >> (found << 1)) - (1 << ROOT_STEPS))
    entry = looked_up(m, "roots", ROOTS, numbers.root.bits, steps, platform)
    root = delayed(m, entry, ROOT - 2, "root")
    return delayed(m, halvings, ROOT - 2, "halvings_late"), root
