"""One design with many faults in it, each of which a bench can switch on by its number.

All are in one convolution or in the pooling units around it; they override, while they are on, what
the genuine parts do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest import mock

from amaranth.hdl import Module, Mux, Value

import counterflow.hw.units.convolution
import counterflow.hw.weighted.input_gradient
import counterflow.hw.weighted.place
import counterflow.hw.weighted.window
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.latency import UPDATE
from counterflow.design.units.tiling import Tiling
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.pooling.sliding_gradients import SlidingGradients
from counterflow.hw.pooling.sliding_windows import Flags, SlidingWindows
from counterflow.hw.units.convolution import Convolution
from counterflow.hw.units.pool import Pool
from counterflow.hw.weighted.arrivals import Arrivals
from counterflow.hw.weighted.biases import Biases
from counterflow.hw.weighted.departure import Departure
from counterflow.hw.weighted.lane import GRADIENT
from counterflow.hw.weighted.learning import Learning
from counterflow.hw.weighted.lines import Lines
from counterflow.hw.weighted.place import Place, granule_flags
from counterflow.sim.shapes import network
from tests.faulty_top import FaultyTop, Switch
from tests.images import RECIPE, average, convolution, folded, maximum

UNIT, SLIDING, POOL, ABOVE = "conv3", "pool1", "pool2", "pool4"


@dataclass(frozen=True)
class Fault:
    """``unit`` is where the first difference must be seen; some need ``stalls`` to show."""

    name: str
    unit: str = UNIT
    stalls: bool = False

    def __str__(self) -> str:
        return self.name


FAULTS = (
    Fault("nothing"),
    Fault("taps turned by one granule too many"),
    Fault("gradients turned by one granule too few"),
    Fault("padding is not masked"),
    Fault("first visit of an input missed: sums of an earlier image stay"),
    Fault("last visit of an input taken for one before it"),
    Fault("rows of the window stand a word too far apart"),
    Fault("rows of the gradient sums stand a word too far apart"),
    Fault("kernel steps down too few rows"),
    Fault("rows given up before they are read", stalls=True),
    Fault("stash moves without a token"),
    Fault("gradient sums are not cleared"),
    Fault("weights move at a position before the last"),
    Fault("bias gradient of the last position only"),
    Fault("sums of biases are one for all turns"),
    Fault("weights move with a sample that shall wait"),
    Fault("rows of the gradient depart in another order"),
    Fault("inputs that the kernel leaves out keep a gradient"),
    Fault("forward sum of a position goes on in the next"),
    Fault("of equal elements the last one is the maximum", POOL),
    Fault("gradient to all elements of a window", POOL),
    Fault("places of the maximum off by one", POOL),
    Fault("average forgets the first row", ABOVE),
    Fault("windows go on from the row before", SLIDING),
    Fault("steps beside the image are joined", SLIDING),
    Fault("windows have all places of the oldest", SLIDING),
    Fault("overlapping windows give one gradient", SLIDING),
)
_SWITCH = Switch(FAULTS)


def on(start: str) -> Value:
    """Whether the fault whose name starts so is switched on."""
    (name,) = (fault.name for fault in FAULTS if fault.name.startswith(start))
    return _SWITCH.on(name)


@cache
def design() -> Plan:
    """A convolution with padding, strides, banks and uncovered edges, between pooling units."""
    layers = [
        convolution(3, (3, 3), padding=(1, 1)),
        maximum(3, 3, stride=1, padding=1),
        maximum(2, 2),
        convolution(4, (3, 2), stride=(2, 1), padding=(0, 1)),
        average(2, 1),
    ]
    fold = folded((2, 6, False), (2, 4, False), (1, 3, True))
    recipe = {**RECIPE, "accumulate": 2}
    found = plan(network((12, 4, 2), layers, fold=fold, recipe=recipe))
    assert [stage.name for stage in found.schedule.stages] == ["conv0", UNIT, "dense5"]
    return found


class _Top(FaultyTop):
    """The design's bench top, with faulty parts."""

    def __init__(self) -> None:
        super().__init__(design(), _SWITCH, {POOL: _Pool, ABOVE: _Pool})
        self.chain.units[1].__class__ = _Convolution
        sliding: Any = self.chain.parts[SLIDING]
        sliding.windows.__class__, sliding.gradients.__class__ = _Windows, _Gradients


