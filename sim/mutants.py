"""Faults by the hundred: mutants of a design's netlist, and which of them the benches find.

Yosys changes one bit of one port of one cell: inverts it, ties it, or inverts it where another bit
is set.  All mutants are in one model, of which an input chooses one, so that it is built once.
"""

from __future__ import annotations

import pickle
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from counterflow.design.network.files import write_atomically
from counterflow.design.schedule.planner import Plan
from counterflow.design.tools import synthesis
from counterflow.sim import simulator as tool
from counterflow.sim.bench.job import Job, store
from counterflow.sim.exercise import CYCLES, Exercise, harsh_runs
from counterflow.sim.harsh import harsh
from counterflow.sim.simulate import TOP, bench_verilog

CHAIN = f"{TOP}__chain"
SELECT, SELECT_BITS = "mutsel", 16
BENCH = "counterflow.sim.bench.mutants"


@dataclass(frozen=True)
class Mutant:
    """One change of the netlist: `command` is Yosys' for it."""

    number: int
    command: str

    def __str__(self) -> str:
        said = dict(re.findall(r"-(mode|cell|port|portbit|wire|wirebit) (\S+)", self.command))
        cell = re.sub(r"\$flatten|\$design\.v:\d+|\\", "", said["cell"])
        wire = f" ({said['wire']}[{said['wirebit']}])" if "wire" in said else ""
        return f"{said['mode']} of {cell}.{said['port']}[{said['portbit']}]{wire}"


@dataclass(frozen=True)
class Mutants:
    """Mutants of a bench's chain, and the ``verilog`` of all."""

    mutants: tuple[Mutant, ...]
    verilog: str


def mutants_of(plan: Plan, count: int, seed: int) -> Mutants:
    """`count` mutants of the chain of `plan`, spread over it by Yosys under `seed`."""
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        folder = Path(scratch)
        design = harsh(bench_verilog(plan))
        write_atomically(folder / "design.v", design)
        _yosys(
            folder,
            f"read_verilog design.v; hierarchy -top {CHAIN}; proc; flatten",
            # What is constant for any input goes first: its mutants would change nothing.
            "memory -nomap; opt -full; wreduce; opt -full; opt_clean",
            f"mutate -list {count} -seed {seed} -o mutants.txt {CHAIN}",
            "write_rtlil base.il",
        )
        lines = (folder / "mutants.txt").read_text(encoding="utf-8").splitlines()
        found = tuple(_mutant(number, line) for number, line in enumerate(lines, start=1))
        _yosys(
            folder,
            "read_rtlil base.il",
            *(one.command.replace("mutate ", _chosen(one.number), 1) for one in found),
            "opt_clean; write_verilog -noattr mutants.v",
        )
        chain = (folder / "mutants.v").read_text(encoding="utf-8")
        return Mutants(found, f"{_with_select(design)}\n{chain}")


def _with_select(design: str) -> str:
    """The bench's own module, with a register that chooses the mutant."""
    (top,) = re.findall(rf"^module {TOP}\(.*?^endmodule$", design, re.DOTALL | re.MULTILINE)
    head, body = str(top).split(";\n", 1)
    instance = re.compile(rf"({CHAIN} chain \()")
    body, found = instance.subn(rf"\1\n    .{SELECT}({SELECT}),", body)
    if found != 1:
        raise ValueError(f"the bench has {found} chains")
    return f"{head};\n  reg [{SELECT_BITS - 1}:0] {SELECT} = 0;\n{body}"


def _yosys(folder: Path, *commands: str) -> None:
    """Run Yosys on a script of `commands` in `folder`; too many for a command line."""
    write_atomically(folder / "script.ys", "\n".join(commands))
    synthesis.run_apart(["-s", "script.ys"], folder)


def _chosen(number: int) -> str:
    return f"mutate -ctrl {SELECT} {SELECT_BITS} {number} "


def _mutant(number: int, line: str) -> Mutant:
    return Mutant(number, re.sub(r" -src \S+", "", line))


def runs_of(plan: Plan, plain: Job, samples: int) -> list[Exercise]:
    """The plain run, then the harsh ones: what a mutant has to survive."""
    jobs = [Exercise("plain", CYCLES, plain), *harsh_runs(plan, plain, samples)]
    return [
        run._replace(job=replace(run.job, scenario="cycles")) if run.bench == CYCLES else run
        for run in jobs
    ]


Told = Callable[[str, int, int], None]


def survivors(
    found: Mutants, runs: Sequence[Exercise], *, on_progress: Told | None = None
) -> tuple[dict[int, str], list[Mutant]]:
    """(what each mutant was found by, those that nothing found); each run tries what is left.

    The design without a mutant is run first and may not differ, or ValueError is raised.
    ``on_progress`` hears a run's name, mutants tried and to try.
    """
    folder = tool.build(found.verilog, TOP, quick=True)
    told: dict[int, str] = {}
    for run in runs:
        left = [one.number for one in found.mutants if one.number not in told]
        for done, (number, difference) in enumerate(_tried(folder, run.job, [0, *left])):
            if number == 0 and difference is not None:
                raise ValueError(f"{run.name}: no mutant, and yet {difference}")
            if difference is not None:
                told[number] = f"{run.name}: {difference}"
            if on_progress:
                on_progress(run.name, done, len(left))
    return told, [one for one in found.mutants if one.number not in told]


def _tried(folder: Path, job: Job, numbers: list[int]) -> Iterator[tuple[int, str | None]]:
    """Each number with what was found; a model that dies is started again behind the mutant."""
    while numbers:
        with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
            path = Path(scratch) / "job"
            store(job, path)
            died = False
            try:
                tool.run(
                    folder,
                    TOP,
                    BENCH,
                    log=Path(scratch) / "run.log",
                    COUNTERFLOW_JOB=str(path),
                    COUNTERFLOW_MUTANTS=",".join(map(str, numbers)),
                )
            except tool.SimulationError:
                died = True
            while numbers and (left := path.with_suffix(f".{numbers[0]}")).exists():
                yield numbers.pop(0), pickle.loads(left.read_bytes())
        if died and numbers:
            yield numbers.pop(0), "the model ended"
