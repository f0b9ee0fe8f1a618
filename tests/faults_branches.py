"""One design with many faults in its forks and sums, each of which a bench can switch on.

Each overrides, while it is on, what the genuine part does.  Those of too little room take a place
from a queue: it refuses while one more than is left waits in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from unittest import mock

from amaranth.hdl import Module, Mux, Signal, Value

import counterflow.hw.units.fork
import counterflow.hw.units.sum
from counterflow.design.parts.formats import Rounding
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.latency import NARROW
from counterflow.hw.parts.join import Join
from counterflow.hw.parts.narrow import narrow, round_off, shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.pooling.rings import Stash
from counterflow.hw.units.fork import Fork
from counterflow.hw.units.sum import Sum
from counterflow.sim.shapes import network
from tests.branches import residual
from tests.faulty_top import Fault, FaultyTop, Switch
from tests.images import RECIPE, convolution

FORK, SUM = "fork1", "sum1"


FAULTS = (
    Fault("nothing", ""),
    Fault("gradient of branch 0 lost", FORK, "dx.data"),
    Fault("gradient of branch 1 lost", FORK, "dx.data"),
    Fault("gradient of branch 0 added twice", FORK, "dx.data"),
    Fault("gradient of branch 1 is that of the element before", FORK, "dx.data"),
    Fault("gradients summed without saturation", FORK, "dx.data"),
    Fault("gradients halved before they are summed", FORK, "dx.data"),
    Fault("branch 1 loses an element when it is stalled", "", stalls=True),
    Fault("branch 0 gets an element again when 1 is stalled", FORK, "y0", stalls=True),
    Fault("branch 1 is that of the element before", SUM, "y.data"),
    Fault("branches exchanged before they are aligned", SUM, "y.data"),
    Fault("sum without saturation", SUM, "y.data"),
    Fault("each branch narrowed before the sum", SUM, "y.data"),
    Fault("kind of what comes, not of what leaves", SUM, "y.kind"),
    Fault("mask of the other branch", SUM, "dx"),
    Fault("mask of the element before", SUM, "dx"),
    Fault("no mask", SUM, "dx"),
    Fault("gradient of branch 1 truncated", SUM, "dx1.data"),
    Fault("a place less for gradients of branch 0", "conv1b0", "dx.blocked"),
    Fault("a place less for gradients of branch 1", SUM, "dx1.blocked"),
    Fault("a place less for activations of branch 0", "conv1b0", "y.blocked"),
    Fault("a place less for activations of branch 1", "conv0", "y.blocked"),  # through the fork
    Fault("a place less for masks", SUM, "y.valid"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


@cache
def design() -> Plan:
    """A residual layer whose branches have formats of their own, both behind a ReLU."""
    fine = {"formats": {"activation": "u8.6", "error": "s8.9"}}
    layers = [
        {**convolution(3, (3, 3), padding=(1, 1)), "formats": {"error": "s6.8"}},
        residual(
            {**convolution(3, (3, 3), padding=(1, 1)), **fine},
            activation="u4.4",
            error="s10.10",
        ),
    ]
    recipe = {**RECIPE, "accumulate": 2}
    return plan(network((4, 3, 2), layers, recipe=recipe))


@cache
def verilog() -> str:
    with (
        mock.patch.object(counterflow.hw.units.fork, "Join", _GradientJoin),
        mock.patch.object(counterflow.hw.units.sum, "Join", _ActivationJoin),
        mock.patch.object(counterflow.hw.units.sum, "Stash", _Stash),
    ):
        return FaultyTop(design(), _SWITCH, {FORK: _Fork, SUM: _Sum}).verilog()


class _Join(Join):
    """One whose queues can have a place less."""

    what = ""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        for index, depth in enumerate(self.depths):
            given, held = self.given(index), Signal(range(depth + 1), name=f"held{index}")
            came, gone = given.valid & given.ready, self.valid & self.take
            m.d.sync += held.eq(held + came - gone)
            name = f"a place less for {self.what} of branch {index}"
            with m.If(on(name) & (held == depth - 1)):
                m.d.comb += given.ready.eq(0)
                m.d.comb += getattr(m.submodules, f"queue{index}").w_en.eq(0)
        return m


class _GradientJoin(_Join):
    what = "gradients"

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        previous = Signal.like(self.o1)
        with m.If(self.valid & self.take):
            m.d.sync += previous.eq(m.submodules.queue1.r_data)
        with m.If(on("gradient of branch 1 is that of the element before")):
            m.d.comb += self.o1.eq(previous)
        for index in range(2):
            with m.If(on(f"gradient of branch {index} lost")):
                m.d.comb += self.oldest(index).eq(0)
        return m


class _ActivationJoin(_Join):
    what = "activations"

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        previous = Signal.like(self.o1)
        with m.If(self.valid & self.take):
            m.d.sync += previous.eq(m.submodules.queue1.r_data)
        with m.If(on("branch 1 is that of the element before")):
            m.d.comb += self.o1.eq(previous)
        return m


class _Stash(Stash):
    """One that can have a word less, or give the word before."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        held, previous, asked = Signal(range(self.words + 1)), Signal(self.bits), Signal()
        m.d.sync += [held.eq(held + self.reserve - self.read), asked.eq(self.read)]
        with m.If(on("a place less for masks") & (held == self.words - 1)):
            m.d.comb += self.room.eq(0)
        with m.If(asked):
            m.d.sync += previous.eq(m.submodules.memory.read_data)
        with m.If(on("mask of the element before")):
            m.d.sync += self.oldest.eq(previous)
        with m.If(on("mask of the other branch")):
            m.d.sync += self.oldest.eq(m.submodules.memory.read_data[::-1])
        with m.If(on("no mask")):
            m.d.sync += self.oldest.eq(-1)
        return m


