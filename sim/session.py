"""A simulator that stays: one process of a built model that does job after job.

To start it takes seconds, for Python, cocotb and NumPy; a small job takes a part of one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from counterflow.design.network.files import move
from counterflow.sim import simulator as tool
from counterflow.sim.bench import served
from counterflow.sim.bench.job import Found, Job, load, store
from counterflow.sim.bench.memories import PATH_BITS, RECORD

BENCH = "counterflow.sim.bench.served"
WAVES = (".fst", ".vcd")  # how files of waveforms end


class Session:
    """A built model in a process of its own; leave its context, or `close` it, to end that.

    Each job starts with a reset.  What memories hold then is left from the job before, as on a
    chip; a job that must find them as they are after power-up needs a session of its own.

    ``most``: jobs that it can do, ``left`` the number still to come.  ``waves``: folder where to
    put the waveforms; ``log``: where to keep the simulator's output, by default of a bench that
    failed only, beside what was built.  The others are those of `sim.simulator.run`.
    """

    def __init__(
        self,
        built: Path,
        top: str,
        simulator: str = "verilator",
        *,
        most: int = 1,
        waves: Path | None = None,
        log: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.left = most
        self._built, self._waves, self._log = built, waves, log
        self._scratch = tempfile.TemporaryDirectory(prefix="counterflow-")
        self._folder = Path(self._scratch.name)
        _check_path(self._folder / RECORD)
        self._number, self._closed = 0, False
        self._error: Exception | None = None

        def simulate() -> None:
            try:
                tool.run(
                    built,
                    top,
                    BENCH,
                    simulator,
                    waves is not None,
                    log=self._folder / "run.log",
                    options=options,
                    **{served.FOLDER: str(self._folder), served.MOST: str(most)},
                )
            except Exception as error:  # raised by whoever waits for a job
                self._error = error

        self._process = threading.Thread(target=simulate, daemon=True)
        self._process.start()

    def run(self, job: Job, bench: str, **told: object) -> Found:
        """What `bench`, a module with a coroutine ``compared``, finds of the job.

        It is `told` what it has to know beside the job.  `SimulationError` where it raises
        something or the process ends; the session ends then.
        """
        number, self._number, self.left = self._number, self._number + 1, self.left - 1
        asked = served.Asked(bench, pickle.dumps((job, told)))
        store(asked, served.asked(self._folder, number))
        found = served.found(self._folder, number)
        while not found.exists():
            running = self._process.is_alive()
            if served.failed(self._folder, number).exists():
                raise self._failure(f"the bench {bench} failed")
            if not running and not found.exists():
                raise self._failure(f"the bench {bench} did not finish") from self._error
            time.sleep(served.WAIT)
        return load(found)

    def _failure(self, text: str) -> tool.SimulationError:
        self._log = self._log or self._built / "run.log"
        self.close()
        return tool.SimulationError(text, self._log)

    def close(self) -> None:
        """Let the process end, and keep its waveforms and log."""
        if self._closed:
            return
        self._closed = True
        store(None, self._folder / served.END)
        self._process.join()
        if self._waves is not None:
            for dump in self._dumps():
                move(dump, self._waves / dump.name)
        if self._log is not None:
            self._log = _kept(self._folder / "run.log", self._log)
        self._scratch.cleanup()

    def _dumps(self) -> list[Path]:
        """Waveforms, which some simulators write beside what was built."""
        folders = self._folder, self._built
        return [dump for folder in folders for kind in WAVES for dump in folder.glob(f"*{kind}")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:  # nobody waits for what the job under way would find
            with contextlib.suppress(OSError):
                os.kill(load(self._folder / served.PROCESS), signal.SIGKILL)
        self.close()


def _check_path(record: Path) -> None:
    """Raise SimulationError where a simulator could not be told the path of its record."""
    size = len(os.fsencode(record))
    if size * 8 > PATH_BITS:
        raise tool.SimulationError(
            f"{record} is a path of {size} bytes, where a simulation keeps its record, and a "
            f"simulator takes up to {PATH_BITS // 8}: set TMPDIR to a folder with a shorter one"
        )


def _kept(log: Path, place: Path) -> Path | None:
    """The log, now at `place`; None where it is not, as on a full disk."""
    try:
        return move(log, place)
    except OSError:
        return None
