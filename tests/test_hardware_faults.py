"""Planted faults: single-point changes of the hardware, each found and located in its unit.

A checker is worth what it catches.  Each fault changes one thing in one unit of the generated
hardware; the bench must report it, and the first divergence must name that unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import C, Cat, Module, Signal, Value

from counterflow.design.data.sets import synthetic
from counterflow.design.network.description import Description, Fold
from counterflow.design.parts.formats import Rounding
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.convolution import Dense
from counterflow.design.units.tiling import Lanes
from counterflow.hw.chain import Chain
from counterflow.hw.intake import Intake
from counterflow.hw.parts.modules import convert
from counterflow.hw.units.convolution import Convolution
from counterflow.hw.units.loss import Loss
from counterflow.hw.weighted.biases import Biases
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.bench.top import BenchTop
from counterflow.sim.exercise import ORDER
from counterflow.sim.simulate import TOP, quantised, record_depth
from tests import planted, simulated
from tests.faulty_top import Fault as Switched
from tests.faulty_top import FaultyTop, Switch

pytestmark = pytest.mark.xdist_group("faults")  # they share builds

SAMPLES = 40


def description() -> Description:
    """Three units, a middle one with a neighbour on either side."""
    return Description(
        name="faults",
        dataset="synthetic",
        inputs=6,
        layers=[
            Dense(outputs=5),
            Dense(outputs=4),
            Dense(outputs=3, activation="none"),
        ],
        recipe=Recipe(learning_rate=2.0**-3, momentum=0.75),
        fold=Fold(
            lanes=[
                Lanes(outputs=2, inputs=3),
                Lanes(outputs=2, inputs=2),
                Lanes(outputs=1, inputs=1, shared=True),
            ]
        ),
    )


SWITCHED = (
    Switched("nothing", ""),
    Switched("operands swapped", "dense1"),
    Switched("mask left out", "dense1"),
    Switched("random stuck", "dense1"),
    Switched("learns from inference", "dense1"),
    Switched("valid stuck", "dense1"),
    Switched("bias left out", "dense1"),
    Switched("bias address stuck", "dense1"),
    Switched("first bias in all turns", "dense1"),
    Switched("random bits of each turn", "dense1"),
    Switched("softmax without zero sum", "loss"),
    Switched("kind lost", "intake"),
)
_SWITCH = Switch(SWITCHED)
on = _SWITCH.on


class FaultyUnit(Convolution):
    """Of the middle: operands, mask, random bits, what is learnt from, valid."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        parts = m.submodules
        with m.If(on("operands swapped")):
            m.d.comb += [
                parts.lanes.x.eq(parts.arrivals.stashed),
                parts.lanes.stash.eq(parts.arrivals.taps),
                parts.gradient.stash.eq(parts.arrivals.taps),
            ]
        lanes, bits = self.stage.tiling.lanes.inputs, self.stage.arithmetic.x.bits
        with m.If(on("mask left out")):  # gradients pass where the ReLU below was shut
            m.d.comb += parts.gradient.stash.eq(Cat(C(1, bits) for _ in range(lanes)))
        with m.If(on("random stuck")):  # the generator's state does not reach the lanes
            m.d.comb += parts.lanes.learning.random.eq(0)
        slot, returning = self.walk.slot, parts.slots.slot.returning
        with m.If(on("bias left out")):
            m.d.comb += parts.rows.biases.bias.eq(0)
        with m.If(on("learns from inference")):
            m.d.comb += [slot.learning.eq(returning), slot.moving.eq(returning)]
        stuck = Signal()  # from the first element on
        with m.If(self.y.valid & self.y.ready):
            m.d.sync += stuck.eq(on("valid stuck"))
        with m.If(stuck):
            m.d.comb += self.y.valid.eq(1)
        return m


class FaultyBiases(Biases):
    """Whose turn it is, and which random bits a turn takes."""

    def _read(self, m: Module, reads: Value) -> Signal:
        word = super()._read(m, reads)
        assert self.turns > 1
        memory = m.submodules.memory
        with m.If(on("first bias in all turns")):
            m.d.comb += memory.read_address.eq(0)
        with m.If(on("bias address stuck")):  # the write address of what is learnt
            m.d.comb += memory.write_address.eq(0)
        return word

    def _draw(self, m: Module, begun: Value, lane: int) -> Value:
        return super()._draw(m, begun, lane) | on("random bits of each turn")


class NaiveSoftmax(Loss):
    """The label's error is not minus the sum of the others: p - 1 instead."""

    def _probability(
        self, m: Module, label: Value, exponent: Value, power: Value, platform: object
    ) -> Any:
        error, loss = super()._probability(m, label, exponent, power, platform)
        here = (self.index == label) & on("softmax without zero sum")
        return Value.cast(error) + here, loss


