"""Sessions: one simulator process that does job after job, and ends when it should."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim import simulator
from counterflow.sim.bench import served
from counterflow.sim.bench.job import Job
from counterflow.sim.bench.job import load as load_job
from counterflow.sim.exercise import CYCLES, ORDER, mixed_tokens
from counterflow.sim.session import Session
from counterflow.sim.simulate import TOP, bench_verilog, quantised, record_depth

pytestmark = pytest.mark.xdist_group("sessions")  # they share one build


@pytest.fixture(scope="module")
def tiny() -> Plan:
    return plan(load("tiny"))


@pytest.fixture(scope="module")
def built(tiny: Plan) -> Path:
    return simulator.build(bench_verilog(tiny), TOP, quick=True)


def job_of(tiny: Plan, scenario: str = "stalls", **changes: object) -> Job:
    data = synthetic(tiny.description.elements, tiny.description.classes, 30, 2)
    fields = {
        "description": tiny.description,
        "tokens": mixed_tokens(tiny, 30),
        "samples": quantised(tiny.description, data),
        "labels": data.train_y,
        "seed": 1,
        "depth": record_depth(tiny),
        "scenario": scenario,
    }
    return Job(**{**fields, **changes})  # type: ignore[arg-type]


def test_what_a_job_finds_does_not_depend_on_those_before_it(tiny: Plan, built: Path) -> None:
    spoilt = (tiny.description.elements + 1,) * len(mixed_tokens(tiny, 30))
    jobs = [
        (job_of(tiny), CYCLES),
        (job_of(tiny, "spoilt", lengths=spoilt), ORDER),
        (job_of(tiny, "reset", interrupt=100, stalls=("burst", "slow", "long")), ORDER),
    ]
    found = {}
    for order in (jobs, jobs[::-1]):
        with Session(built, TOP, most=3) as session:
            for job, bench in order:
                one = session.run(job, bench)
                assert one.mismatches == 0, one.first_divergence
                assert one.compared > 1_000
                counted = (one.cycles, one.compared, one.counters)
                assert found.setdefault(job.scenario, counted) == counted
        assert session.left == 0


def test_a_bench_that_raises_or_dies_is_said_with_its_log(tiny: Plan, built: Path) -> None:
    said_of = {"raises": "failed", "fails beside": "failed", "dies": "did not finish"}
    for scenario, said in said_of.items():
        session = Session(built, TOP, most=3)
        with pytest.raises(
            simulator.SimulationError, match=rf"bench_session {said}; see "
        ) as error:
            session.run(job_of(tiny, scenario), "tests.bench_session")
        log = error.value.log
        assert log is not None
        assert ("this bench never works" in log.read_text()) == (said == "failed")


def test_an_exception_ends_the_process_in_the_middle_of_a_job(
    tiny: Plan, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = tmp_path / "progress"
    many = job_of(tiny, tokens=mixed_tokens(tiny, 30) * 2_000, progress=progress)
    session, before = Session(built, TOP), time.monotonic()

    def interrupted(seconds: float) -> None:
        if progress.exists():
            raise KeyboardInterrupt

    def run() -> None:
        with session:
            session.run(many, CYCLES)

    monkeypatch.setattr("counterflow.sim.session.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert time.monotonic() - before < 60
    assert not session._process.is_alive()


KILLED = """
import pickle, sys
from pathlib import Path
from counterflow.sim.session import Session
built, job = pickle.loads(sys.stdin.buffer.read())
with Session(Path(built), {top!r}) as session:
    print(session._folder, flush=True)
    session.run(job, {bench!r})
"""


def test_a_simulator_does_not_outlive_a_session_that_is_killed(
    tiny: Plan, built: Path, tmp_path: Path
) -> None:
    """In the middle of a job, which would take minutes."""
    progress = tmp_path / "progress"
    many = job_of(tiny, tokens=mixed_tokens(tiny, 30) * 2_000, progress=progress)
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(top=TOP, bench=CYCLES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    with killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        killed.stdin.write(pickle.dumps((str(built), many)))
        killed.stdin.close()
        folder = Path(killed.stdout.readline().decode().strip())
        _until(progress.exists)
        number = load_job(folder / served.PROCESS)
        assert _runs(number)
        killed.kill()
    _until(lambda: not _runs(number))
    shutil.rmtree(folder)


def test_whoever_begins_a_session_outlives_its_own_parent() -> None:
    """As a command in the background does when its terminal is closed."""
    asked = "import sys, threading, counterflow.sim.session; sys.exit(threading.active_count() - 1)"
    subprocess.run([sys.executable, "-c", asked], check=True)


def _runs(process: int) -> bool:
    """Whether it is there and has not ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_bench_is_told_what_its_job_was_asked_with(tiny: Plan, built: Path) -> None:
    with Session(built, TOP, most=2) as session:
        processes = set()
        for told in ("one", "another"):
            found = session.run(job_of(tiny), "tests.bench_session", told=told)
            assert found.first_divergence == told
            processes.add(found.cycles)
        assert len(processes) == 1


@pytest.mark.parametrize("bench", ["cycles", "order", "axi", "mutants", "served"])
def test_a_bench_starts_without_amaranth(bench: str) -> None:
    """Most of a small job's time would be to load it."""
    asked = f"import sys, counterflow.sim.bench.{bench}; sys.exit('amaranth' in sys.modules)"
    subprocess.run([sys.executable, "-c", asked], check=True)


def test_tests_that_share_a_build_stay_in_one_process(request: pytest.FixtureRequest) -> None:
    """Their names tell the group; some versions of pytest and pytest-xdist do not get on."""
    if "PYTEST_XDIST_WORKER" not in os.environ or request.config.getvalue("loadgroup") is False:
        pytest.skip("the tests run in one process, or are not to be grouped")
    assert request.node.nodeid.endswith("@sessions")
