"""Comparing a record of the hardware with the golden trace, and saying where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterflow.schedule import Schedule
from counterflow.watch import Field


@dataclass(frozen=True)
class Divergence:
    """The first place where hardware and golden model differ."""

    cycle: int
    slot: int | None
    field: Field
    index: int | None
    expected: int
    found: int

    def __str__(self) -> str:
        slot = "" if self.slot is None else f", slot {self.slot}"
        index = "" if self.index is None else f" at index {self.index}"
        return (
            f"cycle {self.cycle}{slot}: {self.field}{index} is {self.found}, "
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
        self._place = np.arange(self.bits) - self.start[:-1][self._column]

    def to_bits(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Rows of values [cycles, fields] as rows of bits [cycles, bits]."""
        little = np.ascontiguousarray(rows, dtype="<i8").view(np.uint8)
        unpacked = np.unpackbits(little, axis=1, bitorder="little")
        return unpacked[:, self._place + 64 * self._column]

    def value(self, bits: NDArray[np.uint8], column: int) -> int:
        """One field's value in one row of bits."""
        field = self.fields[column]
        part = bits[self.start[column] : self.start[column + 1]]
        number = int(sum(int(bit) << place for place, bit in enumerate(part)))
        if field.signed and number >> (field.bits - 1):
            number -= 1 << field.bits
        return number

    def differences(
        self, expected: NDArray[np.uint8], found: NDArray[np.uint8]
    ) -> list[tuple[int, int]]:
        """(row, column) of every differing value, in order."""
        rows, bits = np.nonzero(expected != found)
        return sorted({(int(r), int(self._column[b])) for r, b in zip(rows, bits, strict=True)})


def locate(
    schedule: Schedule,
    layout: Layout,
    cycle: int,
    column: int,
    expected: NDArray[np.uint8],
    found: NDArray[np.uint8],
) -> Divergence:
    """Describe the difference in one column of one row; the slot follows from the cycle."""
    field = layout.fields[column]
    start = {stage.name: stage.start for stage in schedule.stages}
    begin = start.get(field.unit, schedule.intake_start if field.unit == "intake" else None)
    slot = (cycle - (schedule.loss.start if begin is None else begin)) // schedule.interval
    index = None
    owner = field.path.split(".", maxsplit=1)[0]
    if owner in ("weights", "biases"):
        names = [str(f) for f in layout.fields]
        address = names.index(f"{field.unit}.{owner}.address")
        index = layout.value(found, address)
    return Divergence(
        cycle,
        slot,
        field,
        index,
        layout.value(expected, column),
        layout.value(found, column),
    )
