"""One design with many faults in a norm of groups, switched on by number.

Each overrides, while it is on, what the genuine part does.  Those of too little room make it refuse
while one more than is left waits in it.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest import mock

from amaranth.hdl import Cat, Module, Mux, Signal, Value

import counterflow.hw.norms.normal_unit
import counterflow.hw.units.group_norm
from counterflow.design.schedule.planner import Plan
from counterflow.hw.norms.group_backward import GroupBackward
from counterflow.hw.norms.group_forward import GroupForward
from counterflow.hw.norms.order import Order
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.units.group_norm import GroupNorm
from tests import group_norms
from tests.faulty_top import Fault, FaultyTop, Switch

NORM, READER = "norm1", "conv2"

FAULTS = (
    Fault("nothing", ""),
    # an image and its groups
    Fault("sums of x not restarted", NORM, "y.data"),
    Fault("squares of a channel, not of its group", NORM, "y.data"),
    Fault("statistics of the group before", NORM, "y.data"),
    Fault("x of the element before", NORM, "y.data"),
    # its gradient
    Fault("sums of dy not restarted", NORM, "dx.data"),
    Fault("no mean of dy", NORM, "dx.data"),
    Fault("no mean of dy xhat", NORM, "dx.data"),
    Fault("xhat of the element before", NORM, "dx.data"),
    Fault("root of the token before", NORM, "dx.data"),
    Fault("beta of the token before", NORM, "dx.data"),
    # order and room
    Fault("tables of the other bank", NORM, "y.data"),
    Fault("totals of the other bank", NORM, "states"),
    Fault("room for a token less", NORM, "y"),
    Fault("room for an image less", "conv0", "y.blocked"),
    Fault("room for an element less", "conv0", "y.blocked"),
    Fault("room for a gradient less", READER, "dx.blocked"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


def design() -> Plan:
    """A norm whose y comes back, and one that keeps it, between convolutions and a pool."""
    return group_norms.design("one whose y comes back, one that keeps it")


@cache
def verilog() -> str:
    parts = {"GroupForward": _Forward, "GroupBackward": _Backward}
    with (
        mock.patch.multiple(counterflow.hw.units.group_norm, **parts),
        mock.patch.object(counterflow.hw.norms.normal_unit, "Order", _Order),
    ):
        return FaultyTop(design(), _SWITCH, {NORM: _Norm}).verilog()


def _override(m: Module, name: str, target: Value, value: Value | int) -> None:
    with m.If(on(name)):
        m.d.comb += target.eq(value)


def _count(m: Module, more: Value, fewer: Value, most: int, name: str) -> Signal:
    count = Signal(range(most + 1), name=name)
    m.d.sync += count.eq(count + more - fewer)
    return count


class _Norm(GroupNorm):
    def _join(self, m: Module, forward: Any, backward: Any) -> None:
        super()._join(m, forward, backward)
        parts, stage, update = m.submodules, self.stage, self.states
        other = self._banked(~forward.in_bank, forward.channel)
        _override(m, "tables of the other bank", parts.tables.read_address, other)
        other = self._banked(~update.bank, update.channel)
        _override(m, "totals of the other bank", parts.backward_totals.read_address, other)
        for name, memory, at, size in (
            ("root", parts.roots, backward.root_address, stage.numbers.groups),
            ("beta", parts.kept, backward.address, stage.numbers.channels),
        ):
            before = Mux(at >= size, at - size, at + (stage.tokens - 1) * size)
            _override(m, f"{name} of the token before", memory.read_address, before)


class _Forward(GroupForward):
    def elaborate(self, platform: object) -> Module:
        m, stage = super().elaborate(platform), self.stage
        if stage.name != NORM:
            return m
        image, sums, found = m.submodules.image, m.submodules.sums, m.submodules.statistics
        _override(m, "sums of x not restarted", sums.first, 0)
        squares = sums.total.squares
        _override(m, "squares of a channel, not of its group", found.squares, squares)
        genuine = Cat(found.centre, found.root, found.halvings)
        late = delayed(m, genuine, stage.numbers.group, "fault_known")
        _override(m, "statistics of the group before", image.known_word[: len(genuine)], late)
        before = delayed(m, self.x.payload.data, 1, "fault_x")
        _override(m, "x of the element before", image.word, before)
        begins, taken = m.submodules.place.begins, image.taken
        images = _count(m, taken & begins, image.ends, stage.images, "fault_images")
        held = _count(m, taken, image.step, stage.image, "fault_held")
        with m.If(begins & (images == stage.images - 1)):
            _override(m, "room for an image less", self.x.ready, 0)
        with m.If(held == stage.image - 1):
            _override(m, "room for an element less", self.x.ready, 0)
        return m


class _Backward(GroupBackward):
    def elaborate(self, platform: object) -> Module:
        m, stage = super().elaborate(platform), self.stage
        if stage.name != NORM:
            return m
        image, sums, numbers = m.submodules.gradients, m.submodules.sums, stage.numbers
        first, second = numbers.error_mean.bits, numbers.product_mean.bits
        known, split = image.known_word, numbers.dy.bits
        _override(m, "sums of dy not restarted", sums.first, 0)
        _override(m, "no mean of dy", known[:first], 0)
        _override(m, "no mean of dy xhat", known[first : first + second], 0)
        xhat = Signal(numbers.y.bits)
        y = delayed(m, self.dy.payload.x, 2, "fault_y")
        m.d.sync += xhat.eq(y - self.word.beta)
        before = delayed(m, xhat, 1, "fault_xhat")
        _override(m, "xhat of the element before", image.word[split:], before)
        held = _count(m, self.taken, image.step, stage.image_back, "fault_held")
        with m.If(held == stage.image_back - 1):
            _override(m, "room for a gradient less", self.dy.ready, 0)
        return m


class _Order(Order):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if self.stage.name != NORM:
            return m
        held = _count(m, self.forward_begins, self.backward_ends, self.stage.tokens, "fault_tokens")
        with m.If(held == self.stage.tokens - 1):
            _override(m, "room for a token less", self.forward_may, 0)
        return m