@cache
def verilog() -> str:
    with _patched():
        return _Top().verilog()


@contextlib.contextmanager
def _patched() -> Iterator[None]:
    """Faulty parts in place of those that a convolution makes for itself."""
    parts = {
        counterflow.hw.units.convolution: {
            "Arrivals": _Arrivals,
            "Biases": _Biases,
            "Learning": _Learning,
        },
        counterflow.hw.weighted.place: {"granule_flags": _granule_flags},
        counterflow.hw.weighted.window: {"Lines": _WindowLines},
        counterflow.hw.weighted.input_gradient: {"Departure": _Departure, "Lines": _GradientLines},
    }
    with contextlib.ExitStack() as stack:
        for module, changes in parts.items():
            stack.enter_context(mock.patch.multiple(module, **changes))
        for module, name, start in (
            (counterflow.hw.weighted.window, "to_lanes", "taps turned"),
            (counterflow.hw.weighted.input_gradient, "to_banks", "gradients turned"),
        ):
            turned = _turned(getattr(module, name), start)
            stack.enter_context(mock.patch.object(module, name, turned))
        yield


def _victim(tiling: Tiling) -> bool:
    return tiling.geometry == design().schedule.stages[1].tiling.geometry


def _turned(genuine: Any, start: str) -> Any:
    """A turn of granules by one more; only the victim has as many banks."""

    def turned(granules: list[Value], shift: list[Value]) -> list[Value]:
        if len(granules) != design().schedule.stages[1].tiling.banks:
            return genuine(granules, shift)
        more = [Mux(one == len(granules) - 1, 0, one + 1) for one in shift]
        wrong = [
            Mux(on(start), other, one)[: len(one)] for one, other in zip(shift, more, strict=True)
        ]
        return genuine(granules, wrong)

    return turned


def _granule_flags(m: Module, place: Place) -> tuple[Value, Value, Value]:
    inside, first, last = granule_flags(m, place)
    if not _victim(place.stage.tiling):
        return inside, first, last
    early = Mux(place.last_row, ~last, 0)
    return (
        inside,
        Mux(on("first visit"), 0, first)[: len(first)],
        Mux(on("last visit"), early, last)[: len(last)],
    )


class _Arrivals(Arrivals):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if not _victim(self.stage.tiling):
            return m
        window, stash = m.submodules.window, m.submodules.stash
        with m.If(on("padding")):
            m.d.comb += [ring.visit.granules_inside.eq(-1) for ring in (window, stash)]
        with m.If(on("stash moves")):
            m.d.comb += stash.moves.eq(1)
        with m.If(on("rows given up")):
            m.d.comb += self.x.ready.eq(1)
            m.d.comb += m.submodules.gather.i.valid.eq(self.x.valid)
        return m


class _Apart(Tiling):
    """Rows of a ring a word further apart."""

    @property
    def row_words(self) -> int:
        return super().row_words + 1


class _Lines(Lines):
    """Lines with others beside them, which are used in their place while a fault is on."""

    apart = ""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if not _victim(self.tiling):
            return m
        geometry = self.tiling.geometry
        low = replace(self.tiling, geometry=replace(geometry, stride=(1, geometry.stride[1])))
        far = _Apart(geometry, self.tiling.lanes, self.tiling.first)
        for start, tiling in ((self.apart, far), ("kernel steps", low)):
            m.submodules[start.replace(" ", "_")] = other = Lines(tiling=tiling, words=self.words)
            for strobe in ("down", "restart", "place_down", "finish"):
                m.d.comb += getattr(other, strobe).eq(getattr(self, strobe))
            with m.If(on(start)):
                m.d.comb += [self.line.eq(other.line), self.under.eq(other.under)]
        return m


