"""One design with many faults in a norm and the convolution behind it, switched on by number.

Each overrides, while it is on, what the genuine part does.  Those of too little room take a place
from a memory: the norm refuses while one more than is left waits in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

from amaranth.hdl import Module, Mux, Signal, Value

import counterflow.hw.norms.backward
import counterflow.hw.norms.normal
import counterflow.hw.norms.normal_unit
import counterflow.hw.norms.roots
import counterflow.hw.norms.rounding
import counterflow.hw.norms.update
import counterflow.hw.units.convolution
import counterflow.hw.units.norm
import counterflow.hw.weighted.input_gradient
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.latency import MEMORY
from counterflow.design.units.normalisation import CENTRE_FRAC
from counterflow.hw.norms.backward import Backward
from counterflow.hw.norms.forward import Forward
from counterflow.hw.norms.order import Order
from counterflow.hw.norms.roots import Roots
from counterflow.hw.norms.rounding import half_up, half_up_by, shared
from counterflow.hw.norms.update import ChannelUpdate
from counterflow.hw.parts.pipeline import delayed, looked_up
from counterflow.hw.pooling.rings import Stash
from counterflow.hw.units.norm import Norm
from counterflow.hw.weighted.departure import Departure
from counterflow.hw.weighted.input_gradient import InputGradient
from counterflow.hw.weighted.lanes import Lanes
from counterflow.sim.shapes import network
from tests.faulty_top import Fault, FaultyTop, Switch
from tests.images import convolution, maximum
from tests.norms import FORMATS, RECIPE, SAME, linear, norm

NORM, READER, KEEPER = "norm1", "conv2", "norm3"

FAULTS = (
    Fault("nothing", ""),
    # what tokens see of a channel
    Fault("tables of the other bank", NORM, "y.data"),
    Fault("table of the last channel not written", NORM, "y.data"),
    Fault("an entry of the roots a last place too large", NORM, "y.data"),
    Fault("centre of the element before", NORM, "y.data"),
    Fault("xhat cut, not rounded", NORM, "y.data"),
    Fault("beta not predicted", NORM, "y.data"),
    Fault("beta predicted for tokens that do not train", NORM, "y.data"),
    Fault("controls of the other bank", NORM, "states"),
    Fault("control of scale with the wrong sign", NORM, "dx.data"),
    Fault("control of shift with the wrong sign", NORM, "dx.data"),
    Fault("dx cut before it is narrowed", NORM, "states"),
    Fault("root and beta of the token before", NORM, "dx.data"),
    Fault("gradient sent of tokens that do not train", NORM, "dx.data"),
    # what a channel learns
    Fault("totals of the other bank", NORM, "states"),
    Fault("sums of x not restarted", NORM, "states"),
    Fault("sums of dy not restarted", NORM, "states"),
    Fault("sums cut where they are divided", NORM, "states"),
    Fault("statistics of tokens that do not train", NORM, "states"),
    Fault("gradients of tokens that do not train", NORM, "states"),
    Fault("beta moves with a token that shall wait", NORM, "states"),
    Fault("gradient that waits is lost", NORM, "states"),
    Fault("running mean moves half as far", NORM, "states"),
    # order and room
    Fault("a token does not wait for the update two before it", NORM, "y", stalls=True),
    Fault("room for a token less", "conv0", "y.blocked"),
    Fault("room for an element of y less", READER, "y.blocked"),
    Fault("y kept here is that of the element before", KEEPER, "states"),
    # the convolution that gives back what it read
    Fault("x comes back behind its ReLU", READER, "dx.x"),
    Fault("x of the element before comes back", READER, "dx.x"),
    Fault("no ReLU as x is loaded", READER, "y.data"),
    Fault("no ReLU as the stash is loaded", READER, "weights"),
    Fault("gradient passes where the ReLU is shut", READER, "dx.data"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on
_here = [""]  # the part of NORM or READER that is elaborated now


@cache
def design() -> Plan:
    """A norm whose y comes back, and one that keeps it, between convolutions and a pool."""
    layers = [
        linear(convolution(2, (3, 3), **SAME), "s10.5"),
        norm(activation="s8.4"),
        linear(convolution(2, (3, 3), **SAME)),
        norm(),
        maximum(2, 1),
    ]
    recipe = {**RECIPE, "learning_rate": 2.0**-4, "accumulate": 2}
    return plan(network((4, 3, 2), layers, formats=FORMATS, recipe=recipe))


class _Top(FaultyTop):
    """The design's bench top, with faulty parts."""

    def __init__(self) -> None:
        super().__init__(design(), _SWITCH, {NORM: _Norm, KEEPER: _Norm})
        self.chain.parts[NORM].states.__class__ = _ChannelUpdate


@cache
def verilog() -> str:
    with _patched():
        return _Top().verilog()


