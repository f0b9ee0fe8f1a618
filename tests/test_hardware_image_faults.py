"""Faults planted in the logic of images are found, and located in their unit.

All are in one build, each switched on by itself; without any the design equals golden.
"""

from __future__ import annotations

import numpy as np
import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.simulate import quantised, record_depth
from tests import planted
from tests.faults import FAULTS, Fault, design, verilog

pytestmark = [pytest.mark.xdist_group("image faults"), pytest.mark.slow]  # they share one build

SAMPLES = 16


def run(fault: Fault, *, stalls: bool) -> Found:
    """Simulate with the fault, against a golden model without."""
    planned = design()
    description = planned.description
    data = synthetic(description.elements, description.classes, SAMPLES, 3)
    kinds = [
        Kind.INFER if i % 5 == 3 else Kind.ACCUMULATE if i % 5 == 1 else Kind.TRAIN
        for i in range(SAMPLES)
    ]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    job = Job(
        description=description,
        tokens=tuple(drained(tokens, planned.schedule.delay)),
        samples=quantised(description, data),
        labels=data.train_y.astype(np.uint8),
        seed=4,
        depth=record_depth(planned),
        stalls=("none", "none", "long") if stalls else ("none", "none", "none"),
    )
    return planted.switched(verilog(), job, FAULTS.index(fault), stalls=stalls)


@pytest.mark.parametrize("stalls", [False, True])
def test_without_a_fault_nothing_differs(stalls: bool) -> None:
    found = run(FAULTS[0], stalls=stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize(
    "fault",
    FAULTS[1:],
    ids=str,
)
def test_a_fault_is_found_and_located_in_its_unit(fault: Fault) -> None:
    found = run(fault, stalls=fault.stalls)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.removeprefix("cycle ").split(": ")[0 if fault.stalls else 1]
    assert place.startswith(f"{fault.unit}."), found.first_divergence