class _WindowLines(_Lines):
    apart = "rows of the window"


class _GradientLines(_Lines):
    apart = "rows of the gradient sums"


class _Learning(Learning):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        visit, slot = self.visit, self.visit.slot
        if not _victim(self.stage.tiling):
            return m
        early = visit.issue & slot.moving & visit.last_down & visit.first_across
        eager = visit.issue & slot.learning & visit.last_down & visit.last_across
        for start, moves in (("weights move at", early), ("weights move with", eager)):
            written = delayed(m, moves, GRADIENT + UPDATE - 1, start.replace(" ", "_"))
            with m.If(on(start)):
                m.d.comb += self.weights.learnt.eq(written)
        with m.If(on("gradient sums")):
            m.d.comb += self.lanes.fresh.eq(0)
        return m


class _Biases(Biases):
    def _sum(self, m: Module, lanes: list[Any], learns: Value) -> None:
        super()._sum(m, lanes, learns)
        if not _victim(self.stage.tiling):
            return
        assert self.turns > 1
        with m.If(on("bias gradient")):
            m.d.comb += [lane.earlier.eq(0) for lane in lanes]
        with m.If(on("sums of biases")):
            m.d.comb += m.submodules.sums.address.eq(0)


class _Departure(Departure):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if not _victim(self.stage.tiling):
            return m
        row, words = self.stage.tiling.row_words, self.words_in_all
        assert self.rows > 1
        for bank, address in enumerate(self.address):
            moved = Mux(address + row >= words, address + row - words, address + row)
            with m.If(on("rows of the gradient depart")):
                m.d.comb += m.submodules[f"bank_{bank}"].write_address.eq(moved)
        return m

    def _covered(self, m: Module, word: Value, row_left: Value) -> Value:
        flags = super()._covered(m, word, row_left)
        return flags | on("inputs that the kernel").replicate(len(flags))


class _Convolution(Convolution):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(on("forward sum") & ~self.walk.now.first_across):
            m.d.comb += m.submodules.rows.visit.first_column.eq(0)
        return m


class _Pool(Pool):
    def _both(self, old: Any, new: Any) -> Value:
        joined = super()._both(old, new)
        if self.pooling.average:
            return Mux(on("average forgets"), new.value, joined)[: self.pooling.partial_bits]
        equal = on("of equal") & (new.value == old.value)
        return Mux(equal, new.as_value(), joined)

    def _backward(self, m: Module, stash: Any) -> None:
        super()._backward(m, stash)
        if self.pooling.average:
            return
        queue, bits = m.submodules.inputs, self.pooling.dx.bits
        with m.If(on("gradient to all")):
            m.d.comb += queue.word.eq(self.rows.found[:bits])
        with m.If(on("places of")):
            m.d.comb += self.rows.word[bits:].eq(stash.oldest + 1)


class _Windows(SlidingWindows):
    def _joined(self, m: Module, name: str, axis: int, flags: Flags, *others: Any) -> Any:
        flags = flags._replace(
            edge=flags.edge & ~on("windows go on"), beyond=flags.beyond & ~on("steps beside")
        )
        return super()._joined(m, name, axis, flags, *others)

    def _placed(self, m: Module, new: Any, offset: int, name: str) -> Any:
        placed = super()._placed(m, new, offset, name)
        with m.If(on("windows have")):
            m.d.comb += placed.place.eq(new.place)
        return placed


class _Gradients(SlidingGradients):
    def _terms(self, *given: Any) -> list[Value]:
        first, *others = super()._terms(*given)
        return [first, *(Mux(on("overlapping windows"), 0, one) for one in others)]
