"""What a bench watches of a unit: every stream that it sends and every port that it writes.

A field counts only where its strobe (``valid`` of a stream, ``write`` of a memory) is high and
reads zero elsewhere: a payload without valid has no meaning.  ``blocked`` is valid without ready,
which a stall-free run never has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from counterflow.design.parts.tokens import KIND_BITS


@dataclass(frozen=True)
class Field:
    """One watched value: `path` is ``stream.member`` or ``memory.member``, in unit `unit`.

    ``lane`` numbers the lanes of a written word; ``made_by`` names the golden operation.
    """

    unit: str
    path: str
    bits: int
    signed: bool = False
    lane: int | None = None
    made_by: str = ""

    def __str__(self) -> str:
        lane = "" if self.lane is None else f"[lane {self.lane}]"
        return f"{self.unit}.{self.path}{lane}"


KIND = (KIND_BITS, False)


def stream_fields(unit: str, name: str, made_by: str, **members: tuple[int, bool]) -> list[Field]:
    """Those of a stream whose `members` have so many bits and perhaps a sign."""
    strobes = [
        Field(unit, f"{name}.{strobe}", 1, made_by=made_by) for strobe in ("valid", "blocked")
    ]
    return strobes + [
        Field(unit, f"{name}.{member}", bits, signed, made_by=made_by)
        for member, (bits, signed) in members.items()
    ]


def write_fields(
    unit: str, memory: str, words: int, lanes: int, parts: Sequence[tuple[str, int]], made_by: str
) -> list[Field]:
    """Those of a memory's write port: a word has in each lane `parts` of so many bits."""
    fields = [
        Field(unit, f"{memory}.write", 1, made_by=made_by),
        Field(unit, f"{memory}.address", max(1, (words - 1).bit_length()), made_by=made_by),
    ]
    for lane in range(lanes):
        fields += [
            Field(unit, f"{memory}.{part}", bits, True, lane, made_by) for part, bits in parts
        ]
    return fields
