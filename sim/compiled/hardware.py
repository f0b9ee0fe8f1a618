"""Generated hardware that trains, simulated without Python in the cycle.

It is used as `golden.fast.chain.FastChain` is, so that both can be given the same and compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.bus.registers import WORD_BITS, IntakeRegister, UnitRegister
from counterflow.design.bus.transfers import Transfer, packed
from counterflow.design.parts.names import module_name
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.latency import BUS_SPACING
from counterflow.design.units.slotted import Integers
from counterflow.golden.transfer import Loadable, control_of
from counterflow.golden.units.update import Settings
from counterflow.hw.tops.verilog import to_verilog
from counterflow.sim.compiled.library import Gate, Library, Work, build_library
from counterflow.sim.compiled.predictions import Predictions
from counterflow.sim.simulator import SimulationError

SLICE_CYCLES = 1 << 15  # about as many between two reports of progress
DONE, DATA = 1, 2  # bits of a response: taken by a node; where its word starts
COUNTED = (  # in the order of `Counters`
    UnitRegister.PRODUCTS,
    UnitRegister.SLOTS,
    UnitRegister.STALLS,
    UnitRegister.SATURATIONS,
)


@dataclass(frozen=True)
class Stalls:
    """The chance that a stream waits in a cycle in which it could move, and a seed for all."""

    samples: float = 0.0
    labels: float = 0.0
    predictions: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        for chance in (self.samples, self.labels, self.predictions):
            if not 0 <= chance < 1:
                raise ValueError(f"the chance of a stall is {chance}, expected 0 to below 1")


@dataclass(frozen=True)
class Counters:
    """What the design has counted since reset, modulo 2**32; the tuples have an entry a unit."""

    cycles: int
    tokens: int
    products: tuple[int, ...]
    slots: tuple[int, ...]
    stalls: tuple[int, ...]
    saturations: tuple[int, ...]


OnSlice = Callable[[int, Counters], None]


class Hardware(Loadable):
    """The chain of `plan` in simulation, to be closed after use.

    ``verilog`` is the plan's own unless given.  ``cycles`` counts the clock since the last `reset`.
    """

    def __init__(
        self, plan: Plan, verilog: str | None = None, stalls: Stalls | None = None
    ) -> None:
        self.plan, self.stalls = plan, stalls or Stalls()
        self._made = Predictions(plan.schedule, 0)
        text, streams = verilog or to_verilog(plan), self._made.streams
        top = module_name(plan.description.name)
        self._built = build_library(text, top, predictions=streams)
        self._library = Library(self._built)
        self.reset()

    def another(self) -> Hardware:
        """A simulation of the same design that begins anew, and is to be closed by itself."""
        other = copy.copy(self)
        other._library = Library(self._built)
        other.reset()
        return other

    def __enter__(self) -> Hardware:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the simulation, which cannot be used afterwards."""
        self._library.close()

    def reset(self) -> None:
        """Start anew, with nothing in any memory: as after power-on."""
        description, waits = self.plan.description, self.stalls
        self._work = work = Work(
            inputs=description.elements,
            element_bits=description.formats.input.bits,
            random=2 * waits.seed + 1,
        )
        for gate, chance in (
            (work.sample_gate, waits.samples),
            (work.label_gate, waits.labels),
            (work.prediction_gate, waits.predictions),
        ):
            gate.stall = int(chance * Gate.CHANCE)
        self._library.power_on()
        self._slots = 0

    @property
    def cycles(self) -> int:
        return int(self._work.cycles)

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs)."""
        word = control_of(settings)
        for stage in self.plan.schedule.stages:
            self.access([Transfer(True, stage.index + 1, UnitRegister.CONTROL, word)])

    def counters(self) -> Counters:
        """Read what is counted."""
        return self._counters(self.access(self._counter_table()))

    def access(self, table: Sequence[Transfer] | Integers) -> Integers:
        """Make register accesses of a chain at rest; the words of the responses."""
        rows = np.asarray(table, np.int64)
        self._begin(0, 0)
        return self._drive(self._access_cycles(rows), rows)

    def _begin(self, tokens: int, samples: int) -> None:
        """So many tokens are to come, and predictions of so many samples."""
        work, self._made = self._work, Predictions(self.plan.schedule, samples)
        work.point(predictions=self._made.words, predicted=self._made.taken)
        work.tokens, work.transfers = tokens, self._made.count
        work.labels_taken = work.samples_taken = 0

    def run_all(
        self,
        kinds: NDArray[np.uint8],
        indices: Integers,
        samples: NDArray[np.integer[Any]],
        labels: NDArray[np.integer[Any]],
        *,
        limit: int | None = None,
        on_slice: OnSlice | None = None,
    ) -> tuple[Integers, Integers]:
        """Feed tokens and wait until the chain rests; arguments, results as of `FastChain.run_all`.

        ``on_slice`` is called after every so many slots with the tokens admitted of this run, and
        with what was counted when those slots began.  SimulationError after ``limit`` cycles, and
        when nothing moves any more.
        """
        real, schedule = kinds != Kind.BUBBLE, self.plan.schedule
        small = samples.dtype == np.uint8
        arrays: dict[str, NDArray[Any]] = {
            "kinds": np.ascontiguousarray(kinds, np.uint8),
            "indices": np.ascontiguousarray(indices, np.int64),
            "samples": np.ascontiguousarray(samples, np.uint8 if small else np.int32),
            "labels": np.ascontiguousarray(labels, np.uint8),
        }
        if real.any() and not 0 <= indices[real].min() <= indices[real].max() < len(samples):
            raise ValueError(f"a token names a sample outside 0..{len(samples) - 1}")
        if samples.shape[1:] != (self.plan.description.elements,) or len(labels) != len(samples):
            raise ValueError(f"samples are of shape {samples.shape}, labels of {labels.shape}")
        work = self._work
        work.point(**arrays)
        work.element_bytes = 1 if small else 4
        self._begin(len(kinds), int(real.sum()))
        self._feed(self._limit(len(kinds)) if limit is None else limit, on_slice)
        rest = schedule.delay + len(schedule.stages) + 4
        self._library.drive(work, rest * schedule.interval, stop=False)
        self._slots += len(kinds)
        made = self._made  # before counters are read
        self._check_rest()
        return made.decoded(kinds[real])

    def _limit(self, tokens: int) -> int:
        """Cycles that no run should need: twice what the stalls make of the slots."""
        description, waits = self.plan.description, self.stalls
        schedule = self.plan.schedule
        streams = max(
            description.elements / (1 - waits.samples),
            description.outputs / (1 - waits.predictions),
            1 / (1 - waits.labels) + schedule.interval,
        )
        slots = tokens + 2 * (schedule.delay + len(schedule.stages)) + 8
        return int(2 * slots * (schedule.interval + streams))

    def _feed(self, limit: int, on_slice: OnSlice | None) -> None:
        """Drive until all tokens are admitted and all predictions have come."""
        work, interval = self._work, self.plan.schedule.interval
        table = self._counter_table() if on_slice else np.empty((0, 4), np.int64)
        slots = min(max(work.tokens // 8, 1), SLICE_CYCLES // interval)
        length = -(-max(slots * interval, self._access_cycles(table)) // interval) * interval
        begun = moved = self.cycles
        patience, seen = self._limit(0), (-1, -1, -1, -1)
        while min(work.samples_taken, work.labels_taken) < work.tokens or (self._made.missing):
            now = (work.labels_taken, work.samples_taken, work.element, int(self._made.taken.sum()))
            if now != seen:
                seen, moved = now, self.cycles
            if self.cycles >= min(begun + limit, moved + patience):
                raise SimulationError(
                    f"the hardware has not finished after {self.cycles - begun} cycles, "
                    f"{self.cycles - moved} of them idle: it has admitted {work.labels_taken} of "
                    f"{work.tokens} tokens and sent {self._made.progress}"
                )
            left = begun + limit - self.cycles
            answers = self._drive(min(length, max(left, self._access_cycles(table))), table)
            if on_slice:
                on_slice(now[0], self._counters(answers))

    def _drive(self, cycles: int, table: Integers) -> Integers:
        """Simulate at most `cycles` cycles with the register accesses of a table at their start."""
        work = self._work
        requests, responses = packed(table), np.zeros(len(table), np.uint64)
        work.point(requests=requests, responses=responses)
        work.request_count, work.requests_taken, work.responded = len(table), 0, 0
        self._library.drive(work, cycles, stop=True)
        refused = np.flatnonzero(responses >> np.uint64(DONE) & np.uint64(1) == 0)
        if len(refused) or work.responded != len(table):
            which = Transfer(*table[refused[0] if len(refused) else 0].tolist())
            raise SimulationError(f"no node of the register bus took the access {which}")
        return (responses >> np.uint64(DATA)).astype(np.int64)

    def _access_cycles(self, table: Integers) -> int:
        """Cycles that register accesses need, and a few more."""
        return BUS_SPACING * len(table) + 2 * len(self.plan.schedule.stages) + 8

    def _counter_table(self) -> Integers:
        rows: list[tuple[int, int]] = [(0, IntakeRegister.CYCLES), (0, IntakeRegister.TOKENS)]
        units = [stage.index + 1 for stage in self.plan.schedule.stages]
        rows += [(unit, register) for register in COUNTED for unit in units]
        return np.array([(False, node, register, 0) for node, register in rows], np.int64)

    def _counters(self, answers: Integers) -> Counters:
        cycles, tokens, *rest = answers.tolist()
        units = len(self.plan.schedule.stages)
        columns = [tuple(rest[start : start + units]) for start in range(0, len(rest), units)]
        return Counters(cycles, tokens, *columns)

    def _check_rest(self) -> None:
        """Every unit has made a slot of every token."""
        for stage, slots in zip(self.plan.schedule.stages, self.counters().slots, strict=True):
            if slots != self._slots % (1 << WORD_BITS):
                raise SimulationError(
                    f"{stage.name} has made {slots} slots of {self._slots} tokens"
                )
