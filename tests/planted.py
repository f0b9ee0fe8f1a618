"""Runs of a design with one of its planted faults switched on, against a golden model without."""

from __future__ import annotations

from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan
from counterflow.golden.units.state import State
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.simulate import quantised, record_depth
from tests import simulated
from tests.images import data_of

SAMPLES = 28


def switched(verilog: str, job: Job, fault: int, *, stalls: bool) -> Found:
    """The job on a design in which fault number `fault` is switched on; in order with `stalls`."""
    return simulated.run(verilog, job, "tests.bench_faults", fault=fault, ordered=stalls)


def run(
    planned: Plan,
    verilog: str,
    fault: int,
    *,
    stalls: bool,
    states: tuple[State, ...] = (),
) -> Found:
    """Tokens that train, wait for an update and infer, with fault number `fault`."""
    data = data_of(planned, seed=3)
    kinds = [(Kind.ACCUMULATE, Kind.TRAIN, Kind.TRAIN, Kind.INFER)[i % 4] for i in range(SAMPLES)]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    job = Job(
        description=planned.description,
        tokens=tuple(drained(tokens, planned.schedule.delay)),
        samples=quantised(planned.description, data),
        labels=data.train_y,
        seed=4,
        depth=record_depth(planned),
        stalls=("none", "none", "long" if stalls else "none"),
        states=states,
    )
    return switched(verilog, job, fault, stalls=stalls)
