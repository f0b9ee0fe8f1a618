"""The product's own Verilog as a shared library: simulation without Python in the cycle.

Verilator makes C++ of the chain, and `library.cpp` drives that with whole arrays.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.resources
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.simulator import SimulationError, cache_folder, environment

PREFIX = "Vdesign"  # of the C++ class, whatever the network's name
NAME = "libdesign.so"
VERILATE = (
    *("verilator", "--cc", "--exe", "--build", "-j", "2", "--prefix", PREFIX, "-o", NAME),
    # Amaranth's Verilog is full of harmless width differences; everything else stays fatal.
    *("-Wno-WIDTH", "-Wno-fatal", "--x-assign", "fast", "--x-initial", "fast", "-O3"),
    # Calls within a shared library cost nothing where they cannot be replaced from outside.
    *("-CFLAGS", "-fPIC -fvisibility=hidden", "-LDFLAGS", "-shared -pthread"),
)
OPTIMISE = "OPT_FAST=-O3 OPT_SLOW=-O1 OPT_GLOBAL=-O2"


class Gate(ctypes.Structure):
    """How often a stream waits, in parts of `CHANCE`, and whether it offers something."""

    CHANCE = 1 << 16
    _fields_ = (("stall", ctypes.c_uint64), ("held", ctypes.c_uint64))


class Work(ctypes.Structure):
    """What is to be done and how far it has come: `Work` in library.cpp, field for field."""

    ARRAYS = ("kinds", "indices", "samples", "labels", "requests", "responses", "predictions")
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ARRAYS),
        *((name, ctypes.c_int64) for name in ("tokens", "request_count", "transfers")),
        *((name, ctypes.c_int64) for name in ("inputs", "element_bits", "element_bytes")),
        *((name, Gate) for name in ("sample_gate", "label_gate", "prediction_gate")),
        ("random", ctypes.c_uint64),
        *((name, ctypes.c_int64) for name in ("labels_taken", "samples_taken", "element")),
        *((name, ctypes.c_int64) for name in ("requests_taken", "responded", "predicted")),
        ("cycles", ctypes.c_int64),
    )

    def point(self, **arrays: NDArray[Any]) -> None:
        """Let pointers name contiguous arrays, which somebody must keep alive."""
        for name, array in arrays.items():
            assert array.flags.c_contiguous
            setattr(self, name, array.ctypes.data)


class Library:
    """One simulated design out of the shared library at `path`; `close` frees it."""

    def __init__(self, path: Path) -> None:
        self._calls = ctypes.CDLL(str(path))
        self._calls.counterflow_open.restype = ctypes.c_void_p
        self._design = ctypes.c_void_p(self._calls.counterflow_open())

    def close(self) -> None:
        """Free the design, which cannot be used afterwards."""
        if self._design:
            self._calls.counterflow_close(self._design)
            self._design = ctypes.c_void_p()

    def reset(self, cycles: int) -> None:
        """Hold the reset for some cycles."""
        self._calls.counterflow_reset(self._design, ctypes.c_int64(cycles))

    def drive(self, work: Work, cycles: int, *, stop: bool) -> None:
        """Simulate `cycles` cycles, with `stop` fewer if the work is done before."""
        self._calls.counterflow_drive(
            self._design, ctypes.byref(work), ctypes.c_int64(cycles), ctypes.c_int64(stop)
        )


def build_library(verilog: str, top: str) -> Path:
    """Path of the shared library of a chain's Verilog; equal text is built once.

    Several processes may build at the same time: a folder appears in the cache when it is whole.
    """
    driver = importlib.resources.files("sim").joinpath("library.cpp").read_text(encoding="utf-8")
    texts = (*VERILATE, OPTIMISE, top, driver, verilog)
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    target = cache_folder() / f"{top}-library-{key}"
    if not (target / NAME).exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
        try:
            _build(scratch, verilog, driver, top)
            scratch.rename(target)
        except FileExistsError:  # another process was first
            pass
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target / NAME


def _build(folder: Path, verilog: str, driver: str, top: str) -> None:
    """Verilate and compile in `folder`, which keeps the library, the Verilog and the log."""
    (folder / f"{top}.v").write_text(verilog, encoding="utf-8")
    (folder / "driver.cpp").write_text(driver, encoding="utf-8")
    command = (*VERILATE, "--top-module", top, "-MAKEFLAGS", OPTIMISE, f"{top}.v", "driver.cpp")
    with (folder / "build.log").open("wb") as log, environment():
        done = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False)
    made = folder / "obj_dir" / NAME
    if done.returncode or not made.exists():
        kept = folder.with_name(f"{top}-library.log")
        shutil.copy(folder / "build.log", kept)
        raise SimulationError(f"verilator could not build the library of {top}; see {kept}")
    made.rename(folder / NAME)
    shutil.rmtree(folder / "obj_dir")