class WrongKind(Intake):
    """Inference samples enter the chain as training samples."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(on("kind lost")):
            m.d.comb += self.x.payload.kind.eq(Kind.TRAIN)
        return m


def _numbers(**changes: Any) -> Callable[[Chain], None]:
    """A change of the middle unit's arithmetic."""

    def apply(chain: Chain) -> None:
        unit = chain.units[1]
        unit.stage = replace(unit.stage, arithmetic=replace(unit.stage.arithmetic, **changes))

    return apply


def _more(name: str, by: int) -> Callable[[Chain], None]:
    """The middle unit's coefficient `name` changed by `by`."""

    def apply(chain: Chain) -> None:
        numbers = chain.units[1].stage.arithmetic
        _numbers(**{name: getattr(numbers, name) + by})(chain)

    return apply


def _delay(chain: Chain) -> None:
    unit = chain.units[1]
    unit.stage = replace(unit.stage, delay=unit.stage.delay - 1)


def _threshold(chain: Chain) -> None:
    unit = chain.units[1]
    unit.walk.stage = replace(unit.stage, threshold=unit.stage.threshold - 1)


def _interval(chain: Chain) -> None:
    chain.units[1].walk.interval += 1


@dataclass(frozen=True)
class Fault:
    """What changes numbers of the design, which is built anew with it."""

    name: str
    unit: str
    apply: Callable[[Chain], None]

    def __str__(self) -> str:
        return self.name


FAULTS = [
    Fault("activation truncated", "dense1", _numbers(round_activation=Rounding.TRUNCATE)),
    Fault("error truncated", "dense1", _numbers(round_error=Rounding.TRUNCATE)),
    Fault("operand truncated", "dense1", _numbers(round_operand=Rounding.TRUNCATE)),
    Fault("update to nearest", "dense1", _numbers(round_update=Rounding.NEAREST_EVEN)),
    Fault("horizon off by one", "dense1", _more("horizon", 1)),
    Fault("compensation off by one", "dense1", _more("compensation", 1)),
    Fault("rate off by a factor of two", "dense1", _more("rate_shift", 1)),
    Fault("delay off by one", "dense1", _delay),
    Fault("slot started a word early", "dense1", _threshold),
    Fault("interval off by one", "dense1", _interval),
]


@cache
def design() -> Plan:
    return plan(description())


@cache
def switched() -> str:
    """The design with all faults that a switch can turn on."""
    parts = {"dense1": FaultyUnit, "loss": NaiveSoftmax}
    top = FaultyTop(design(), _SWITCH, parts)
    top.chain.parts["dense1"].biases.__class__ = FaultyBiases
    top.chain.intake.__class__ = WrongKind
    return top.verilog()


@cache
def built_with(fault: Fault) -> str:
    top = BenchTop(plan=design(), depth=record_depth(design()))
    fault.apply(top.chain)
    return convert(top, TOP)


def job() -> Job:
    """What a design with a fault in it is given, and a golden model without."""
    data = synthetic(6, 3, SAMPLES, 3)
    kinds = [Kind.INFER if index % 5 == 3 else Kind.TRAIN for index in range(SAMPLES)]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    return Job(
        description=design().description,
        tokens=tuple(drained(tokens, design().schedule.delay)),
        samples=quantised(design().description, data),
        labels=data.train_y.astype(np.uint8),
        seed=4,
        depth=record_depth(design()),
        stalls=("random", "none", "burst"),
    )


def run_switched(fault: Switched) -> Found:
    return planted.switched(switched(), job(), SWITCHED.index(fault), stalls=False)


def assert_located(found: Found, unit: str) -> None:
    assert found.mismatches > 0
    assert found.first_divergence is not None
    assert f": {unit}." in found.first_divergence, found.first_divergence
    assert found.first_divergence.startswith("cycle ")


def test_hardware_without_a_fault_is_equal_in_every_cycle() -> None:
    found = run_switched(SWITCHED[0])
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize("fault", SWITCHED[1:], ids=str)
def test_a_fault_is_found_and_located_in_its_unit(fault: Switched) -> None:
    assert_located(run_switched(fault), fault.unit)


@pytest.mark.slow  # each is a build
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_wrong_number_is_found_and_located_in_its_unit(fault: Fault) -> None:
    assert_located(simulated.run(built_with(fault), job()), fault.unit)


@pytest.mark.slow
def test_a_wrong_number_is_found_under_stalls_too() -> None:
    found = simulated.run(built_with(FAULTS[0]), job(), ORDER)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    assert found.first_divergence.startswith("dense")
