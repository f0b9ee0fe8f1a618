"""Comparing a record of the hardware with the golden trace, and saying where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.timing import Cycles
from counterflow.design.units.watched import Field

UNKNOWN = 2  # a recorded bit that a simulator with four states does not know


@dataclass(frozen=True)
class Divergence:
    """The first place where hardware and golden model differ; nothing is found where it is X."""

    cycle: int
    slot: int
    field: Field
    index: int | None
    expected: int
    found: int | None

    def __str__(self) -> str:
        index = "" if self.index is None else f" at index {self.index}"
        found = "unknown (X)" if self.found is None else self.found
        return (
            f"cycle {self.cycle}, slot {self.slot}: {self.field}{index} is {found}, "
            f"golden has {self.expected} (made by {self.field.made_by})"
        )


class Layout:
    """Where each field stands in a recorded row of bits, lowest first."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        widths = np.array([field.bits for field in fields])
        self.bits = int(widths.sum())
        self.start = np.concatenate([[0], np.cumsum(widths)])
        self._column = np.repeat(np.arange(len(fields)), widths)
        # Most fields are a bit or few: of the eight bytes of a value only those that it can take.
        counts = -(-widths // 8)
        before = np.cumsum(counts) - counts
        columns = np.repeat(np.arange(len(fields)), counts)
        self._bytes = 8 * columns + np.arange(len(columns)) - before[columns]
        self._places = np.arange(self.bits) + (8 * before - self.start[:-1])[self._column]
        self._ranks = _ranks(self.fields)

    def to_bits(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Rows of values [cycles, fields] as rows of bits [cycles, bits]."""
        little = np.ascontiguousarray(rows, dtype="<i8").view(np.uint8)
        taken = np.take(little, self._bytes, axis=1)
        unpacked = np.unpackbits(taken, axis=1, bitorder="little")
        return np.take(unpacked, self._places, axis=1)  # indexing would give another layout

    def field_of(self, bit: int) -> Field:
        """The field that a bit of a row belongs to."""
        return self.fields[int(self._column[bit])]

    def part(self, bits: NDArray[np.uint8], column: int) -> NDArray[np.uint8]:
        """One field's bits in one row or in several."""
        return bits[..., self.start[column] : self.start[column + 1]]

    def value(self, bits: NDArray[np.uint8], column: int) -> int:
        """One field's value in one row of bits."""
        field, part = self.fields[column], self.part(bits, column)
        number = int(sum(int(bit) << place for place, bit in enumerate(part)))
        if field.signed and number >> (field.bits - 1):
            number -= 1 << field.bits
        return number

    def differences(
        self, expected: NDArray[np.uint8], found: NDArray[np.uint8]
    ) -> list[tuple[int, int]]:
        """(row, column) of every differing value, in order; in a row causes come first."""
        rows, bits = np.nonzero(expected != found)
        places = {(int(r), int(self._column[b])) for r, b in zip(rows, bits, strict=True)}
        return sorted(places, key=lambda place: (place[0], self._ranks[place[1]], place[1]))


def _ranks(fields: Sequence[Field]) -> list[tuple[int, int]]:
    """Where each field stands among those of its cycle: sorted by these, causes come first.

    Some units are wires and pass on in the same cycle what they are given, activations along the
    units and gradients against them.
    """
    number = {unit: index for index, unit in enumerate(dict.fromkeys(one.unit for one in fields))}
    return [
        (1, -number[field.unit]) if field.path.startswith("dx") else (0, column)
        for column, field in enumerate(fields)
    ]


def _events(schedule: Schedule, field: Field) -> tuple[int, Cycles]:
    """Cycle of slot 0 of a field's unit, and those in which the field has values of it."""
    owner, member = field.path.split(".")
    if field.unit == "intake":
        start = schedule.intake_start
        return start, schedule.intake_times if owner == "x" else np.array([start])
    unit = schedule.by_name[field.unit]
    return unit.start, unit.events(owner, member)


def locate(
    schedule: Schedule,
    layout: Layout,
    cycle: int,
    column: int,
    expected: NDArray[np.uint8],
    found: NDArray[np.uint8],
) -> Divergence:
    """Describe the difference in one column of one row; slot and index follow from the cycle.

    The index is that of the element in its token or of the word in its memory; a value in a cycle
    in which the schedule has none belongs to the slot that is under way, and has no index.
    """
    field = layout.fields[column]
    start, times = _events(schedule, field)
    slot, index = (cycle - start) // schedule.interval, None
    newest, oldest = ((cycle - int(end)) // schedule.interval for end in (times.min(), times.max()))
    for candidate in range(newest, oldest - 1, -1):
        (place,) = np.nonzero(times == cycle - candidate * schedule.interval)
        if len(place):
            slot, index = candidate, int(place[0])
            break
    return Divergence(
        cycle,
        slot,
        field,
        index,
        layout.value(expected, column),
        None if (layout.part(found, column) == UNKNOWN).any() else layout.value(found, column),
    )
