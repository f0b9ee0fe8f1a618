"""Simulations that are not made: the command line is given their report."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from counterflow.design.schedule.planner import Plan
from counterflow.sim.bench.reports import SimulationReport, SlotTime

Simulation = Callable[[SimulationReport], dict[str, Any]]


def report(**changes: Any) -> SimulationReport:
    made = SimulationReport(
        cycles=5000,
        samples=8,
        compared=123_456,
        mismatches=0,
        utilisation_planned=0.99,
        utilisation_measured=0.98,
        first_divergence=None,
        seconds=0.5,
        losses=[2.0] * 8,
        golden_losses=[2.0] * 8,
        correct=[True] * 8,
        slots=[
            SlotTime("dense0", slot, 60 * slot, 60 * slot + 60, slot, slot - 2) for slot in range(8)
        ],
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Callable[[SimulationReport], dict[str, Any]]:
    """Makes `sim.simulate` return a given report; gives back what it was asked for."""

    def use(answer: SimulationReport) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        def simulate(design: Plan, dataset: object, **options: Any) -> SimulationReport:
            asked.update(options, plan=design)
            options["on_progress"](1, 2)
            return answer

        module = types.ModuleType("counterflow.sim.simulate")
        module.simulate = simulate  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "counterflow.sim.simulate", module)
        return asked

    return use
