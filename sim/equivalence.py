"""Proofs that a mutant changes nothing that anyone sees, whatever comes from outside, for ever.

The design and a mutant stand beside each other with common registers.  ABC's property directed
reachability proves that no register ever gets another value and no output differs, or shows inputs
after which one does.  Then the registers that do differ become the mutant's own, and ABC starts
again, until only outputs are left to differ.  That is an induction over the cycles: what is common
was equal in each so far.  Where ABC is not done soon, random walks show an output that differs, or
which registers do.
"""

from __future__ import annotations

import math
import re
import resource
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from counterflow.design.tools.programs import ABC
from counterflow.sim.circuit import Circuit

ROUNDS = 40  # in which registers are found to differ
QUICK = 4  # seconds for a proof before random walks look for what differs
PAIR, SHOWN = "pair.aig", "shown"
WAYS = (  # to begin with: at once, or, for what that takes, without what is always equal
    f"read_aiger {PAIR}; scleanup",
    f"&r {PAIR}; &scl; &lcorr; &scorr; &put; scorr",
)
PROVED, DIFFERS, OPEN = "proved", "differs", "open"


class Verdict(NamedTuple):
    """Whether a mutant is `PROVED` to change nothing, or `DIFFERS`, or `OPEN`; and what is known.

    ``said``: which registers differ unseen, by which output it shows, or what came of the proof.
    """

    kind: str
    said: str


def verdict(circuit: Circuit, number: int, seconds: float) -> Verdict:
    """On mutant `number`, after at most about so many `seconds` of processor time in ABC.

    Some proofs take no time; what differs is looked for where one does.
    """
    apart: set[int] = set()
    found = _proof(circuit, number, apart, min(QUICK, seconds))
    if found.kind != OPEN:
        return found
    shown, differing = circuit.walked(number)
    if shown is not None:
        return Verdict(DIFFERS, shown)
    apart |= _whole(circuit, differing)
    return _proof(circuit, number, apart, seconds)


def _proof(circuit: Circuit, number: int, apart: set[int], seconds: float) -> Verdict:
    """The verdict where the registers `apart` may differ, to which ABC adds those that do."""
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        for _ in range(ROUNDS):
            circuit.beside(number, apart).write(Path(scratch) / PAIR)
            before = _spent()
            cycles = _counterexample(Path(scratch), seconds, len(circuit.free))
            seconds -= _spent() - before
            words = ", ".join(sorted({circuit.registers[index][0] for index in apart}))
            if cycles == []:
                return Verdict(PROVED, f"differs unseen: {words}" if apart else "changes nothing")
            if cycles is None:
                return Verdict(OPEN, f"may differ: {words}" if apart else "")
            shown, differing = circuit.replayed(number, cycles)
            if shown is not None:
                return Verdict(DIFFERS, shown)
            more = _whole(circuit, differing)
            if more <= apart:
                raise RuntimeError(f"ABC shows a difference of mutant {number} that is none")
            apart |= more
    return Verdict(OPEN, f"may differ: {words}")


def _whole(circuit: Circuit, registers: set[int]) -> set[int]:
    """All bits of the words in which some `registers` are."""
    return {one for n in registers for one in circuit.words[circuit.registers[n][0]]}


def _counterexample(folder: Path, seconds: float, inputs: int) -> list[list[int]] | None:
    """Inputs in every cycle that make the output of a circuit high; none where it is always low.

    None where nothing is known after so many `seconds`.
    """
    for ways, way in enumerate(WAYS):
        before = _spent()
        answer = _asked(folder, way, seconds / (len(WAYS) - ways))
        seconds -= _spent() - before
        if answer == "1":
            return []
        if answer == "0":
            lines = (folder / SHOWN).read_text(encoding="utf-8").split("\n")
            found = [re.match(rf"[01x]{{{inputs}}}", line) for line in lines[1:]]  # first: state
            return [[int(bit == "1") for bit in one[0]] for one in found if one is not None]
    return None


def _asked(folder: Path, way: str, seconds: float) -> str:
    """ABC's status on the circuit in `folder`: 1 proved, 0 shown in SHOWN; else not known."""
    (folder / SHOWN).unlink(missing_ok=True)
    # The limit is that of the process: of processor time, not of pdr's own clock.
    commands = f"{way}; pdr -nc -T 1000000; print_status; write_cex -a {SHOWN}"
    limit = max(1, math.ceil(seconds))
    result = subprocess.run(
        [ABC.found(), "-c", commands],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1)),
        check=False,
    )
    status = re.search(r"^Status = (-?\d)", result.stdout, re.MULTILINE)
    return status[1] if status else ""


def _spent() -> float:
    """Seconds of processor time in all programs that were run."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
