"""The circuit of a chain with all its mutants, and of the design beside one of them."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from counterflow.design.network.files import write_atomically
from counterflow.design.schedule.planner import Plan
from counterflow.hw.parts import counter
from counterflow.hw.parts.modules import convert
from counterflow.sim.aig import Aig, read
from counterflow.sim.bench.watched_chain import FreeTop
from counterflow.sim.harsh import harsh
from counterflow.sim.mutants import CHAIN, SELECT, SELECT_BITS, Mutants, module_of, with_port, yosys
from counterflow.sim.simulate import TOP

UNSEEN = "response"  # raw: a part of it has no meaning; `answer` has the rest

Bits = list[tuple[str, int]]
"""(word, bit) of each."""


@dataclass(frozen=True)
class Circuit:
    """All mutants in one circuit, of which inputs choose one, and the names of its bits."""

    aig: Aig
    inputs: Bits
    outputs: Bits
    registers: Bits

    @cached_property
    def free(self) -> list[int]:
        """The inputs that come from outside."""
        return [index for index, (word, _) in enumerate(self.inputs) if word != SELECT]

    @cached_property
    def seen(self) -> list[int]:
        """The outputs that are compared."""
        return [index for index, (word, _) in enumerate(self.outputs) if word != UNSEEN]

    @cached_property
    def words(self) -> dict[str, set[int]]:
        """The registers of each word."""
        found: dict[str, set[int]] = defaultdict(set)
        for index, (word, _) in enumerate(self.registers):
            found[word].add(index)
        return found

    def given(self, number: int, free: list[int]) -> list[int]:
        """All inputs, with mutant `number` chosen."""
        values = [number >> bit & 1 if word == SELECT else 0 for word, bit in self.inputs]
        for index, value in zip(self.free, free, strict=True):
            values[index] = value
        return values

    def beside(self, number: int, apart: set[int]) -> Aig:
        """The design and a mutant of it, whose registers are common but those `apart`.

        The one output is high where a common register is about to differ, or an output does.
        """
        own = sorted(apart)
        count = self.aig.registers
        pair = Aig(len(self.free), count + len(own))
        inputs = [pair.input(index) for index in range(len(self.free))]
        first = [pair.register(index) for index in range(count)]
        second = list(first)
        for place, index in enumerate(own):
            second[index] = pair.register(count + place)
        nexts, outputs = self.aig.copy(pair, self.given(0, inputs), first)
        other_nexts, other_outputs = self.aig.copy(pair, self.given(number, inputs), second)
        pair.nexts = nexts + [other_nexts[index] for index in own]
        common = [index for index in range(count) if index not in apart]
        pair.outputs = [
            pair.any(
                [pair.differ(nexts[index], other_nexts[index]) for index in common]
                + [pair.differ(outputs[index], other_outputs[index]) for index in self.seen]
            )
        ]
        return pair

    def replayed(self, number: int, cycles: list[list[int]]) -> tuple[str | None, set[int]]:
        """(the output that shows a mutant in such a run, if any; registers that ever differed)."""
        first = second = [0] * self.aig.registers
        differing: set[int] = set()
        for cycle, free in enumerate(cycles):
            first, outputs = self.aig.step(self.given(0, free), first)
            second, others = self.aig.step(self.given(number, free), second)
            for index in self.seen:
                if outputs[index] != others[index]:
                    word, bit = self.outputs[index]
                    return f"{word}[{bit}] in cycle {cycle}", differing
            differing |= {n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b}
        return None, differing


def circuit_of(plan: Plan, found: Mutants) -> Circuit:
    """The circuit of all mutants in `found`; what comes into the chain of `plan` is free.

    Words that no memory has, and what is set by no reset, are zeros.
    """
    with counter.near_carry():
        top = module_of(harsh(convert(FreeTop(plan=plan), TOP, compact=plan.compact)), TOP)
    with tempfile.TemporaryDirectory(prefix="counterflow-") as scratch:
        folder = Path(scratch)
        chosen = with_port(top, f"  input [{SELECT_BITS - 1}:0] {SELECT};\n", port=True)
        write_atomically(folder / "all.v", f"{chosen}\n{module_of(found.verilog, CHAIN)}")
        yosys(
            folder,
            f"read_verilog all.v; hierarchy -check -top {TOP}; proc; flatten; delete t:$scopeinfo",
            "opt_clean; memory -nomap; opt_clean; memory_map",
            "setundef -zero; setundef -undriven -zero; setundef -init -zero; opt -fast",
            "techmap; opt -fast; async2sync; dffunmap; opt_clean",
            "aigmap; setundef -zero; opt_clean; write_aiger -zinit -map names all.aig",
        )
        names = (folder / "names").read_text(encoding="utf-8")
        circuit = read(folder / "all.aig")
    return Circuit(
        circuit,
        *(
            _names(names, kind, count)
            for kind, count in (
                ("input", circuit.inputs),
                ("output", len(circuit.outputs)),
                ("(?:inv)?latch", circuit.registers),
            )
        ),
    )


def _names(text: str, kind: str, count: int) -> Bits:
    """Of each bit of one kind, the first name in Yosys' list."""
    found: dict[int, tuple[str, int]] = {}
    for index, bit, word in re.findall(rf"^{kind} (\d+) (\d+) (\S+)$", text, re.MULTILINE):
        found.setdefault(int(index), (word, int(bit)))
    return [found.get(index, (f"unnamed {index}", 0)) for index in range(count)]
