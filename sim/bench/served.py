"""Bench: the jobs of one `sim.session.Session`, one after the other on the same model.

Jobs come and go as files of a folder, numbered: `asked`, then `found` or `failed`.  The file
``process`` holds this process' number; the file ``end`` says that no job is to come.
"""

from __future__ import annotations

import importlib
import os
import pickle
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import cocotb

from counterflow.sim.bench.job import store

FOLDER, MOST = "COUNTERFLOW_JOBS", "COUNTERFLOW_MOST_JOBS"
END, PROCESS = "end", "process"
WAIT = 0.005  # seconds between two looks for a file


class Asked(NamedTuple):
    """A job to do: ``bench`` is the module, whose ``compared`` does it.

    Job and further arguments are ``pickled`` for themselves, to be read when their bench is there
    with what it registers.
    """

    bench: str
    pickled: bytes


def asked(folder: Path, number: int) -> Path:
    """Where job `number` is put."""
    return folder / f"{number}.asked"


def found(folder: Path, number: int) -> Path:
    """Where what its bench found is put."""
    return folder / f"{number}.found"


def failed(folder: Path, number: int) -> Path:
    """Where it is said that its bench raised something."""
    return folder / f"{number}.failed"


def _wait_for(folder: Path, number: int) -> Asked | None:
    """The job when it comes; None where no more will."""
    while not asked(folder, number).exists():
        if (folder / END).exists():
            return None
        time.sleep(WAIT)
    job: Asked = pickle.loads(asked(folder, number).read_bytes())
    return job


def _end_with(parent: int) -> None:
    """End this process as soon as `parent` is gone, killed in the middle of a job, say."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@cocotb.test()
@cocotb.parametrize(number=range(int(os.environ.get(MOST, "1"))))
async def job(dut: Any, number: int) -> None:
    """Wait for one more job and do it; cocotb ends what it started before the next begins."""
    folder = Path(os.environ[FOLDER])
    store(os.getpid(), folder / PROCESS)
    if number == 0:  # here, in the simulator: others import this module for its names alone
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    waiting = _wait_for(folder, number)
    if waiting is None:
        return
    try:
        bench = importlib.import_module(waiting.bench)
        own, told = pickle.loads(waiting.pickled)
        store(await bench.compared(dut, own, **told), found(folder, number))
    except BaseException:  # also when cocotb cancels it, since something that it started failed
        store(traceback.format_exc(), failed(folder, number))
        raise