@contextlib.contextmanager
def _patched() -> Iterator[None]:
    """Faulty parts in place of those that units make for themselves."""
    norms, weighted = counterflow.hw.norms, counterflow.hw.weighted
    parts: dict[Any, dict[str, Any]] = {
        counterflow.hw.units.norm: {"Forward": _Forward, "Backward": _Backward},
        norms.normal_unit: {"Order": _Order, "Stash": _Stash},
        counterflow.hw.units.convolution: {"Lanes": _Lanes, "InputGradient": _InputGradient},
        norms.update: {"Roots": _Roots, "half_up": _halved, "shared": _shared},
        norms.roots: {"looked_up": _looked_up},
        norms.normal: {"half_up_by": _cut},
        norms.backward: {"half_up": _control},
        weighted.input_gradient: {"Departure": _Departure, "Mux": _mux},
    }
    with contextlib.ExitStack() as stack:
        for module, changes in parts.items():
            stack.enter_context(mock.patch.multiple(module, **changes))
        yield


@contextlib.contextmanager
def _elaborating(part: Any) -> Iterator[None]:
    """What is made meanwhile belongs to this part of a unit."""
    _here[0] = type(part).__name__ if part.stage.name in (NORM, READER) else ""
    yield
    _here[0] = ""


# ---- operations --------------------------------------------------------------------------------


def _cut(value: Value, least: int, more: Value) -> Value:
    """A right shift that does not round, of either way."""
    genuine = half_up_by(value, least, more)
    if not _here[0]:
        return genuine
    forward = _here[0] == _Forward.__name__
    name = "xhat cut, not rounded" if forward else "dx cut before it is narrowed"
    return Mux(on(name), (value >> least) >> more, genuine)


def _control(value: Value, drop: int) -> Value:
    """What is subtracted of a control, the scale's first."""
    genuine = half_up(value, drop)
    if not _here[0]:
        return genuine
    numbers = design().schedule.by_name[NORM].numbers
    what = "scale" if drop == numbers.control_drop else "shift"
    return Mux(on(f"control of {what} with the wrong sign"), -genuine, genuine)


def _halved(value: Value, drop: int) -> Value:
    genuine = half_up(value, drop)
    if not _here[0]:
        return genuine
    return Mux(on("running mean moves half as far"), genuine >> 1, genuine)


def _shared(m: Module, total: Value, share: Any, name: str) -> Value:
    genuine = shared(m, total, share, name)
    if not _here[0] or share.shift <= 0:
        return genuine

    def cut(value: Value, drop: int) -> Value:
        return value >> drop

    with mock.patch.object(counterflow.hw.norms.rounding, "half_up", cut):
        other = shared(m, total, share, f"{name}_cut")
    return Mux(on("sums cut where they are divided"), other, genuine)


def _looked_up(m: Module, name: str, entries: Sequence[int], *rest: Any) -> Value:
    genuine = looked_up(m, name, entries, *rest)
    if not _here[0]:
        return genuine
    return genuine + on("an entry of the roots a last place too large")


def _mux(chosen: Any, first: Any, second: Any) -> Value:
    """The last choice of an input gradient: whether it passes its ReLU."""
    if _here[0] and isinstance(second, int):
        chosen = chosen | on("gradient passes where the ReLU is shut")
    return Mux(chosen, first, second)


def _restarted(place: Any, name: str) -> SimpleNamespace:
    """A place whose sums go on in the next image."""
    fields = ("channels", "channel", "last", "begins", "ends", "step")
    genuine = {field: getattr(place, field) for field in fields}
    return SimpleNamespace(**genuine, first=Mux(on(name), 0, place.first))


# ---- parts of a norm ---------------------------------------------------------------------------


class _Norm(Norm):
    def _seen(self, m: Module, forward: Forward, backward: Backward) -> None:
        super()._seen(m, forward, backward)
        if self.stage.name != NORM:
            return
        for name, way in (("tables", forward), ("controls", backward)):
            with m.If(on(f"{name} of the other bank")):
                address = self._banked(~way.in_bank, way.channel)
                m.d.comb += getattr(m.submodules, name).read_address.eq(address)
        update = self.states
        with m.If(on("table of the last channel not written") & (update.table_channel == 1)):
            m.d.comb += m.submodules.tables.write_enable.eq(0)

    def _totals(self, m: Module, name: str, way: Any, update: ChannelUpdate) -> None:
        super()._totals(m, name, way, update)
        if self.stage.name != NORM:
            return
        memory = getattr(m.submodules, f"{name}_totals")
        with m.If(on("totals of the other bank")):
            m.d.comb += memory.read_address.eq(self._banked(~update.bank, update.channel))
        if name == "forward":
            with m.If(on("statistics of tokens that do not train")):
                m.d.comb += update.forward_kind.eq(Kind.TRAIN)

    def _kept(self, m: Module, forward: Forward, backward: Backward) -> None:
        super()._kept(m, forward, backward)
        channels = self.stage.numbers.channels
        last, at = (self.stage.tokens - 1) * channels, backward.address
        if self.stage.name == NORM:
            with m.If(on("root and beta of the token before")):
                before = Mux(at >= channels, at - channels, at + last)
                m.d.comb += m.submodules.kept.read_address.eq(before)


