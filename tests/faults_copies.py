"""One design with many faults where units stand once for each loss, switched on by number.

Each overrides, while it is on, what the genuine part does.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.latency import MEMORY, NARROW, UPDATE
from counterflow.hw.chain import Chain
from counterflow.hw.norms.backward import Backward
from counterflow.hw.norms.forward import Forward
from counterflow.hw.norms.update import ChannelUpdate
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.units.fork import Fork
from counterflow.hw.units.norm import Norm
from counterflow.hw.units.rejoin import Rejoin
from counterflow.hw.units.sum import Sum
from counterflow.sim.shapes import network
from tests.branches import residual
from tests.faulty_top import Fault, FaultyTop, Switch
from tests.images import RECIPE
from tests.interlocked import LINEAR, NORM

TO_COPIES, FORK, SUM = "tofork2", "fork2l2", "sum2l2"
COPY, LAST, REJOIN = "norm2b0l2", "norm2b0", "ofnorm2b0"

FAULTS = (
    Fault("nothing", ""),
    Fault("activations of the other copy", REJOIN, "y.data"),
    Fault("gradients of two losses exchanged where copies end", REJOIN, "dx0.data"),
    Fault("beta of a copy moves", COPY, "states"),
    Fault("gradients of two losses exchanged where copies begin", TO_COPIES, "dx_2.data"),
    Fault("gradient of the other loss in a norm", COPY, "dx.data"),
    Fault("controls of the other loss in a norm", COPY, "dx.data"),
    Fault("gradient of a sum an element late", SUM, "dx0.data"),
    Fault("gradient of a sum on one branch only", SUM, "dx1.data"),
    Fault("gradient of one branch only in a fork", FORK, "dx.data"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


@cache
def design() -> Plan:
    """Three components that see two losses; in the second a norm, a sum and a fork have copies."""
    return plan(
        network(
            (3, 3, 1),
            [LINEAR, LINEAR, residual(NORM, LINEAR)],
            components=[1, 2, 1],
            interlocking=2,
            formats={"activation": "s12.5", "error": "s14.12"},
            recipe={**RECIPE, "mitigation": "lwpv"},
        )
    )


class _Top(FaultyTop):
    """The design's bench top, with faulty parts."""

    def __init__(self) -> None:
        parts = {FORK: _Fork, SUM: _Sum, REJOIN: _Rejoin, TO_COPIES: _ToCopies}
        super().__init__(design(), _SWITCH, {**parts, COPY: _Norm, LAST: _Norm}, _Chain)
        copy = self.chain.parts[COPY]
        copy.other = self.chain.parts[LAST]
        copy.states.__class__ = _ChannelUpdate


@cache
def verilog() -> str:
    return _Top().verilog()


class _Chain(Chain):
    def _edges(self, m: Module) -> None:
        super()._edges(m)
        with m.If(on("gradient of the other loss in a norm")):
            m.d.comb += self.parts[COPY].dy.payload.eq(self.parts[REJOIN].dx1.payload)


class _Rejoin(Rejoin):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(on("activations of the other copy")):
            m.d.comb += self.y.payload.eq(self.x0.payload)
        with m.If(on("gradients of two losses exchanged where copies end")):
            m.d.comb += [
                self.dx0.payload.eq(self.dy.payload),
                self.dx1.payload.eq(self.dy_2.payload),
            ]
        return m


class _ToCopies(Fork):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(on("gradients of two losses exchanged where copies begin")):
            m.d.comb += [
                self.dx_2.payload.eq(self.dy1.payload),
                self.dx.payload.eq(self.dy0.payload),
            ]
        return m


class _Norm(Norm):
    """Either copy; the one that is faulty has the ``other``."""

    other: _Norm | None = None
    ways: tuple[Forward, Backward] | None = None

    def _ways(self) -> tuple[Forward, Backward]:
        """Those that the other copy can see, too."""
        self.ways = self.ways or super()._ways()
        return self.ways

    def _seen(self, m: Module, forward: Forward, backward: Backward) -> None:
        super()._seen(m, forward, backward)
        if self.other is not None:
            _, theirs = self.other._ways()
            with m.If(on("controls of the other loss in a norm")):
                m.d.comb += backward.view.eq(theirs.view)


class _ChannelUpdate(ChannelUpdate):
    def _learnt(self, m: Module, now: Any) -> dict[str, Value]:
        beta = Mux(on("beta of a copy moves"), now.beta + 1, now.beta)
        return {**super()._learnt(m, now), "beta": delayed(m, beta, UPDATE, "fault_beta")}


class _Sum(Sum):
    def _backward(self, m: Module, stash: Any) -> None:
        super()._backward(m, stash)
        before = Signal.like(self.dy.payload)
        with m.If(self.dy.valid & self.dy.ready):
            m.d.sync += before.eq(self.dy.payload)
        late = delayed(m, before, MEMORY + NARROW, "fault_dx")
        with m.If(on("gradient of a sum an element late")):
            m.d.comb += m.submodules.inputs0.word.eq(late)
        with m.If(on("gradient of a sum on one branch only")):
            m.d.comb += m.submodules.inputs1.word.eq(0)


class _Fork(Fork):
    def _backward(self, m: Module) -> None:
        super()._backward(m)
        only = delayed(m, m.submodules.join.oldest(0), NARROW, "fault_dx")
        with m.If(on("gradient of one branch only in a fork")):
            m.d.comb += m.submodules.inputs.word.eq(only)
