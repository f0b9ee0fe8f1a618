"""One design with many faults in its subsampling units, each of which a bench can switch on.

Each overrides, while it is on, what the genuine part does.
"""

from __future__ import annotations

from functools import cache
from unittest import mock

import numpy as np
from amaranth.hdl import C, Module, Mux, Signal

import counterflow.hw.units.subsample
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.subsample import Subsampling
from counterflow.hw.units.subsample import Raster, Spread
from counterflow.sim.shapes import network
from tests.branches import residual
from tests.faulty_top import Fault, FaultyTop, Switch
from tests.images import RECIPE, convolution

SHORTCUT, ADDING = "subsample1s0", "subsample2"  # drops pixels and adds channels, adds only

FAULTS = (
    Fault("nothing", ""),
    Fault("pixels beside pass", SHORTCUT, "y"),
    Fault("added channels repeat what came", SHORTCUT, "y.data"),
    Fault("added channels have no kind", SHORTCUT, "y.kind"),
    Fault("gradients of the added channels pass, others do not", SHORTCUT, "dx"),
    Fault("gradients to the pixels beside", SHORTCUT, "dx"),
    Fault("dropped pixels get a gradient", SHORTCUT, "dx.data"),
    Fault("a token begins to leave with its first element", ADDING, "y.valid"),
    Fault("a place less for activations", "sum1", "y.blocked"),
    Fault("a place less for gradients", "conv3", "dx.blocked"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


@cache
def design() -> Plan:
    """A residual layer whose shortcut halves and doubles, and more channels behind it."""
    same = {"padding": (1, 1)}
    layers = [
        convolution(2, (3, 3), **same),
        residual(
            convolution(4, (3, 3), stride=(2, 2), **same),
            shortcut=({"kind": "subsample", "stride": 2, "outputs": 4},),
        ),
        {"kind": "subsample", "outputs": 9},
        convolution(2, (1, 2)),
    ]
    recipe = {**RECIPE, "accumulate": 2}
    return plan(network((4, 6, 2), layers, recipe=recipe))


def numbers_of(name: str) -> Subsampling:
    found: Subsampling = design().schedule.by_name[name].numbers
    return found


@cache
def verilog() -> str:
    with mock.patch.multiple(counterflow.hw.units.subsample, Spread=_Spread, Raster=_Raster):
        return FaultyTop(design(), _SWITCH).verilog()


class _Spread(Spread):
    """One of either unit, forward if its elements have kinds."""

    def elaborate(self, platform: object) -> Module:
        m, forward = super().elaborate(platform), self.tag > 0
        shortcut, adding = numbers_of(SHORTCUT), numbers_of(ADDING)
        if self.given == (shortcut.large if forward else shortcut.small):
            self._other_elements(m, forward)
        if self.given == (adding.large if forward else adding.small):
            self._other_times(m, forward)
        return m

    def _other_elements(self, m: Module, forward: bool) -> None:
        queue, given, made = m.submodules.queue, m.submodules.given, m.submodules.made
        if forward:
            given.others = ("pixels beside pass",)
        else:
            given.others = ("gradients of the added channels pass, others do not",)
            made.others = ("gradients to the pixels beside",)
        last = Signal(self.bits)
        with m.If(queue.r_en):
            m.d.sync += last.eq(queue.r_data[: self.bits])
        repeats = "added channels repeat what came" if forward else "dropped pixels get a gradient"
        with m.If(on(repeats) & ~made.on):
            m.d.comb += self.o.payload.eq(last)
        if forward:
            with m.If(on("added channels have no kind") & ~made.on):
                m.d.comb += self.o_tag.eq(0)

    def _other_times(self, m: Module, forward: bool) -> None:
        queue, given, made = m.submodules.queue, m.submodules.given, m.submodules.made
        if forward:
            with m.If(on("a token begins to leave with its first element") & made.first):
                m.d.comb += self.o.valid.eq(queue.r_rdy)
        less = on(f"a place less for {'activations' if forward else 'gradients'}")
        with m.If(less & (queue.level == self.depth - 1) & given.on):
            m.d.comb += [self.i.ready.eq(0), queue.w_en.eq(0)]


class _Raster(Raster):
    """One whose grid lies further on by the channels on it while one of the faults `others` is on.

    Its first pixel stays: zeros before it would leave while the bench still loads weights.
    """

    others: tuple[str, ...] = ()

    def elaborate(self, platform: object) -> Module:
        m, count = super().elaborate(platform), int(np.prod(self.grid.shape))
        number = Signal(range(count))
        with m.If(self.step):
            m.d.sync += number.eq(Mux(number == count - 1, 0, number + 1))
        stay, on_grid = self.grid.channels, self.grid.elements.tolist()
        moved = [one + stay * (place >= stay) for place, one in enumerate(on_grid)]
        beside = C(sum(1 << one for one in moved), count)
        for name in self.others:
            with m.If(on(name)):
                m.d.comb += self.on.eq(beside.bit_select(number, 1))
        return m
