"""Training in a process of its own: what is not compiled holds the interpreter, one at a time."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Any

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.epochs import Callback, TrainingResult, train


def train_apart(
    description: Description,
    dataset: Dataset,
    *,
    on_progress: Callback | None = None,
    **options: Any,
) -> TrainingResult:
    """What `golden.training.epochs.train` returns for these, made in a new process.

    The schedule is that of `description`; ``options`` are those of `train`.  ``on_progress`` is
    called here; what it or the training raises ends both.  ChildProcessError where the process is
    gone, for lack of memory as a rule.
    """
    context = multiprocessing.get_context("spawn")  # the other ways copy locks of running threads
    here, there = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(there, description, dataset, options), daemon=True
    )
    # Ctrl-C in a terminal reaches all processes; this one answers it, and ends the new one.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    there.close()
    try:
        while True:
            what, value = here.recv()
            if what == "progress":
                if on_progress:
                    on_progress(*value)
            elif what == "error":
                raise value
            else:
                result: TrainingResult = value
                return result
    except EOFError:
        process.join()
        raise ChildProcessError(
            f"a training's process ended with status {process.exitcode} and no result; with less "
            "at a time it may have memory enough"
        ) from None
    finally:
        process.terminate()
        process.join()
        here.close()


def _work(
    there: Connection, description: Description, dataset: Dataset, options: dict[str, Any]
) -> None:
    """What the process does."""

    def report(done: int, total: int) -> None:
        there.send(("progress", (done, total)))

    try:
        schedule = plan(description).schedule  # cannot be sent: it has functions in it
        found = train(description, schedule, dataset, **options, on_progress=report)
    except Exception as error:
        there.send(("error", error))
    else:
        there.send(("result", found))