def _instead(m: Module, queue: Any, variants: Sequence[tuple[str, Value]]) -> None:
    """Other words for `queue` while one of the named faults is on."""
    for index, (name, value) in enumerate(variants):
        with m.If(on(name)):
            m.d.comb += queue.word.eq(delayed(m, value, NARROW, f"fault{index}"))


class _Fork(Fork):
    def _forward(self, m: Module) -> None:
        super()._forward(m)
        first_taken = Signal()
        m.d.sync += first_taken.eq(self.x.valid & ~self.x.ready & (first_taken | self.y0.ready))
        with m.If(on("branch 1 loses an element when it is stalled") & self.x.valid):
            m.d.comb += self.x.ready.eq(first_taken | self.y0.ready)
        with m.If(on("branch 0 gets an element again when 1 is stalled")):
            m.d.comb += self.y0.valid.eq(self.x.valid)

    def _backward(self, m: Module) -> None:
        super()._backward(m)
        number, terms = self.numbers.error, []
        for index in range(2):
            term = Signal(shape_of(number), name=f"fault_term{index}")
            m.d.comb += term.eq(m.submodules.join.oldest(index))
            terms.append(term)
        first, second = terms
        variants = (
            ("gradient of branch 0 added twice", first + first + second),
            ("gradients halved before they are summed", (((first >> 1) + (second >> 1)) << 1)),
        )
        narrowed = [
            (name, narrow(value, number.frac, number, self.numbers.round_error)[0])
            for name, value in variants
        ]
        wrapped = ("gradients summed without saturation", (first + second)[: number.bits])
        _instead(m, m.submodules.inputs, [*narrowed, wrapped])


class _Sum(Sum):
    def _forward(self, m: Module, stash: Any) -> None:
        super()._forward(m, stash)
        numbers, frac, xs = self.numbers, self.numbers.total.frac, []
        for index, branch in enumerate(numbers.branches):
            x = Signal(shape_of(branch.x), name=f"fault_x{index}")
            m.d.comb += x.eq(m.submodules.join.oldest(index)[: branch.x.bits])
            xs.append(x)
        shifts = [frac - branch.x.frac for branch in numbers.branches]
        total = sum(x << shift for x, shift in zip(xs, shifts, strict=True))
        exchanged = sum(x << shift for x, shift in zip(xs, shifts[::-1], strict=True))
        y, rounding = numbers.y, numbers.round_activation
        each = sum(
            narrow(x, branch.x.frac, y, rounding)[0]
            for x, branch in zip(xs, numbers.branches, strict=True)
        )
        variants = (
            ("sum without saturation", round_off(total, frac - y.frac, rounding)[: y.bits]),
            ("branches exchanged before they are aligned", narrow(exchanged, frac, y, rounding)[0]),
            ("each branch narrowed before the sum", narrow(each, y.frac, y, rounding)[0]),
        )
        _instead(m, m.submodules.outputs, variants)
        with m.If(on("kind of what comes, not of what leaves")):
            m.d.comb += m.submodules.outputs.word_tag.eq(self.x1.payload.kind)

    def _backward(self, m: Module, stash: Any) -> None:
        super()._backward(m, stash)
        late = delayed(m, self.dy.payload, 2, "fault_dy")
        numbers, last = self.numbers, self.numbers.branches[1]
        cut = round_off(late, numbers.dy.frac - last.dx.frac, Rounding.TRUNCATE)
        value = Mux(stash.oldest[1], cut, 0)[: last.dx.bits]
        _instead(m, m.submodules.inputs1, [("gradient of branch 1 truncated", value)])
