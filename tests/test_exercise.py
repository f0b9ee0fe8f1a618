"""A simulation says what it exercised; a harsh one exercises everything, and finds what only shows
there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.hdl import Signal, Value

from counterflow.design.bus.registers import WORD_BITS, UnitRegister
from counterflow.design.data.sets import Dataset, synthetic
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.parts.order import epoch_order
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.convolution import Dense
from counterflow.hw.intake import Intake
from counterflow.hw.parts.counter import counter
from counterflow.hw.weighted.registers import UnitRegisters
from counterflow.sim.exercise import EXERCISED, harsh_runs
from counterflow.sim.simulate import bench_verilog, plain_job, run_job, simulate, worst_verilog

pytestmark = pytest.mark.xdist_group("exercise")  # they share builds

SAMPLES = 32

EVERYTHING = plan(
    Description.model_validate(
        {
            "name": "everything",
            "inputs": 5,
            "layers": [Dense(outputs=4), Dense(outputs=3, activation="none")],
            "recipe": {
                "accumulate": 3,
                "epochs": 2,
                "rate_drops": [{"epoch": 1, "shift": 2}],
                "mitigation": "lwpv+sc",
            },
        }
    )
)
"""A network whose recipe leaves nothing of `EXERCISED` out."""


def data_of(planned: Plan) -> Dataset:
    return synthetic(planned.description.elements, planned.description.classes, SAMPLES, 1)


def test_a_plain_run_says_that_it_trained_and_no_more() -> None:
    planned = plan(load("tiny"))
    report = simulate(planned, data_of(planned), seed=1, samples=SAMPLES)
    assert report.equal, report.first_divergence
    assert report.exercised == dict.fromkeys(EXERCISED, False)
    assert report.counters == 5 + 8 * len(planned.schedule.weighted)


def test_a_harsh_run_exercises_everything_and_tells_how_it_gets_on() -> None:
    seen: list[tuple[int, int]] = []
    report = simulate(
        EVERYTHING,
        data_of(EVERYTHING),
        seed=1,
        samples=SAMPLES,
        harsh=True,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert report.equal, report.first_divergence
    assert report.exercised == dict.fromkeys(EXERCISED, True)
    assert len({total for _, total in seen}) == 1
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


# Faults that no stream shows


def _shows(register: UnitRegister, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units with weights show always the same."""
    count = UnitRegisters._count

    def forgetful(self: Any, m: Any, node: Any) -> None:
        count(self, m, node)
        m.d.comb += node.value(register).eq(value)

    monkeypatch.setattr(UnitRegisters, "_count", forgetful)


@pytest.mark.parametrize(
    "register",
    [
        UnitRegister.PRODUCTS,
        *(
            pytest.param(r, marks=pytest.mark.slow)
            for r in (UnitRegister.STALLS, UnitRegister.TILES)
        ),
    ],
)
def test_a_register_that_always_shows_the_same_is_found(
    register: UnitRegister, monkeypatch: pytest.MonkeyPatch
) -> None:
    _shows(register, 1, monkeypatch)
    planned = plan(load("tiny"))
    report = simulate(planned, data_of(planned), seed=1, samples=SAMPLES)
    assert not report.equal
    assert f"counter dense0.{register.name} is 1, expected" in str(report.first_divergence)


def test_a_register_that_harms_a_unit_at_work_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    access = UnitRegisters._access

    def rash(self: Any, m: Any, node: Any) -> None:
        access(self, m, node)
        with m.If(node.strobe(UnitRegister.FETCH) & ~self.walk.idle):
            m.d.sync += self.settings.predict.eq(~self.settings.predict)

    monkeypatch.setattr(UnitRegisters, "_access", rash)
    planned = plan(load("tiny"))
    plain = plain_job(planned, data_of(planned), epoch_order(SAMPLES, 1, 0), 1)
    verilog = worst_verilog(planned)
    plain = replace(plain, near_carry=True)
    assert run_job(verilog, plain, quick=True).mismatches == 0
    (read,) = (run for run in harsh_runs(planned, plain, SAMPLES) if run.job.reads)
    found = run_job(verilog, read.job, read.bench, quick=True)
    assert found.mismatches > 0
    assert re.match(r"dense\d\.(CONTROL|weights)", str(found.first_divergence))


@pytest.mark.slow
def test_upper_bits_of_a_counter_are_seen_by_a_run_alone_that_starts_it_near_a_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def narrow(bits: int, name: str) -> Signal:
        whole = counter(bits, name)
        return Signal(16, name=name, init=whole.init & 0xFFFF) if name == "slots" else whole

    monkeypatch.setattr("counterflow.hw.weighted.registers.counter", narrow)
    planned = plan(load("tiny"))
    plain = plain_job(planned, data_of(planned), epoch_order(SAMPLES, 1, 0), 1)
    assert run_job(bench_verilog(planned), plain, quick=True).mismatches == 0
    found = run_job(worst_verilog(planned), replace(plain, near_carry=True), quick=True)
    assert "counter dense0.SLOTS is" in str(found.first_divergence)


def _stuck(m: Any, value: Value) -> Value:
    """An upper bit is low for ever, as it is right after the carry."""
    return value & ~(1 << 29)


def _flipping(m: Any, value: Value) -> Value:
    """A bit is wrong in every other cycle."""
    odd = Signal(name="odd")
    m.d.sync += odd.eq(~odd)
    return value ^ (odd << 3)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [_stuck, _flipping])
def test_a_counter_is_seen_before_its_first_event_and_in_odd_and_even_cycles(
    wrong: Callable[[Any, Value], Value], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = UnitRegisters._count

    def faulty(self: Any, m: Any, node: Any) -> None:
        shown = Signal(WORD_BITS, name="shown")
        m.d.comb += node.value(UnitRegister.PRODUCTS).eq(wrong(m, shown))
        values = {UnitRegister.PRODUCTS: shown}
        count(self, m, SimpleNamespace(value=lambda r: values[r] if r in values else node.value(r)))

    monkeypatch.setattr(UnitRegisters, "_count", faulty)
    planned = plan(load("tiny"))
    plain = plain_job(planned, data_of(planned), epoch_order(SAMPLES, 1, 0), 1)
    found = run_job(worst_verilog(planned), replace(plain, near_carry=True), quick=True)
    assert "counter dense0.PRODUCTS is" in str(found.first_divergence)


@pytest.mark.slow
def test_a_label_that_no_class_has_gets_past_a_plain_run_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emit = Intake._emit

    def lenient(self: Any, *arguments: Any) -> Any:
        self.classes += 1
        return emit(self, *arguments)

    monkeypatch.setattr(Intake, "_emit", lenient)
    planned = plan(load("tiny"))
    data = data_of(planned)
    plain = plain_job(planned, data, epoch_order(SAMPLES, 1, 0), 1)
    verilog = bench_verilog(planned)
    assert run_job(verilog, plain, quick=True).mismatches == 0
    (spoilt,) = (run for run in harsh_runs(planned, plain, SAMPLES) if run.name == "spoilt samples")
    found = run_job(verilog, spoilt.job, spoilt.bench, quick=True)
    assert found.mismatches > 0
    assert "transfer" in str(found.first_divergence)


def test_no_harsh_run_is_longer_than_asked_for() -> None:
    """Of its samples; bubbles and a second time through come on top."""
    planned = plan(load("tiny"))
    plain = plain_job(planned, data_of(planned), epoch_order(SAMPLES, 1, 0), 1)
    for run in harsh_runs(planned, plain, 4):
        assert {token.sample for token in run.job.tokens} <= {-1, 0, 1, 2, 3}
