"""The numbers of a training, counted by layer and role while the models make them.

Of the integers all is from the golden chain itself: `golden.parts.narrow.watched` tells what each
number was before it was narrowed.  A unit's narrowings precede the chain's record of what the unit
sent or learnt, so that each record says whose they were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from counterflow.design.choice.homes import Home, Homes
from counterflow.design.choice.tally import Tally
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden import chain as integers
from counterflow.golden.parts.narrow import Narrowing, watched
from counterflow.golden.reference import chain as floats
from counterflow.golden.reference.rules import Parameter
from counterflow.golden.reference.units.convolution import Convolution
from counterflow.golden.training.models import Part

Tallies = dict[Home, Tally]


class IntegerWatch:
    """Counts what a golden chain narrows; ``edges``: those of which it saw something, each way."""

    def __init__(self, homes: Homes, schedule: Schedule) -> None:
        self.homes, self.schedule = homes, schedule
        self.tallies: Tallies = defaultdict(Tally)
        self.edges: set[tuple[int, bool]] = set()
        self._borders = {
            (unit.name, border.port): border for unit in schedule.units for border in unit.borders
        }
        self._narrowed: list[Narrowing] = []  # since the last record

    def run(self, chain: integers.Chain, tokens: Sequence[Token], part: Part) -> None:
        """Feed `tokens` to a chain, and count."""
        with watched(self._narrowed.append):
            chain.run(tokens, part.samples, part.labels, self._see)

    def _see(self, record: integers.Record) -> None:
        if isinstance(record, integers.SlotRecord):
            self._parameters(self.schedule.stages[record.stage].name)
            self._narrowed.clear()
        elif isinstance(record, integers.BorderRecord):  # that of a loss follows its own record
            sent = [one for one in self._narrowed if one.what in ("y", "dx")]
            if record.kind.learns:
                self._parameters(record.unit)
                self._sent(record, sent[0] if sent else None)
            self._narrowed[:] = sent[1:]  # one record for each of several ports

    def _sent(self, record: integers.BorderRecord, narrowed: Narrowing | None) -> None:
        """Count what a unit has sent; without a `Narrowing` it is from a table, or passed on."""
        border = self._borders.get((record.unit, record.port))
        if border is None:  # the intake's
            return
        forward = border.path == 0
        homes = self.homes.activations if forward else self.homes.errors
        home = homes.get(border.edge.number)
        if home is None:
            return
        if narrowed is not None:
            self._count(home, narrowed)
        elif home.table and forward:
            self.tallies[home].add(record.values * 2.0**-home.format.frac)
        else:
            return
        self.edges.add((border.edge.number, forward))

    def _parameters(self, unit: str) -> None:
        """Count what has been narrowed of a unit's parameters."""
        for one in self._narrowed:
            home = self.homes.parameters.get((unit, one.what))
            if home is not None:
                self._count(home, one)

    def _count(self, home: Home, one: Narrowing) -> None:
        exact = one.exact * 2.0**-one.frac
        lost = int(((one.exact != 0) & (one.kept == 0)).sum())
        self.tallies[home].add(exact, clipped=one.clipped, lost=lost)


class FloatWatch:
    """Counts the same in the float64 reference, at `edges` only: see `IntegerWatch`."""

    def __init__(self, homes: Homes, schedule: Schedule, edges: set[tuple[int, bool]]) -> None:
        self.homes, self.edges = homes, edges
        self.names = [stage.name for stage in schedule.stages]
        self.tallies: Tallies = defaultdict(Tally)
        self._steps: dict[tuple[str, int], Any] = {}  # last updates of each unit's parameters

    def run(self, chain: floats.Chain, tokens: Sequence[Token], samples: Any, part: Part) -> None:
        """Feed `tokens`, which index `samples` and the labels of `part`, and count."""
        units = dict(zip(self.names, chain.units, strict=True))
        for token in tokens:
            for name, unit in units.items() if token.kind.learns else ():
                if isinstance(unit, Convolution):
                    self._count(name, "operand", unit.weight.predicted(unit.rule))
            chain.run([token], samples, part.labels, self._see)
            for name, unit in units.items():
                for index, one in enumerate(unit.parameters):
                    self._learnt(name, index, one)

    def _see(self, edge: int, path: int, kind: Kind, values: Any) -> None:
        homes = self.homes.errors if path else self.homes.activations
        if kind.learns and (edge, path == 0) in self.edges:
            self.tallies[homes[edge]].add(values)

    def _learnt(self, name: str, index: int, one: Parameter) -> None:
        """Count what has been learnt in this slot, if anything: arrays are replaced by that."""
        before = self._steps.get((name, index))
        self._steps[name, index] = one.step
        if before is one.step or one.previous is one.value:
            return
        self._count(name, "weight", one.value)
        self._count(name, "velocity", one.step)
        self._count(name, "update", one.previous - one.value)

    def _count(self, name: str, role: str, values: Any) -> None:
        home = self.homes.parameters.get((name, role))
        if home is not None:
            self.tallies[home].add(np.asarray(values))
