"""What a bench is asked to do and what it found, passed between processes as one file each."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Token
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.chain import Chain
from counterflow.golden.training.start import initial_chain
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings
from counterflow.sim.bench.counters import Counted
from counterflow.sim.bench.reports import SlotTime


@dataclass(frozen=True)
class Job:
    """One simulation: `tokens` over `samples` (input format, [N, inputs]) and `labels` [N].

    ``settings`` are (number of a token that finds an empty chain, what is set before it); without
    any, those of the recipe hold.  ``depth`` is the record's, in cycles.  For `sim.bench.order`:
    ``scenario``; ``stalls``, a pattern of `sim.bench.stalls` for each gate (samples, labels,
    predictions); ``reads``, the most cycles between two accesses of registers in training, 0 for
    none; ``lengths`` of the samples of all tokens where some are spoilt; ``interrupt``, the cycle
    of a reset.  `sim.bench.axi` stalls (samples, registers, predictions), and takes ``depth`` for
    the most cycles that a run may last.  ``near_carry``: so the hardware's counters start
    (`hw.parts.counter`).  ``states`` of all units before the first token, where they are not those
    of ``seed``.
    """

    description: Description
    tokens: tuple[Token, ...]
    samples: NDArray[np.int64]
    labels: NDArray[np.uint8]
    seed: int
    depth: int
    scenario: str = "stalls"
    stalls: tuple[str, str, str] = ("none", "none", "none")
    reads: int = 0
    lengths: tuple[int, ...] = ()
    interrupt: int = 0
    progress: Path | None = None
    slots_shown: int = 24
    settings: tuple[tuple[int, Settings], ...] = ()
    near_carry: bool = False
    states: tuple[State, ...] = ()

    def chain(self, schedule: Schedule) -> Chain:
        """The golden model before the first token."""
        if not self.states:
            return initial_chain(self.description, schedule, self.seed)
        return Chain(self.description, schedule, [state.copy() for state in self.states])

    def runs(self) -> list[tuple[Settings | None, tuple[Token, ...]]]:
        """What is set before each run of tokens, and they."""
        found: list[tuple[Settings | None, tuple[Token, ...]]] = []
        end = len(self.tokens)
        for start, change in reversed(self.settings or ((0, None),)):
            found.append((change, self.tokens[start:end]))
            end = start
        return found[::-1]


@dataclass
class Found:
    """What a bench measured.

    ``seconds`` are those of running and comparing, without building and loading; ``utilisation``
    is None where the run was too short for a steady state; ``counters`` were held to golden's
    beside the ``compared`` values.
    """

    cycles: int = 0
    compared: int = 0
    mismatches: int = 0
    first_divergence: str | None = None
    utilisation: float | None = None
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    golden_losses: list[float] = field(default_factory=list)
    correct: list[bool] = field(default_factory=list)
    slots: list[SlotTime] = field(default_factory=list)
    counters: int = 0

    def differ(self, text: str, count: int = 1) -> None:
        """`count` differences more; `text` places the first of them."""
        self.mismatches += count
        self.first_divergence = self.first_divergence or text

    def check(self, what: str, found: Any, expected: Any) -> None:
        """Hold an array, or a number, to golden's."""
        got, want = np.asarray(found), np.asarray(expected)
        self.compared += want.size
        if got.shape != want.shape:
            self.differ(f"{what} has the shape {got.shape}, golden has {want.shape}")
            return
        wrong = np.argwhere(got != want)
        if len(wrong):
            place = tuple(int(one) for one in wrong[0])
            text = f"{what}{list(place) or ''} is {got[place]}, golden has {want[place]}"
            self.differ(text, len(wrong))

    def count(self, counted: Sequence[Counted]) -> None:
        """Hold counters of the hardware to what they must show."""
        self.counters = max(self.counters, len({one.name for one in counted}))
        for one in counted:
            if one.found != one.expected:
                self.differ(f"counter {one.name} is {one.found}, expected {one.expected}")


def store(value: object, path: Path) -> None:
    """Write atomically."""
    temporary = path.with_suffix(".part")
    temporary.write_bytes(pickle.dumps(value))
    temporary.replace(path)


def load(path: Path) -> Any:
    """What `store` wrote."""
    return pickle.loads(path.read_bytes())
