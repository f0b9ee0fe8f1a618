"""Faults by the hundred: mutants of a design's netlist, and which of them the benches find.

Yosys changes one bit of one port of one cell: inverts it, ties it, or inverts it where another bit
is set.  All mutants are in one model, of which an input chooses one, so that it is built once.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from counterflow.design.network.files import write_atomically
from counterflow.design.schedule.planner import Plan
from counterflow.design.tools import synthesis
from counterflow.sim import simulator as tool
from counterflow.sim.bench.job import Job
from counterflow.sim.exercise import CYCLES, Exercise, long_runs
from counterflow.sim.harsh import CLASH
from counterflow.sim.session import Session
from counterflow.sim.simulate import TOP, all_runs, worst_verilog

CHAIN = f"{TOP}__chain"
SELECT, SELECT_BITS = "mutsel", 16
BENCH = "counterflow.sim.bench.mutants"
LONG = 300  # times as many samples as the other runs has the first of them
_CLOCK = re.compile(r"-port \S*CLK ")


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
        design = worst_verilog(plan)
        write_atomically(folder / "design.v", design)
        yosys(
            folder,
            f"read_verilog design.v; hierarchy -top {CHAIN}; proc; flatten",
            # What is constant for any input goes first: its mutants would change nothing.
            "memory -nomap; opt -full; wreduce; opt -full; opt_clean",
            f"mutate -list {count + count // 4 + 8} -seed {seed} -o mutants.txt {CHAIN}",
            "write_rtlil base.il",
        )
        lines = (folder / "mutants.txt").read_text(encoding="utf-8").splitlines()
        of_design = [line for line in lines if _is_of_design(line, design.splitlines())][:count]
        found = tuple(_mutant(number, line) for number, line in enumerate(of_design, start=1))
        yosys(
            folder,
            "read_rtlil base.il",
            *(one.command.replace("mutate ", _chosen(one.number), 1) for one in found),
            "opt_clean; write_verilog -noattr mutants.v",
        )
        chain = (folder / "mutants.v").read_text(encoding="utf-8")
        top = with_port(module_of(design, TOP), f"  reg [{SELECT_BITS - 1}:0] {SELECT} = 0;\n")
        return Mutants(found, f"{top}\n{chain}")


def module_of(verilog: str, name: str) -> str:
    """The text of one module."""
    (found,) = re.findall(rf"^module {name}\(.*?^endmodule$", verilog, re.DOTALL | re.MULTILINE)
    return str(found)


def with_port(top: str, declared: str, *, port: bool = False) -> str:
    """A top module around the chain, with a signal `declared` that chooses the mutant.

    As one of its ports, too, if wanted.
    """
    head, body = top.split(";\n", 1)
    instance = re.compile(rf"({CHAIN} chain \()")
    body, found = instance.subn(rf"\1\n    .{SELECT}({SELECT}),", body)
    if found != 1:
        raise ValueError(f"the bench has {found} chains")
    if port:
        head = head.replace("(", f"({SELECT}, ", 1)
    return f"{head};\n{declared}{body}"


def _is_of_design(mutation: str, lines: Sequence[str]) -> bool:
    """Whether what a mutation changes is of the network: no clock, and not what `harsh` added.

    A model of cycles has one clock, and so have Yosys' memories.
    """
    sources = re.findall(r"-src design\.v:(\d+)", mutation)
    return not _CLOCK.search(mutation) and not any(CLASH in lines[int(n) - 1] for n in sources)


def yosys(folder: Path, *commands: str) -> None:
    """Run Yosys on a script of `commands` in `folder`; too many for a command line."""
    write_atomically(folder / "script.ys", "\n".join(commands))
    synthesis.run_apart(["-s", "script.ys"], folder)


def _chosen(number: int) -> str:
    return f"mutate -ctrl {SELECT} {SELECT_BITS} {number} "


def _mutant(number: int, line: str) -> Mutant:
    return Mutant(number, re.sub(r" -src \S+", "", line))


def runs_of(plan: Plan, plain: Job, samples: int) -> tuple[list[Exercise], list[Exercise]]:
    """What a mutant has to survive: the plain run and the harsh ones; and long ones."""

    def named(run: Exercise) -> Exercise:
        job = replace(run.job, scenario="cycles") if run.bench == CYCLES else run.job
        return run._replace(name=run.name or "plain", job=job)

    long = long_runs(plan, replace(plain, near_carry=True), LONG * samples)
    return [*map(named, all_runs(plan, plain, samples))], [*map(named, long)]


Told = Callable[[str, int, int], None]


@dataclass
class Standing:
    """How the runs found mutants, by their numbers, and how many runs the others survived."""

    found: dict[int, str] = field(default_factory=dict)
    survived: dict[int, int] = field(default_factory=dict)


def run_all(
    mutants: Mutants,
    runs: Sequence[Exercise],
    standing: Standing,
    *,
    on_progress: Told,
    spared: Container[int] = (),
) -> list[Mutant]:
    """Go on from `standing`, which is kept up; the mutants that nothing found.

    Each run tries what is left, without those that are `spared`.  The design without a mutant is
    run first and may not differ, or ValueError is raised.  ``on_progress`` hears a run's name,
    mutants tried and to try.
    """
    folder = tool.build(mutants.verilog, TOP, quick=True)
    numbers = [one.number for one in mutants.mutants]
    for index, run in enumerate(runs):
        left = [
            number
            for number in numbers
            if number not in standing.found
            and number not in spared
            and standing.survived.get(number, 0) <= index
        ]
        for done, (number, difference) in enumerate(_tried(folder, run.job, left and [0, *left])):
            if number == 0 and difference is not None:
                raise ValueError(f"{run.name}: no mutant, and yet {difference}")
            if difference is not None:
                standing.found[number] = f"{run.name}: {difference}"
            elif number:
                standing.survived[number] = index + 1
            on_progress(run.name, done, len(left))
    return [one for one in mutants.mutants if one.number not in standing.found]


def _tried(folder: Path, job: Job, numbers: Sequence[int]) -> Iterator[tuple[int, str | None]]:
    """Each number with what was found; a model that dies is started again behind the mutant."""
    waiting = list(numbers)
    while waiting:
        with Session(folder, TOP, most=len(waiting)) as session:
            died = False
            while waiting and not died:
                number = waiting.pop(0)
                said: str | None = "the model ended"
                try:
                    said = session.run(job, BENCH, number=number).first_divergence
                except tool.SimulationError:
                    died = True
                yield number, said
