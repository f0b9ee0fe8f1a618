"""One design with many faults in the gammas of two norms, switched on by number.

Each overrides, while it is on, what the genuine part does.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest import mock

from amaranth.hdl import Module, Mux, Signal, Value

import counterflow.hw.norms.backward
import counterflow.hw.norms.group_backward
import counterflow.hw.norms.normal
import counterflow.hw.units.group_norm
import counterflow.hw.units.norm
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.normal import GAMMA_FRAC, Normal
from counterflow.hw.norms.backward import Backward
from counterflow.hw.norms.forward import Forward
from counterflow.hw.norms.group_forward import GroupForward
from counterflow.hw.norms.group_update import GroupUpdate
from counterflow.hw.norms.normal import scaled_by, weighed
from counterflow.hw.norms.update import ChannelUpdate
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.pooling.rings import Line
from counterflow.hw.units.group_norm import GroupNorm
from counterflow.hw.units.norm import Norm
from counterflow.sim.shapes import network
from tests.faulty_top import Fault, FaultyTop, Switch
from tests.group_norms import group_norm
from tests.images import convolution, maximum
from tests.norms import FORMATS, RECIPE, SAME, linear, norm

RUNNING, GROUP = "norm1", "norm3"

FAULTS = (
    Fault("nothing", ""),
    # going forward
    Fault("gamma xhat cut, not rounded", RUNNING, "y.data"),
    Fault("gamma of the element before", RUNNING, "y.data"),
    Fault("gamma not predicted", RUNNING, "y.data"),
    Fault("beta added before gamma multiplies", RUNNING, "y.data"),
    # coming back, with running statistics
    Fault("dy not times gamma", RUNNING, "dx.data"),
    Fault("gamma as it is now, not as the token saw it", RUNNING, "dx.data"),
    Fault("gamma of the token before", RUNNING, "dx.data"),
    Fault("y kept in place of xhat", RUNNING, "states"),
    Fault("xhat of the element before", RUNNING, "states"),
    Fault("xhat of the token before", RUNNING, "states"),
    # and with those of groups
    Fault("dy of groups not times gamma", GROUP, "dx.data"),
    Fault("gamma of the token before, of groups", GROUP, "dx.data"),
    Fault("y kept in place of xhat, of groups", GROUP, "dx.data"),
    Fault("xhat of the token before, of groups", GROUP, "dx.data"),
    # what is learnt
    Fault("gamma learns of dy", RUNNING, "states"),
    Fault("gamma learns of z xhat", RUNNING, "states"),
    Fault("gamma moves by what is beta's", RUNNING, "states"),
    Fault("a gradient of gamma that waits is lost", RUNNING, "states"),
    Fault("a gradient of gamma that waits is lost, of groups", GROUP, "states"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


@cache
def design() -> Plan:
    """Both kinds of norms with a gamma, between convolutions and before a pool."""
    layers = [
        linear(convolution(2, (3, 3), **SAME), "s10.5"),
        norm(gamma=True, activation="s8.4"),
        linear(convolution(2, (3, 3), **SAME)),
        group_norm(2, gamma=True),
        maximum(2, 1),
    ]
    recipe = {**RECIPE, "learning_rate": 2.0**-4, "accumulate": 2}
    return plan(network((4, 3, 2), layers, formats=FORMATS, recipe=recipe))


class _Top(FaultyTop):
    """The design's bench top, with faulty parts."""

    def __init__(self) -> None:
        super().__init__(design(), _SWITCH, {RUNNING: _Norm, GROUP: _GroupNorm})
        running, group = self.chain.parts[RUNNING], self.chain.parts[GROUP]
        running.states.__class__, group.states.__class__ = _ChannelUpdate, _GroupUpdate


@cache
def verilog() -> str:
    norms, units = counterflow.hw.norms, counterflow.hw.units
    with (
        mock.patch.multiple(units.norm, Forward=_Forward, Backward=_Backward),
        mock.patch.object(units.group_norm, "GroupForward", _GroupForward),
        mock.patch.object(norms.backward, "weighed", _weighed),
        mock.patch.object(norms.group_backward, "weighed", _weighed_of_groups),
    ):
        return _Top().verilog()


def _override(m: Module, name: str, target: Value, value: Value) -> None:
    with m.If(on(name)):
        m.d.comb += target.eq(value)


# ---- products ----------------------------------------------------------------------------------


