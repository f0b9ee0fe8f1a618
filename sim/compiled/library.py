"""The product's own Verilog as a shared library: simulation without Python in the cycle.

Verilator makes C++ of the chain, and `library.cpp` drives that with whole arrays; that of
`sim.boards` drives a whole board by its serial line.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.resources
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from counterflow.design.parts import locks
from counterflow.design.tools.programs import COMPILER
from counterflow.sim.simulator import (
    SimulationError,
    body_of,
    cache_folder,
    environment,
    tell_of,
    verilator_root,
)

TOP = "powered"  # the module that is simulated: the chain after power-on
NAME = "libdesign.so"
STREAMS = "streams.h"  # which ones a chain has
_HERE = importlib.resources.files("counterflow.sim.compiled")
DRIVER, HEADER = _HERE / "library.cpp", _HERE / "library.h"
VERILATE = (
    *("verilator", "--cc", "--no-timing", "-O3", "--output-split", "0", "--Mdir", "model"),
    *("--prefix", "Vdesign", "--top-module", TOP, "--compiler-include", "../library.h"),
    # Amaranth's Verilog is full of harmless width differences; everything else stays fatal.
    *("-Wno-WIDTH", "-Wno-fatal", "--x-assign", "fast", "--x-initial", "fast"),
    *("design.v", "design.vlt"),
)
COMPILE = (
    *("-std=gnu++17", "-O2", "-w", "-shared", "-fPIC", "-pthread", "-I.", "-Imodel"),
    # Calls within a shared library cost nothing where they cannot be replaced from outside.
    *("-fvisibility=hidden", "design.cpp", "-o", NAME),
)
# One bit of a signal, and again and again; escaped names end in a space.
_RUN = re.compile(r"(?<![\w$\\.])((?:\\\S+ |[A-Za-z_][\w$]*)\[\d+\])((?:, \1)+)(?=[ ,])")


class Gate(ctypes.Structure):
    """How often a stream waits, in parts of `CHANCE`, and whether it offers something."""

    CHANCE = 1 << 16
    _fields_ = (("stall", ctypes.c_uint64), ("held", ctypes.c_uint64))


class Work(ctypes.Structure):
    """What is to be done and how far it has come: `Work` in library.cpp, field for field."""

    ARRAYS = ("kinds", "indices", "samples", "labels", "requests", "responses")
    _fields_ = (
        *((name, ctypes.c_void_p) for name in (*ARRAYS, "predictions", "predicted")),
        *((name, ctypes.c_int64) for name in ("tokens", "request_count", "transfers")),
        *((name, ctypes.c_int64) for name in ("inputs", "element_bits", "element_bytes")),
        *((name, Gate) for name in ("sample_gate", "label_gate", "prediction_gate")),
        ("random", ctypes.c_uint64),
        *((name, ctypes.c_int64) for name in ("labels_taken", "samples_taken", "element")),
        *((name, ctypes.c_int64) for name in ("requests_taken", "responded")),
        ("cycles", ctypes.c_int64),
    )

    def point(self, **arrays: NDArray[Any]) -> None:
        """Let pointers name contiguous arrays, which somebody must keep alive."""
        for name, array in arrays.items():
            assert array.flags.c_contiguous
            setattr(self, name, array.ctypes.data)


class Library:
    """Simulated hardware out of the shared library at `path`; `close` frees it.

    There is no reset: registers and memories start as they do when power comes.
    """

    def __init__(self, path: Path) -> None:
        self._calls = ctypes.CDLL(str(path))
        self._calls.counterflow_open.restype = ctypes.c_void_p
        self._design: ctypes.c_void_p | None = None
        self.power_on()

    def power_on(self) -> None:
        """Start anew."""
        self.close()
        self._design = ctypes.c_void_p(self._calls.counterflow_open())

    def close(self) -> None:
        """Free the design; to be used no more, unless `power_on` starts anew."""
        if self._design is not None:
            self._calls.counterflow_close(self._design)
        self._design = None

    def drive(self, work: Work, cycles: int, *, stop: bool) -> None:
        """Simulate `cycles` cycles, with `stop` fewer if the work is done before."""
        if self._design is None:
            raise ValueError("the simulation is closed")
        self._calls.counterflow_drive(
            self._design, ctypes.byref(work), ctypes.c_int64(cycles), ctypes.c_int64(stop)
        )


def build_library(
    verilog: str, top: str, driver: Traversable = DRIVER, predictions: Sequence[str] = ()
) -> Path:
    """Path of the shared library of a design's Verilog, whose module is `top`; built once.

    ``driver`` is the C++ file that drives it, by default that of a chain, whose streams of
    ``predictions`` it must be told.  A folder appears in the cache when it is whole; a second
    process waits for the first.
    """
    texts = {file.name: file.read_text(encoding="utf-8") for file in (driver, HEADER)}
    if predictions:
        texts[STREAMS] = f"#define PREDICTIONS(X) {' '.join(f'X({one})' for one in predictions)}\n"
    design = _counted(verilog) + _powered(verilog, top)
    texts |= {"design.v": design, "design.vlt": _control(verilog)}
    everything = "\0".join([*VERILATE, *COMPILE, *texts.values()])
    key = hashlib.sha256(everything.encode()).hexdigest()[:16]
    target = cache_folder() / f"{top}-library-{key}"
    with locks.waiting(target.with_suffix(".lock")):
        if tell_of(target, verilog, there=(target / NAME).exists()):
            _build(target, texts, driver.name)
    return target / NAME


def _counted(verilog: str) -> str:
    """Runs of one bit, which extend a sign, as the bit and a number: {x[7], x[7]} as {2{x[7]}}.

    Verilator computes such runs bit by bit, which is a fifth of all operations.
    """
    return _RUN.sub(lambda run: f"{{{run[2].count(', ') + 1}{{{run[1]}}}}}", verilog)


def _powered(verilog: str, top: str) -> str:
    """A module around `top` whose reset is never asserted.

    As an input the reset would take a quarter of all operations, as a constant it takes none.
    """
    body = body_of(verilog, top)
    if not body:
        raise SimulationError(f"the Verilog has no module {top}")
    found = re.findall(r"^  (input|output) (\[\d+:\d+\] )?(\w+);$", body, re.MULTILINE)
    ports = ", ".join(f"{way} {width}{name}" for way, width, name in found if name != "rst")
    links = "".join(f", .{name}({name})" for _, _, name in found if name != "rst")
    return f"\nmodule {TOP}({ports});\n  \\{top} chain(.rst(1'b0){links});\nendmodule\n"


def _control(verilog: str) -> str:
    """Modules with many instances, the lanes, are called, not copied: builds and runs faster."""
    shared = re.findall(r"^module (\w+_[0-9a-f]{8}) ?\(", verilog, re.MULTILINE)
    return "\n".join(["`verilator_config", *(f'no_inline -module "{name}"' for name in shared), ""])


def _build(target: Path, texts: Mapping[str, str], driver: str) -> None:
    """Verilate and compile; `target` keeps the library, what it is made of, and the log."""
    include = verilator_root() / "include"
    compiler = next(filter(None, map(shutil.which, COMPILER.names)), COMPILER.names[0])
    compile_ = (compiler, *COMPILE, f"-I{include}", f"-I{include / 'vltstd'}")
    for left in target.parent.glob(f"{target.name}-*"):  # by a build that was killed
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    try:
        for name, text in texts.items():
            (scratch / name).write_text(text, encoding="utf-8")
        with (scratch / "build.log").open("wb") as log, environment():
            done = subprocess.run(VERILATE, cwd=scratch, stdout=log, stderr=log, check=False)
            if done.returncode == 0:
                everything = _all_sources(scratch / "model", driver)
                (scratch / "design.cpp").write_text(everything, encoding="utf-8")
                done = subprocess.run(compile_, cwd=scratch, stdout=log, stderr=log, check=False)
        if done.returncode:
            kept = target.with_suffix(".log")
            shutil.copy(scratch / "build.log", kept)
            raise SimulationError(f"the library of {target.name} could not be built", kept)
        shutil.rmtree(scratch / "model")
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _all_sources(model: Path, driver: str) -> str:
    """One file that includes all others: most of their compilation is the headers they share."""
    slow = {path.name for path in model.glob("*Slow.cpp")}  # what runs once, not worth optimising
    fast = {path.name for path in model.glob("*.cpp")} - slow
    files = [driver, *sorted(fast), "", *sorted(slow)]
    files += ["verilated.cpp", "verilated_threads.cpp"]
    return "".join(
        f'#include "{name}"\n' if name else '#pragma GCC optimize ("O0")\n' for name in files
    )
