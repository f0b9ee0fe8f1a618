"""What a block memory gives in the cycle of a write to the same word is never used.

Synthesis counts on that: it leaves out the bypass that would make it the old word.
"""

from __future__ import annotations

import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.simulate import bench_verilog, quantised, record_depth
from tests import simulated

pytestmark = pytest.mark.xdist_group("block memory")  # they share a build

READ = "read_data <= words[read_address];"
COLLIDES = "write_enable && write_address == read_address"
SAMPLES = 24


@pytest.fixture(scope="module")
def design() -> Plan:
    return plan(load("tiny"))


def run(design: Plan, condition: str, bench: str) -> Found:
    """Simulate with block memories that invert what they read where `condition` holds."""
    text = bench_verilog(design)
    assert READ in text
    wrong = f"read_data <= {condition} ? ~words[read_address] : words[read_address];"
    data = synthetic(design.description.inputs, design.description.classes, SAMPLES, 3)
    tokens = [Token(Kind.TRAIN, index) for index in range(SAMPLES)]
    job = Job(
        description=design.description,
        tokens=tuple(drained(tokens, design.schedule.delay)),
        samples=quantised(design.description, data),
        labels=data.train_y,
        seed=4,
        depth=record_depth(design),
        stalls=("random", "none", "burst"),
    )
    return simulated.run(text.replace(READ, wrong), job, bench)


@pytest.mark.parametrize(
    "bench",
    [
        pytest.param("counterflow.sim.bench.cycles", marks=pytest.mark.slow),
        "counterflow.sim.bench.order",
    ],
)
def test_a_wrong_word_in_the_cycle_of_its_write_changes_nothing(design: Plan, bench: str) -> None:
    found = run(design, COLLIDES, bench)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 1000


def test_a_wrong_word_in_the_cycle_of_any_write_is_found(design: Plan) -> None:
    assert run(design, "write_enable", "counterflow.sim.bench.cycles").mismatches > 0
