"""The circuit of a chain with all its mutants, and of the design beside one of them."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from counterflow.design.network.files import write_atomically
from counterflow.design.schedule.planner import Plan
from counterflow.hw.parts import counter
from counterflow.hw.parts.modules import convert
from counterflow.sim.aig import Aig, read
from counterflow.sim.bench.watched_chain import FreeTop
from counterflow.sim.harsh import harsh
from counterflow.sim.mutants import CHAIN, SELECT, SELECT_BITS, Mutants, module_of, with_port, yosys
from counterflow.sim.simulate import TOP
from counterflow.sim.walks import Lanes, Walks, Words, walked

UNSEEN = "response"  # raw: a part of it has no meaning; `answer` has the rest

_UNNAMED = re.compile(r"port\$\d+\$\d+")
_CONNECTED = re.compile(rf"\.\\{_UNNAMED.pattern} ")

Bits = list[tuple[str, int]]
"""(word, bit) of each."""


@dataclass(frozen=True)
class Circuit:
    """All mutants in one circuit, of which inputs choose one, and the names of its bits."""

    aig: Aig
    inputs: Bits
    outputs: Bits
    registers: Bits
    elements: int = 1  # of a sample

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

    @cached_property
    def _lanes(self) -> Lanes:
        return Lanes(self.aig)

    def walked(self, number: int) -> tuple[str | None, set[int]]:
        """(the output by which random walks show a mutant, if any; registers that differ)."""
        free = [self.inputs[index][0] for index in self.free]
        outputs = [word for word, _ in self.outputs]
        ready = outputs.index("samples__ready") if "samples__ready" in outputs else None
        both = np.array([self.given(one, [0] * len(free)) for one in (0, number)], np.int64).T

        def given(inputs: Words) -> Words:
            found = (-both).view(np.uint64)
            found[self.free] = inputs
            return found

        walks = Walks(free, self.elements, seed=number)
        differing, shown = walked(self.aig, self._lanes, walks, given, self.seen, ready)
        if shown is None:
            return None, differing
        word, bit = self.outputs[shown[0]]
        return f"{word}[{bit}] in cycle {shown[1]}", differing

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
        chain = module_of(found.verilog, CHAIN)
        write_atomically(folder / "all.v", f"{_fitting(chosen, chain)}\n{chain}")
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
    inputs, outputs, registers = (
        _names(names, kind, count)
        for kind, count in (
            ("input", circuit.inputs),
            ("output", len(circuit.outputs)),
            ("(?:inv)?latch", circuit.registers),
        )
    )
    return Circuit(circuit, inputs, outputs, registers, plan.description.elements)


def _fitting(top: str, chain: str) -> str:
    """`top` with unnamed ports of its chain called as `chain` calls them.

    They are numbered by where they stand in a whole design, of which this is another.
    """
    head = chain.split(");", 1)[0]
    theirs = sorted(set(_UNNAMED.findall(head)), key=_number)
    ours = sorted(set(_UNNAMED.findall("".join(_CONNECTED.findall(top)))), key=_number)
    if len(ours) != len(theirs):
        raise ValueError(f"the chain has {len(theirs)} unnamed ports, {len(ours)} are connected")
    called = dict(zip(ours, theirs, strict=True))
    return _CONNECTED.sub(lambda one: _UNNAMED.sub(lambda name: called[name[0]], one[0]), top)


def _number(name: str) -> int:
    return int(name.split("$")[1])


def _names(text: str, kind: str, count: int) -> Bits:
    """Of each bit of one kind, the first name in Yosys' list."""
    found: dict[int, tuple[str, int]] = {}
    for index, bit, word in re.findall(rf"^{kind} (\d+) (\d+) (\S+)$", text, re.MULTILINE):
        found.setdefault(int(index), (word, int(bit)))
    return [found.get(index, (f"unnamed {index}", 0)) for index in range(count)]
