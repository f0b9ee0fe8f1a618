"""Benches on models that stay: tests of one design share the process that simulates it."""

from __future__ import annotations

import atexit
from collections import OrderedDict
from pathlib import Path

from counterflow.sim import simulator
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.exercise import CYCLES
from counterflow.sim.session import Session
from counterflow.sim.simulate import TOP

OPEN = 2  # sessions at a time: tests of a design stand together
JOBS = 64  # of one session

_sessions: OrderedDict[Path, Session] = OrderedDict()


def run(verilog: str, job: Job, bench: str = CYCLES, top: str = TOP, **told: object) -> Found:
    """What the bench found on a quick build, which is kept for the next job."""
    built = simulator.build(verilog, top, quick=True)
    session = _sessions.pop(built, None) or Session(built, top, most=JOBS)
    while len(_sessions) >= OPEN:
        _sessions.popitem(last=False)[1].close()
    found = session.run(job, bench, **told)
    if session.left:
        _sessions[built] = session
    else:
        session.close()
    return found


@atexit.register
def _close() -> None:
    for session in _sessions.values():
        session.close()