class _Forward(Forward):
    def elaborate(self, platform: object) -> Module:
        with _elaborating(self):
            return super().elaborate(platform)

    def _difference(self, m: Module) -> Signal:
        e = super()._difference(m)
        if self.stage.name == NORM:
            x = delayed(m, self.x.payload.data, MEMORY, "fault_x")
            before = Signal.like(self.view.centre)
            with m.If(delayed(m, self.taken, MEMORY, "fault_taken")):
                m.d.sync += before.eq(self.view.centre)
            with m.If(on("centre of the element before")):
                m.d.sync += e.eq((x << CENTRE_FRAC) - before)
        return e

    def _learnt(self, kind: Value) -> dict[str, Value]:
        learnt = super()._learnt(kind)
        if self.stage.name != NORM:
            return learnt
        found = Mux(on("beta not predicted"), self.view.beta, learnt["beta"])
        name = "beta predicted for tokens that do not train"
        return {"beta": Mux(on(name) & self.predict, self.view.ahead, found)}

    def _total(self, m: Module, place: Any, e: Signal, kind: Value) -> None:
        if self.stage.name == NORM:
            place = _restarted(place, "sums of x not restarted")
        super()._total(m, place, e, kind)


class _Backward(Backward):
    def elaborate(self, platform: object) -> Module:
        with _elaborating(self):
            return super().elaborate(platform)

    def _send(self, m: Module, wide: Signal) -> None:
        if self.stage.name == NORM:
            sent = on("gradient sent of tokens that do not train")
            word = SimpleNamespace(kind=Mux(sent, Kind.TRAIN, self.word.kind))
            with mock.patch.object(self, "word", word):
                super()._send(m, wide)
        else:
            super()._send(m, wide)

    def _total(self, m: Module, place: Any, terms: dict[str, Value]) -> None:
        if self.stage.name == NORM:
            place = _restarted(place, "sums of dy not restarted")
        super()._total(m, place, terms)


class _Roots(Roots):
    def elaborate(self, platform: object) -> Module:
        with _elaborating(self):
            return super().elaborate(platform)


class _ChannelUpdate(ChannelUpdate):
    def elaborate(self, platform: object) -> Module:
        with _elaborating(self):
            m = super().elaborate(platform)
        with m.If(on("gradients of tokens that do not train") & (self.backward_kind != 0)):
            m.d.comb += self.learns.eq(1)
        with m.If(on("beta moves with a token that shall wait")):
            m.d.comb += self.moves.eq(self.learns)
        return m

    def _gradient(self, m: Module, name: str) -> Value:
        found = super()._gradient(m, name)
        return Mux(on("gradient that waits is lost"), self.backward.errors, found)


class _Order(Order):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if self.stage.name != NORM:
            return m
        held = Signal(range(self.stage.tokens + 1))
        m.d.sync += held.eq(held + self.forward_begins - self.backward_ends)
        with m.If(on("room for a token less") & (held == self.stage.tokens - 1)):
            m.d.comb += self.forward_may.eq(0)
        with m.If(on("a token does not wait for the update two before it")):
            m.d.comb += self.forward_may.eq(held != self.stage.tokens)
        return m


class _Stash(Stash):
    """That of the norm which keeps y itself."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        held, previous, asked = Signal(range(self.words + 1)), Signal(self.bits), Signal()
        m.d.sync += [held.eq(held + self.reserve - self.read), asked.eq(self.read)]
        with m.If(on("room for an element of y less") & (held == self.words - 1)):
            m.d.comb += self.room.eq(0)
        with m.If(asked):
            m.d.sync += previous.eq(m.submodules.memory.read_data)
        with m.If(on("y kept here is that of the element before")):
            m.d.sync += self.oldest.eq(previous)
        return m


# ---- parts of a convolution --------------------------------------------------------------------


class _Lanes(Lanes):
    def _loaded(self, word: Value) -> list[Value]:
        found = super()._loaded(word)
        numbers = self.stage.arithmetic
        if self.stage.name != READER:
            return found
        name = "no ReLU as x is loaded" if word is self.x else "no ReLU as the stash is loaded"
        bits = numbers.x.bits
        plain = [word[at * bits : at * bits + numbers.loaded.bits] for at in range(len(found))]
        return [Mux(on(name), one, other) for one, other in zip(plain, found, strict=True)]


class _InputGradient(InputGradient):
    def _bank(self, m: Module, *rest: Any) -> Any:
        with _elaborating(self):
            return super()._bank(m, *rest)


class _Departure(Departure):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if self.stage.name != READER:
            return m
        before = Signal.like(Value.cast(self.dx.payload.x))
        x = Signal.like(before)
        m.d.comb += x.eq(Value.cast(m.submodules.scatter.o.payload)[-len(x) :])
        with m.If(self.dx.valid & self.dx.ready):
            m.d.sync += before.eq(x)
        with m.If(on("x comes back behind its ReLU")):
            m.d.comb += self.dx.payload.x.eq(Mux(x < 0, 0, x))
        with m.If(on("x of the element before comes back")):
            m.d.comb += self.dx.payload.x.eq(before)
        return m