def _scaled_by(m: Module, xhat: Value, learnt: Any, cycle: int, beta: Value) -> Value:
    genuine = scaled_by(m, xhat, learnt, cycle, beta)
    gamma = delayed(m, learnt["gamma"], cycle, "fault_gamma")
    before = delayed(m, gamma, 1, "fault_gamma_before")

    def product(factor: Value, other: Value) -> Value:
        return delayed(m, factor * other, 1, "fault_product")

    early = delayed(m, learnt["beta"], cycle, "fault_beta")
    other = (product(before, xhat) + (1 << GAMMA_FRAC - 1) >> GAMMA_FRAC) + beta
    found = Mux(on("gamma of the element before"), other, genuine)
    cut = (product(gamma, xhat) >> GAMMA_FRAC) + beta
    found = Mux(on("gamma xhat cut, not rounded"), cut, found)
    added = product(gamma, xhat + early) + (1 << GAMMA_FRAC - 1) >> GAMMA_FRAC
    return Mux(on("beta added before gamma multiplies"), added, found)


def _plain(m: Module, numbers: Normal, dy: Value) -> Value:
    """dy as it would be with a gamma of one."""
    return delayed(m, dy << GAMMA_FRAC - numbers.gamma_drop, 2, "fault_dy")


def _weighed(m: Module, numbers: Normal, dy: Value, gamma: Value) -> Value:
    genuine = weighed(m, numbers, dy, gamma)
    return Mux(on("dy not times gamma"), _plain(m, numbers, dy), genuine)


def _weighed_of_groups(m: Module, numbers: Normal, dy: Value, gamma: Value) -> Value:
    genuine = weighed(m, numbers, dy, gamma)
    found = Mux(on("dy of groups not times gamma"), _plain(m, numbers, dy), genuine)
    return found[: numbers.given.bits].as_signed()


# ---- parts of both norms -----------------------------------------------------------------------


def _misled(m: Module, unit: Any, backward: Any, more: str) -> None:
    """What was kept of another token or element comes back."""
    stage = unit.stage
    channels, elements = stage.numbers.channels, stage.numbers.elements
    at, last = backward.address, (stage.tokens - 1) * stage.numbers.channels
    before = Mux(at >= channels, at - channels, at + last)
    _override(m, f"gamma of the token before{more}", m.submodules.kept.read_address, before)
    m.submodules.fault_line = line = Line(words=elements, bits=stage.numbers.y.bits)
    oldest = m.submodules.stash.oldest
    m.d.comb += [line.step.eq(backward.taken), line.new.eq(oldest)]
    old = line.old.as_signed()
    _override(m, f"xhat of the token before{more}", backward.y_word, old)


def _keeps_y(m: Module, forward: Any, more: str) -> None:
    """What was to be xhat is what leaves."""
    _override(m, f"y kept in place of xhat{more}", forward.y_word, m.submodules.outputs.word)


class _Norm(Norm):
    def _kept(self, m: Module, forward: Forward, backward: Backward) -> None:
        super()._kept(m, forward, backward)
        _misled(m, self, backward, "")
        before = Signal.like(backward.y_word)
        with m.If(delayed(m, backward.taken, 2, "fault_taken")):
            m.d.sync += before.eq(m.submodules.stash.oldest)
        _override(m, "xhat of the element before", backward.y_word, before)
        with m.If(on("gamma as it is now, not as the token saw it")):
            m.d.comb += backward.word.gamma.eq(forward.view.gamma)


class _GroupNorm(GroupNorm):
    def _kept(self, m: Module, forward: Any, backward: Any) -> None:
        super()._kept(m, forward, backward)
        _misled(m, self, backward, ", of groups")


class _Forward(Forward):
    def elaborate(self, platform: object) -> Module:
        with mock.patch.object(counterflow.hw.norms.normal, "scaled_by", _scaled_by):
            m = super().elaborate(platform)
        _keeps_y(m, self, "")
        return m

    def _learnt(self, kind: Value) -> dict[str, Value]:
        found = super()._learnt(kind)
        gamma = Mux(on("gamma not predicted"), self.view.gamma, found["gamma"])
        return {**found, "gamma": gamma}


class _GroupForward(GroupForward):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        _keeps_y(m, self, ", of groups")
        return m


class _Backward(Backward):
    def _total(self, m: Module, place: Any, terms: dict[str, Value]) -> None:
        found = terms["correlations"]
        found = Mux(on("gamma learns of dy"), terms["errors"] << 4, found)
        found = Mux(on("gamma learns of z xhat"), terms["products"] >> 2, found)
        super()._total(m, place, {**terms, "correlations": found})


class _ChannelUpdate(ChannelUpdate):
    def _gradient(self, m: Module, name: str) -> Value:
        found = super()._gradient(m, name)
        if name == "beta":
            return found
        now = self.backward.correlations
        found = Mux(on("a gradient of gamma that waits is lost"), now, found)
        return Mux(on("gamma moves by what is beta's"), self.backward.errors << 4, found)


class _GroupUpdate(GroupUpdate):
    def _gradient(self, m: Module, name: str) -> Value:
        found = super()._gradient(m, name)
        if name == "beta":
            return found
        lost = on("a gradient of gamma that waits is lost, of groups")
        return Mux(lost, self.backward.correlations, found)
