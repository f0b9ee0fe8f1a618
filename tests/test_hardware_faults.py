"""Planted faults: single-point changes of the hardware, each found and located in its unit.

A checker is worth what it catches.  Each fault changes one thing in one unit of the generated
hardware; the bench must report it, and the first divergence must name that unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from counterflow.hw.weighted.weights import WeightMemory
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.bench.top import BenchTop
from counterflow.sim.simulate import TOP, quantised, record_depth
from tests import simulated

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
                Lanes(outputs=1, inputs=2),
                Lanes(outputs=1, inputs=1, shared=True),
            ]
        ),
    )


class SwappedOperands(Convolution):
    """x and the stashed x exchanged."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        parts = m.submodules
        m.d.comb += [
            parts.lanes.x.eq(parts.arrivals.stashed),
            parts.lanes.stash.eq(parts.arrivals.taps),
            parts.gradient.stash.eq(parts.arrivals.taps),
        ]
        return m


class NoMask(Convolution):
    """Gradients pass where the ReLU below was shut."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        lanes, bits = self.stage.tiling.lanes.inputs, self.stage.arithmetic.x.bits
        m.d.comb += m.submodules.gradient.stash.eq(Cat(C(1, bits) for _ in range(lanes)))
        return m


class StuckRandom(Convolution):
    """The generator's state does not reach the lanes."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += m.submodules.lanes.learning.random.eq(0)
        return m


class LearnsAlways(Convolution):
    """Every returning token is learnt from, also those that were only to be inferred."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        slot, returning = self.walk.slot, m.submodules.slots.slot.returning
        m.d.comb += [slot.learning.eq(returning), slot.moving.eq(returning)]
        return m


class StuckValid(Convolution):
    """Valid of the output stream stuck at one from its first element on."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        stuck = Signal()
        with m.If(self.y.valid & self.y.ready):
            m.d.sync += stuck.eq(1)
        with m.If(stuck):
            m.d.comb += self.y.valid.eq(1)
        return m


class StuckAddress(WeightMemory):
    """The write address of what is learnt stuck at zero."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.visits.learnt):
            m.d.comb += self.write_address.eq(0)
        return m


class NaiveSoftmax(Loss):
    """The label's error is not minus the sum of the others: p - 1 instead."""

    def _probability(
        self, m: Module, label: Value, exponent: Value, power: Value, platform: object
    ) -> Any:
        error, loss = super()._probability(m, label, exponent, power, platform)
        naive = Value.cast(error) + (self.index == label)
        return naive, loss


class WrongKind(Intake):
    """Inference samples enter the chain as training samples."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
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


def _becomes(kind: type, part: Callable[[Chain], Any]) -> Callable[[Chain], None]:
    """One component replaced by a faulty kind of it."""

    def apply(chain: Chain) -> None:
        part(chain).__class__ = kind

    return apply


@dataclass(frozen=True)
class Fault:
    name: str
    unit: str
    apply: Callable[[Chain], None]

    def __str__(self) -> str:
        return self.name


def middle(chain: Chain) -> Convolution:
    return chain.units[1]


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
    Fault("operands swapped", "dense1", _becomes(SwappedOperands, middle)),
    Fault("mask left out", "dense1", _becomes(NoMask, middle)),
    Fault("random stuck", "dense1", _becomes(StuckRandom, middle)),
    Fault("learns from inference", "dense1", _becomes(LearnsAlways, middle)),
    Fault("valid stuck", "dense1", _becomes(StuckValid, middle)),
    Fault("bias address stuck", "dense1", _becomes(StuckAddress, lambda c: middle(c).biases)),
    Fault("softmax without zero sum", "loss", _becomes(NaiveSoftmax, lambda c: c.parts["loss"])),
    Fault("kind lost", "intake", _becomes(WrongKind, lambda c: c.intake)),
]


def run(
    design: Plan, apply: Callable[[Chain], None] | None, bench: str = "counterflow.sim.bench.cycles"
) -> Found:
    """Simulate the design with a fault in it, against a golden model without."""
    top = BenchTop(plan=design, depth=record_depth(design))
    if apply is not None:
        apply(top.chain)
    data = synthetic(6, 3, SAMPLES, 3)
    kinds = [Kind.INFER if index % 5 == 3 else Kind.TRAIN for index in range(SAMPLES)]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    job = Job(
        description=design.description,
        tokens=tuple(drained(tokens, design.schedule.delay)),
        samples=quantised(design.description, data),
        labels=data.train_y.astype(np.uint8),
        seed=4,
        depth=record_depth(design),
        stalls=("random", "none", "burst"),
    )
    return simulated.run(convert(top, TOP), job, bench)


@pytest.fixture(scope="module")
def design() -> Plan:
    return plan(description())


def test_hardware_without_a_fault_is_equal_in_every_cycle(design: Plan) -> None:
    found = run(design, None)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


QUICK = {  # one of each sort; each fault is a build of its own
    "activation truncated",
    "delay off by one",
    "slot started a word early",
    "valid stuck",
    "softmax without zero sum",
}


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=[] if f.name in QUICK else [pytest.mark.slow]) for f in FAULTS],
    ids=str,
)
def test_fault_is_found_and_located_in_its_unit(design: Plan, fault: Fault) -> None:
    found = run(design, fault.apply)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    assert f": {fault.unit}." in found.first_divergence, found.first_divergence
    assert found.first_divergence.startswith("cycle ")


def test_fault_is_found_under_stalls_too(design: Plan) -> None:
    fault = next(f for f in FAULTS if f.name == "error truncated")
    found = run(design, fault.apply, "counterflow.sim.bench.order")
    assert found.mismatches > 0
    assert found.first_divergence is not None
    assert found.first_divergence.startswith("dense")
