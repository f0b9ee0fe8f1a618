"""A cocotb simulation of a planned design against the golden model, from data set to report."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.parts.order import epoch_order
from counterflow.design.schedule.planner import Plan
from counterflow.golden.training.models import epoch_runs, parts, tokens_of
from counterflow.golden.units.state import State
from counterflow.hw.parts import counter
from counterflow.hw.parts.modules import convert
from counterflow.sim import simulator as tool
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.bench.reports import SimulationReport
from counterflow.sim.bench.top import BenchTop
from counterflow.sim.exercise import CYCLES, Exercise, exercised, harsh_runs
from counterflow.sim.generated import kept_verilog
from counterflow.sim.harsh import harsh as with_worst_memories
from counterflow.sim.session import Session

TOP = "bench_top"
RECORD_CYCLES = 1024
QUICK_CYCLES = 200_000  # of a run: an optimised model pays for its building only in longer ones
RECORD_PART = 64  # cycles that a part of a slot has at least: reading a record costs a while

Progress = Callable[[int, int], None]


def record_depth(plan: Plan) -> int:
    """Cycles that the record holds, about RECORD_CYCLES: whole slots, or an even part of a slot."""
    interval = plan.schedule.interval
    if interval <= RECORD_CYCLES:
        return RECORD_CYCLES // interval * interval
    even = [part for part in range(RECORD_PART, RECORD_CYCLES + 1) if interval % part == 0]
    return max(even, default=interval)


def bench_verilog(plan: Plan, *, near_carry: bool = False) -> str:
    """Verilog of the bench's top level around the chain, with counters from `near_carry` on."""
    with counter.near_carry(near_carry):
        top = BenchTop(plan=plan, depth=record_depth(plan))
        return convert(top, TOP, compact=plan.compact)


def worst_verilog(plan: Plan) -> str:
    """What harsh runs are on: memories that are worse than they must be, counters near a carry."""
    return with_worst_memories(bench_verilog(plan, near_carry=True))


def all_runs(plan: Plan, plain: Job, samples: int) -> list[Exercise]:
    """The plain run and the harsh ones, on `worst_verilog`."""
    plain = replace(plain, near_carry=True)
    return [Exercise("", CYCLES, plain), *harsh_runs(plan, plain, samples)]


def run_job(
    verilog: str,
    job: Job,
    module: str = "counterflow.sim.bench.cycles",
    *,
    top: str = TOP,
    simulator: str = "verilator",
    waves: Path | None = None,
    log: Path | None = None,
    quick: bool = False,
    building: Sequence[str] = (),
    running: Sequence[str] = (),
) -> Found:
    """Build `verilog` (once), run a bench on it, and return what it found.

    ``waves`` and ``log`` are those of a `Session`, ``building`` and ``running`` further options of
    `sim.simulator.build` and `run`.
    """
    built = tool.build(verilog, top, simulator, waves is not None, quick, building)
    with Session(built, top, simulator, waves=waves, log=log, options=running) as session:
        return session.run(job, module)


def quantised(description: Description, dataset: Dataset) -> np.ndarray:
    """The training samples in the network's input format, as they are sent."""
    return parts(description, dataset)[0].samples


