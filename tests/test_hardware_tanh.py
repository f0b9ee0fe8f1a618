"""A network of tanh and averages in hardware: every cycle, any stalls, faults that are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from amaranth.hdl import Module, Value

from counterflow.design.data.sets import synthetic
from counterflow.design.parts.formats import Rounding
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.hw.chain import Chain
from counterflow.hw.parts.modules import convert
from counterflow.hw.parts.pipeline import looked_up
from counterflow.hw.units.tanh import Tanh
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.bench.top import BenchTop
from counterflow.sim.shapes import network
from counterflow.sim.simulate import TOP, quantised, record_depth
from tests import simulated

pytestmark = pytest.mark.xdist_group("tanh")  # they share a build

SAMPLES = 30
LAYERS = [
    {"kind": "convolution", "outputs": 2, "kernel": 3, "padding": 1, "activation": "tanh"},
    {"kind": "average-pool", "kernel": 2},
    {"kind": "convolution", "outputs": 3, "kernel": 2, "padding": 1, "activation": "tanh"},
    {"outputs": 4, "activation": "tanh"},
]
NONE = ("none", "none", "none")


@pytest.fixture(scope="module")
def design() -> Plan:
    return plan(
        network(
            (4, 6, 1),
            LAYERS,
            formats={"activation": "s8.7", "preactivation": "s9.6"},
            recipe={"learning_rate": 2.0**-4, "momentum": 0.75},
            fold={"multipliers": 24},
        )
    )


def run(
    design: Plan,
    apply: Callable[[Chain], None] | None = None,
    bench: str = "counterflow.sim.bench.cycles",
    stalls: tuple[str, str, str] = NONE,
) -> Found:
    """Simulate the design, perhaps with a fault in it, against a golden model without."""
    top = BenchTop(plan=design, depth=record_depth(design))
    if apply is not None:
        apply(top.chain)
    data = synthetic(design.description.elements, 3, SAMPLES, 3)
    kinds = [Kind.INFER if index % 5 == 3 else Kind.TRAIN for index in range(SAMPLES)]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    job = Job(
        description=design.description,
        tokens=tuple(drained(tokens, design.schedule.delay)),
        samples=quantised(design.description, data),
        labels=data.train_y.astype(np.uint8),
        seed=4,
        depth=record_depth(design),
        stalls=stalls,
    )
    return simulated.run(convert(top, TOP), job, bench)


@pytest.mark.slow
def test_every_cycle_equals_golden(design: Plan) -> None:
    found = run(design)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "stalls", [("random", "random", "random"), ("slow", "random", "burst")], ids="-".join
)
def test_stalls_change_no_value_and_no_order(design: Plan, stalls: tuple[str, str, str]) -> None:
    found = run(design, None, "counterflow.sim.bench.order", stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 5_000


class OtherTable(Tanh):
    """A unit with other entries in one of its tables."""

    table = ""

    def elaborate(self, platform: object) -> Module:
        def found(m: Module, name: str, entries: tuple[int, ...], bits: int, index: Value) -> Value:
            changed = self.changed(entries) if name == self.table else entries
            return looked_up(m, name, changed, bits, index)

        with mock.patch("counterflow.hw.units.tanh.looked_up", found):
            return super().elaborate(platform)

    def changed(self, entries: tuple[int, ...]) -> tuple[int, ...]:
        raise NotImplementedError


class WrongEntry(OtherTable):
    """One entry of the table is a last place too large."""

    table = "table"

    def changed(self, entries: tuple[int, ...]) -> tuple[int, ...]:
        return (*entries[:7], entries[7] + 1, *entries[8:])


class StuckSlope(OtherTable):
    """A bit of the slopes is stuck at zero."""

    table = "slopes"

    def changed(self, entries: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(entry & ~64 for entry in entries)


def _becomes(kind: type[Tanh]) -> Callable[[Chain], None]:
    def apply(chain: Chain) -> None:
        chain.parts["tanh0"].__class__ = kind

    return apply


def _truncates(chain: Chain) -> None:
    unit = chain.parts["tanh0"]
    assert isinstance(unit, Tanh)
    unit.unit = replace(unit.unit, round_error=Rounding.TRUNCATE)


FAULTS = {
    "a wrong entry": (_becomes(WrongEntry), "tanh0.y.data"),
    "a stuck slope": (_becomes(StuckSlope), "tanh0.dx.data"),
    "a truncated gradient": (_truncates, "tanh0.dx.data"),
}


@pytest.mark.slow  # each is a build
@pytest.mark.parametrize(("apply", "place"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found_and_located(
    design: Plan, apply: Callable[[Chain], None], place: str
) -> None:
    found = run(design, apply)
    assert found.first_divergence is not None
    assert f": {place} " in found.first_divergence, found.first_divergence
