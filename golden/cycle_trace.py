"""The golden trace: every watched value in every clock cycle of a stall-free run.

Values come from the golden chain's records, cycles from the schedule.  What is still to come is
kept as events, which grow with the length of the chain; rows are made of them in blocks, so that
runs of any length take little memory.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan
from counterflow.design.schedule.watch import fields
from counterflow.design.units.timing import Cycles
from counterflow.golden.chain import BorderRecord, LossRecord, Record, SlotRecord
from counterflow.golden.parts.narrow import Integers

BLOCK = 1 << 10  # cycles whose events are kept together, until their rows are asked for


class Trace:
    """Collects records of a golden chain (as its observer) and hands out blocks of cycles.

    ``end`` is the first cycle in which nothing is known to happen any more.

    Rows are cycles, columns are `design.schedule.watch.fields`; cycle 0 is the one in which the
    first sample's first element is accepted, and the first token must be a sample.  It may find an
    empty chain that has made ``before`` slots: the tokens of those come back among the first of
    these.
    """

    def __init__(self, plan: Plan, before: int = 0) -> None:
        self.schedule = plan.schedule
        self.fields = fields(plan)
        self.base = 0
        self.before = before
        self.slots = 0
        self.end = 0
        self._borders = {
            (unit.name, border.port): border
            for unit in self.schedule.units
            for border in unit.borders
        }
        self._losses = {loss.name: loss for loss in self.schedule.losses}
        self._column: dict[str, int] = {}
        for index, field in enumerate(self.fields):
            self._column.setdefault(f"{field.unit}.{field.path}", index)
        self._known: dict[tuple[str, ...], Integers] = {}
        self._events: dict[int, list[tuple[Cycles, Integers, Integers]]] = {}

    def __call__(self, record: Record) -> None:
        """Enter one record of the golden chain."""
        if isinstance(record, LossRecord):
            self._loss(record)
        elif isinstance(record, BorderRecord):
            self._border(record)
        else:
            self._slot(record)

    def complete(self) -> int:
        """Cycles before this one can no longer change."""
        return self.schedule.intake_start + self.slots * self.schedule.interval

    def take(self, until: int) -> Integers:
        """Rows of the cycles from the last call's end to `until`; must be complete or the end."""
        rows = np.zeros((until - self.base, len(self.fields)), np.int64)
        for block in range(self.base // BLOCK, (until - 1) // BLOCK + 1):
            later = []
            for cycles, columns, values in self._events.pop(block, ()):
                now = int(np.searchsorted(cycles, until))
                rows[(cycles[:now] - self.base)[:, None], columns] = values[:now]
                if now < len(cycles):
                    later.append((cycles[now:], columns, values[now:]))
            if later:
                self._events[block] = later
        self.base = until
        return rows

    def _enter(self, cycles: Cycles, columns: Integers, values: Integers) -> None:
        """Values [n, columns] of these columns in `cycles` [n] that increase."""
        self.end = max(self.end, int(cycles[-1]) + 1)
        first, last = int(cycles[0]) // BLOCK, int(cycles[-1]) // BLOCK
        if first == last:
            self._events.setdefault(first, []).append((cycles, columns, values))
            return
        bounds = np.searchsorted(cycles, np.arange(first + 1, last + 1) * BLOCK).tolist()
        for block, (start, stop) in enumerate(pairwise([0, *bounds, len(cycles)]), first):
            if stop > start:
                event = (cycles[start:stop], columns, values[start:stop])
                self._events.setdefault(block, []).append(event)

    def _put(self, cycles: Cycles, stream: str, **members: NDArray[np.int64] | int) -> None:
        """One element of `stream` a cycle, with its strobe."""
        given = {"write" if "address" in members else "valid": 1, **members}
        columns = self._columns(stream, *given)
        values = np.empty((len(cycles), len(given)), np.int64)
        for place, value in enumerate(given.values()):
            values[:, place] = value
        self._enter(cycles, columns, values)

    def _columns(self, stream: str, *members: str) -> Integers:
        """The columns of these members of a stream."""
        asked = (stream, *members)
        if asked not in self._known:
            self._known[asked] = np.array([self._column[f"{stream}.{one}"] for one in members])
        return self._known[asked]

    def _slot(self, record: SlotRecord) -> None:
        stage, one = self.schedule.stages[record.stage], np.ones((1, 1), np.int64)
        for path in stage.strobes:
            cycles = stage.events(*path.split(".")) + self._shift(record.slot)
            self._enter(cycles, self._columns(stage.name, path), one)
        if record.state is None:
            return
        slot = record.slot - self.before
        for memory, cycles, values in stage.written(record.state, slot, self.before):
            name = f"{stage.name}.{memory}"
            self._put(cycles, name, address=np.arange(len(cycles)))
            first = self._column[f"{name}.address"] + 1
            self._enter(cycles, np.arange(first, first + values.shape[1]), values)

    def _border(self, record: BorderRecord) -> None:
        token, interval = record.token - self.before, self.schedule.interval
        members: dict[str, NDArray[np.int64] | int] = {"data": record.values}
        if record.unit == "intake":
            cycles = self.schedule.intake_times + token * interval
            members["kind"] = int(record.kind)
        else:
            border = self._borders[record.unit, record.port]
            cycles = border.cycles(token, interval, self.before)
            if border.forward:
                members["kind"] = int(record.kind)
            elif border.edge.returned:
                members = {"data": record.values[0], "x": record.values[1]}
        self._put(cycles, f"{record.unit}.{record.port}", **members)

    def _shift(self, slot: int) -> int:
        """Cycles from the slots of token 0 in the schedule to those of this token."""
        return (slot - self.before) * self.schedule.interval

    def _loss(self, record: LossRecord) -> None:
        schedule, kind = self.schedule, int(record.kind)
        shift, loss = self._shift(record.slot), self._losses[record.unit]
        if loss is schedule.loss:
            admitted = np.array([schedule.intake_start + shift])
            self._put(admitted, "intake.admitted", kind=kind, label=record.label)
        cycles = loss.start + shift + loss.output_offsets
        if record.kind is not Kind.BUBBLE:
            last = np.arange(len(cycles)) == len(cycles) - 1
            self._put(
                cycles,
                f"{loss.name}.predictions",
                score=record.logits,
                loss=record.loss,
                kind=kind,
                last=last.astype(np.int64),
            )
        self.slots = record.slot + 1 - self.before