def simulate(
    plan: Plan,
    dataset: Dataset,
    *,
    seed: int,
    samples: int,
    waves: Path | None = None,
    log: Path | None = None,
    simulator: str = "verilator",
    harsh: bool = False,
    all_slots: bool = False,
    states: Sequence[State] = (),
    kept: bool = False,
    on_progress: Progress | None = None,
) -> SimulationReport:
    """Train on `samples` samples in the generated hardware, comparing every cycle with golden.

    The order is that of the recipe's first epoch under `seed`; the run ends with an empty chain.
    With ``harsh`` it is followed by the runs of `sim.exercise`, of which `on_progress` hears too.
    ``waves`` and ``log`` are those of `run_job`.  With ``all_slots`` the report has those of the
    whole first run, not only of its beginning.  It begins with ``states`` of all units, where there
    are some, in place of those of the seed.  ``kept``: on Verilog of an earlier call, if there is
    some (`sim.generated`).
    """
    tool.check(simulator)
    order = epoch_order(len(dataset.train_x), seed, 0)[:samples]
    plain = replace(plain_job(plan, dataset, order, seed), states=tuple(states))
    if all_slots:
        plain = replace(plain, slots_shown=len(plain.tokens))
    if harsh:
        runs, kind, generate = all_runs(plan, plain, samples), "harsh", worst_verilog
    else:
        runs, kind, generate = [Exercise("", CYCLES, plain)], "bench", bench_verilog
    verilog = kept_verilog(kind, plan, lambda: generate(plan)) if kept else generate(plan)
    counts = [len(run.job.tokens) for run in runs]
    short = sum(counts) * plan.schedule.interval < QUICK_CYCLES
    quick = short and not tool.is_built(verilog, TOP, simulator, waves is not None)
    found: list[Found] = []
    built = tool.build(verilog, TOP, simulator, waves is not None, quick)
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="counterflow-"))
        progress = Path(scratch) / "progress" if on_progress else None
        session = stack.enter_context(
            Session(built, TOP, simulator, most=len(runs), waves=waves, log=log)
        )
        for number, run in enumerate(runs):
            before = sum(counts[:number])

            def report(done: int, _total: int, before: int = before) -> None:
                if on_progress:
                    on_progress(before + done, sum(counts))

            with _watched(progress, report):
                one = session.run(replace(run.job, progress=progress), run.bench)
            if one.first_divergence and run.name:
                one.first_divergence = f"{run.name}: {one.first_divergence}"
            found.append(one)
    return _report(plan, len(order), found, exercised(runs, worst_memories=harsh))


def plain_job(plan: Plan, dataset: Dataset, order: NDArray[np.int64], seed: int) -> Job:
    """The recipe's training on the samples that `order` names."""
    description = plan.description
    runs = epoch_runs(description.recipe, order, plan.schedule.delay, epoch=0, before=0)
    starts = np.cumsum([0, *(len(run.kinds) for run in runs)]).tolist()
    return Job(
        description=description,
        tokens=tuple(token for run in runs for token in tokens_of(run.kinds, run.indices)),
        settings=tuple((start, run.settings) for start, run in zip(starts, runs, strict=False)),
        samples=quantised(description, dataset),
        labels=parts(description, dataset)[0].labels,
        seed=seed,
        depth=record_depth(plan),
    )


def _report(
    plan: Plan, samples: int, found: Sequence[Found], done: dict[str, bool]
) -> SimulationReport:
    """Sums over all runs; what is said of the steady state is the first one's."""
    first = found[0]
    return SimulationReport(
        cycles=sum(one.cycles for one in found),
        samples=samples,
        compared=sum(one.compared for one in found),
        mismatches=sum(one.mismatches for one in found),
        utilisation_planned=plan.schedule.utilisation,
        utilisation_measured=first.utilisation,
        first_divergence=next(
            (one.first_divergence for one in found if one.first_divergence), None
        ),
        seconds=sum(one.seconds for one in found),
        losses=first.losses,
        golden_losses=first.golden_losses,
        correct=first.correct,
        slots=first.slots,
        counters=sum(one.counters for one in found),
        exercised=done,
        unit=plan.schedule.loss.arithmetic.unit,
    )


@contextlib.contextmanager
def _watched(path: Path | None, on_progress: Progress) -> Iterator[None]:
    """Report what the bench writes to `path`, if any, while it runs in another process."""
    if path is None:
        yield
        return
    path.unlink(missing_ok=True)  # what the run before wrote
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            with contextlib.suppress(OSError, ValueError):
                done, total = path.read_text(encoding="utf-8").split()
                on_progress(int(done), int(total))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
