"""Faults planted in forks and sums are found and located, and so is a place too few in a queue.

All are in one build, each switched on by itself; without any the design equals golden.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.exercise import mixed_tokens
from counterflow.sim.harsh import harsh
from counterflow.sim.simulate import bench_verilog, quantised, record_depth
from tests import branches, planted, simulated
from tests.faults_branches import FAULTS, FORK, SUM, design, verilog
from tests.faulty_top import Fault
from tests.images import data_of

pytestmark = [pytest.mark.xdist_group("branch faults"), pytest.mark.slow]  # they share one build

SAMPLES = 20


def job_of(planned: Plan, **changes: Any) -> Job:
    data = data_of(planned, seed=3)
    kinds = [(Kind.ACCUMULATE, Kind.TRAIN, Kind.TRAIN, Kind.INFER)[i % 4] for i in range(SAMPLES)]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    fields = {
        "description": planned.description,
        "tokens": tuple(drained(tokens, planned.schedule.delay)),
        "samples": quantised(planned.description, data),
        "labels": data.train_y,
        "seed": 4,
        "depth": record_depth(planned),
    }
    return Job(**{**fields, **changes})


def run(fault: Fault, *, stalls: bool) -> Found:
    """Simulate with the fault, against a golden model without."""
    gates = ("none", "none", "long") if stalls else ("none", "none", "none")
    return planted.switched(
        verilog(), job_of(design(), stalls=gates), FAULTS.index(fault), stalls=stalls
    )


def test_every_queue_that_is_deeper_than_one_can_have_a_place_less() -> None:
    numbers = {name: design().schedule.by_name[name].numbers for name in (FORK, SUM)}
    assert min(numbers[FORK].queues) > 1
    assert min(numbers[SUM].queues) > 1
    assert numbers[SUM].stash_words > 1
    assert sum(fault.name.startswith("a place less") for fault in FAULTS) == 5


@pytest.mark.parametrize("stalls", [False, True])
def test_without_a_fault_nothing_differs(stalls: bool) -> None:
    found = run(FAULTS[0], stalls=stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


LOCATED = [one for one in FAULTS if one.unit]


@pytest.mark.parametrize(
    "fault",
    LOCATED,
    ids=str,
)
def test_a_fault_is_found_and_located_in_its_unit(fault: Fault) -> None:
    found = run(fault, stalls=fault.stalls)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.removeprefix("cycle ").split(": ")[0 if fault.stalls else 1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence


def test_an_element_lost_on_a_branch_is_found_as_a_deadlock() -> None:
    (fault,) = (one for one in FAULTS[1:] if not one.unit)
    found = run(fault, stalls=True)
    assert found.mismatches > 0
    assert "deadlock" in str(found.first_divergence)


# ---- built with a place less -------------------------------------------------------------------


def shortened(planned: Plan, name: str, **numbers: Any) -> Plan:
    """The plan with other numbers for one unit, which the golden model knows nothing of."""
    units = [
        replace(unit, numbers=replace(unit.numbers, **numbers)) if unit.name == name else unit
        for unit in planned.schedule.units
    ]
    return replace(planned, schedule=replace(planned.schedule, units=tuple(units)))


def shortages() -> list[Any]:
    """(network, unit, what is less, who is refused first) of every queue deeper than one."""
    found = []
    for name in branches.NETWORKS:
        schedule = branches.design(name).schedule
        for unit in (one for one in schedule.units if one.unit.kind in ("fork", "sum")):
            queues = unit.numbers.queues
            for index, depth in enumerate(queues):
                if depth < 2:
                    continue
                less = {"queues": (*queues[:index], depth - 1, *queues[index + 1 :])}
                edges = unit.unit.outputs if unit.unit.kind == "fork" else unit.unit.inputs
                find = schedule.graph.reader if unit.unit.kind == "fork" else schedule.graph.maker
                maker = find(edges[index])
                while unit.unit.kind == "sum" and maker and maker.kind == "fork":
                    maker = schedule.graph.maker(maker.inputs[0])  # a fork refuses at once
                found.append((name, unit.name, less, f"{maker.name if maker else 'intake'}."))
            if getattr(unit.numbers, "stash_words", 0) > 1:
                less = {"stash_words": unit.numbers.stash_words - 1}
                found.append((name, unit.name, less, f"{unit.name}.y.valid"))
    return found


@pytest.mark.parametrize(("name", "unit", "less", "refused"), shortages(), ids=str)
def test_hardware_with_a_place_less_is_not_equal(
    name: str, unit: str, less: dict[str, Any], refused: str
) -> None:
    planned = branches.design(name)
    short = shortened(planned, unit, **less)
    found = simulated.run(
        harsh(bench_verilog(short)),
        job_of(planned, tokens=mixed_tokens(planned, SAMPLES)),
    )
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.split(": ")[1]
    assert place.startswith(refused), found.first_divergence
    assert "blocked" in place or "valid" in place


def test_hardware_that_forgets_the_relu_of_a_sum_is_found() -> None:
    planned, name = branches.design("ReLUs behind sums"), "sum1"
    changed = shortened(planned, name, relu=False)
    found = simulated.run(
        harsh(bench_verilog(changed)),
        job_of(planned, tokens=mixed_tokens(planned, SAMPLES)),
    )
    assert found.first_divergence is not None
    place = found.first_divergence.split(": ")[1]
    assert place.startswith(f"{name}.y.data"), found.first_divergence
