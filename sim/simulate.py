"""A cocotb simulation of a planned design against the golden model, from data set to report."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.network.files import move
from counterflow.design.parts.order import epoch_order
from counterflow.design.schedule.planner import Plan
from counterflow.golden.training.models import codes, epoch_runs, tokens_of
from counterflow.hw.parts.modules import convert
from counterflow.sim import simulator as tool
from counterflow.sim.bench.job import Found, Job, load_found, store
from counterflow.sim.bench.reports import SimulationReport
from counterflow.sim.bench.top import BenchTop

TOP = "bench_top"
RECORD_CYCLES = 1024
RECORD_PART = 64  # cycles that a part of a slot has at least: reading a record costs a while

Progress = Callable[[int, int], None]


def record_depth(plan: Plan) -> int:
    """Cycles that the record holds, about RECORD_CYCLES: whole slots, or an even part of a slot."""
    interval = plan.schedule.interval
    if interval <= RECORD_CYCLES:
        return RECORD_CYCLES // interval * interval
    even = [part for part in range(RECORD_PART, RECORD_CYCLES + 1) if interval % part == 0]
    return max(even, default=interval)


def bench_verilog(plan: Plan) -> str:
    """Verilog of the bench's top level around the chain."""
    top = BenchTop(plan=plan, depth=record_depth(plan))
    return convert(top, TOP, compact=plan.compact)


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

    ``waves``: where to put the waveforms; ``log``: where to keep the simulator's output;
    ``building`` and ``running``: further options of `sim.simulator.build` and `run`.
    """
    folder = tool.build(verilog, top, simulator, waves is not None, quick, building)
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        path = Path(scratch) / "job"
        store(job, path)
        try:
            tool.run(
                folder,
                top,
                module,
                simulator,
                waves is not None,
                log=Path(scratch) / "run.log",
                options=running,
                COUNTERFLOW_JOB=str(path),
            )
            return load_found(path)
        finally:
            if log is not None:
                with contextlib.suppress(OSError):
                    move(Path(scratch) / "run.log", log)
            if waves is not None:
                for dump in [
                    *Path(scratch).glob("*.vcd"),
                    *folder.glob("*.vcd"),
                    *folder.glob("*.fst"),
                ]:
                    move(dump, waves / dump.name)


def quantised(description: Description, dataset: Dataset) -> np.ndarray:
    """The training samples in the network's input format."""
    return codes(dataset.train_x, dataset.pixel_max, description.formats.input)


def simulate(
    plan: Plan,
    dataset: Dataset,
    *,
    seed: int,
    samples: int,
    out: Path | None = None,
    waves: bool = False,
    simulator: str = "verilator",
    on_progress: Progress | None = None,
) -> SimulationReport:
    """Train on `samples` samples in the generated hardware, comparing every cycle with golden.

    The order is that of the recipe's first epoch under `seed`; the run ends with an empty chain.
    """
    description = plan.description
    tool.check(simulator)
    order = epoch_order(len(dataset.train_x), seed, 0)[:samples]
    runs = epoch_runs(description.recipe, order, plan.schedule.delay, epoch=0, before=0)
    starts = np.cumsum([0, *(len(run.kinds) for run in runs)]).tolist()
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        progress = Path(scratch) / "progress"
        job = Job(
            description=description,
            tokens=tuple(token for run in runs for token in tokens_of(run.kinds, run.indices)),
            settings=tuple((start, run.settings) for start, run in zip(starts, runs, strict=False)),
            samples=quantised(description, dataset),
            labels=dataset.train_y,
            seed=seed,
            depth=record_depth(plan),
            progress=progress if on_progress else None,
        )
        with _watched(progress, on_progress):
            found = run_job(
                bench_verilog(plan),
                job,
                simulator=simulator,
                waves=out if waves else None,
                log=None if out is None else out / "simulation.log",
            )
    return SimulationReport(
        cycles=found.cycles,
        samples=len(order),
        compared=found.compared,
        mismatches=found.mismatches,
        utilisation_planned=plan.schedule.utilisation,
        utilisation_measured=found.utilisation,
        first_divergence=found.first_divergence,
        seconds=found.seconds,
        losses=found.losses,
        golden_losses=found.golden_losses,
        correct=found.correct,
        slots=found.slots,
    )


@contextlib.contextmanager
def _watched(path: Path, on_progress: Progress | None) -> Iterator[None]:
    """Report what the bench writes to `path` while it runs in another process."""
    if on_progress is None:
        yield
        return
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
