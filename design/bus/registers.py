"""The register map: node 0 is the intake, node 1 + s is the unit with weights number s.

This is its only description.  The decoding in hardware, the addresses on AXI4-Lite, the Python
driver, the C header and the page of documentation are made from it.

One access names a node, a register, and a 32-bit word to write or to read.  The response says
whether a node took the access; an unmapped register, or weight access to a unit in mid-slot, is
refused.  Weights move through a unit's shift register of one {weight, velocity} pair a lane:

* load: for each lane write WEIGHT, then VELOCITY (which shifts the pair in); then STORE the tile.
* read back: FETCH the tile; for each lane read WEIGHT, then VELOCITY (which shifts to the next).

Biases go the same way with STORE_BIAS and FETCH_BIAS, in words of as many as move at a time: the
outputs of a row of tiles in turns, zeros beyond them.  A word is stored from the uppermost lanes,
to which so many writes bring it, and fetched to the lowest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Self

NODE_BITS = 8
REGISTER_BITS = 4
WORD_BITS = 32
PRODUCTS_BITS = 48  # of the counter that a register of a word cannot show at once

WORD_BYTES = WORD_BITS // 8
NODE_BYTES = WORD_BYTES << REGISTER_BITS
ADDRESS_BITS = NODE_BITS + REGISTER_BITS + WORD_BYTES.bit_length() - 1


def first_count(bits: int, *, near_carry: bool) -> int:
    """What a counter of so many bits shows after reset; `near_carry`: as some benches want it."""
    return (1 << (bits - 1)) - 1 if near_carry else 0


class Access(Enum):
    """What a host can do with a register."""

    READ = "read"
    WRITE = "write"
    BOTH = "read, write"


@dataclass(frozen=True, slots=True)
class Field:
    """Some bits of a register, from `low` up."""

    name: str
    low: int
    bits: int
    meaning: str

    @property
    def mask(self) -> int:
        return ((1 << self.bits) - 1) << self.low


class Register(IntEnum):
    """A register of a node: its number, what can be done with it, how many bits mean something.

    A ``signed`` one is sign-extended to a word, the others are filled up with zeros.
    """

    access: Access
    bits: int
    meaning: str
    signed: bool
    fields: tuple[Field, ...]

    def __new__(
        cls,
        number: int,
        access: Access,
        bits: int,
        meaning: str,
        signed: bool = False,
        fields: tuple[Field, ...] = (),
    ) -> Self:
        made = int.__new__(cls, number)
        made._value_ = number
        made.access, made.bits, made.meaning = access, bits, meaning
        made.signed, made.fields = signed, fields
        return made

    @property
    def readable(self) -> bool:
        return self.access is not Access.WRITE

    @property
    def writable(self) -> bool:
        return self.access is not Access.READ


PREDICT = Field("predict", 0, 1, "predict weights in the forward pass")
COMPENSATE = Field("compensate", 1, 1, "compensate for the delay in the update")
EXTRA_SHIFT = Field("extra_shift", 2, 3, "learn with this power of two less than the full rate")
CONTROL_MASK = PREDICT.mask | COMPENSATE.mask | EXTRA_SHIFT.mask
SIGNED, UNSIGNED = True, False


class UnitRegister(Register):
    """Registers of a unit with weights."""

    TILES = 0, Access.READ, 16, "number of tiles"
    CONTROL = (
        1,
        Access.BOTH,
        5,
        "settings, to be changed in an empty chain only",
        UNSIGNED,
        (PREDICT, COMPENSATE, EXTRA_SHIFT),
    )
    GENERATOR = 2, Access.BOTH, 32, "state of the random generator; never write zero"
    FETCH = 3, Access.WRITE, 16, "tile to copy into the shift register"
    STORE = 4, Access.WRITE, 16, "tile to overwrite from the shift register"
    FETCH_BIAS = 5, Access.WRITE, 16, "word of biases to copy into the shift register"
    STORE_BIAS = 6, Access.WRITE, 16, "word of biases to overwrite"
    WEIGHT = 7, Access.BOTH, 32, "weight of the lowest lane; of the pair that comes next", SIGNED
    VELOCITY = 8, Access.BOTH, 32, "velocity, likewise; then all pairs shift down by a lane", SIGNED
    SLOTS = 9, Access.READ, 32, "slots finished"
    PRODUCTS = 10, Access.READ, 32, "useful products, low word"
    PRODUCTS_HIGH = 11, Access.READ, 16, "useful products, high word"
    STALLS = 12, Access.READ, 32, "cycles in which a slot was due or under way, but had to wait"
    SATURATIONS = 13, Access.READ, 32, "rows, words and tiles in which a value was clipped"


class IntakeRegister(Register):
    """Registers of the intake."""

    IDENTITY = 0, Access.READ, 32, "first 32 bits of the description's hash"
    CYCLES = 1, Access.READ, 32, "clock cycles since reset, modulo 2**32"
    TOKENS = 2, Access.READ, 32, "tokens admitted"
    BAD_SAMPLES = 3, Access.READ, 32, "samples dropped for their length"
    BAD_LABELS = 4, Access.READ, 32, "samples dropped for a label or kind out of range"


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the bus: its number, the name of its unit, its registers."""

    number: int
    name: str
    registers: type[Register]

    @property
    def base(self) -> int:
        """Byte address of its first register."""
        return self.number * NODE_BYTES


def nodes(units: Iterable[str]) -> list[Node]:
    """The nodes of a chain whose units with weights have these names."""
    return [
        Node(0, "intake", IntakeRegister),
        *(Node(number, name, UnitRegister) for number, name in enumerate(units, start=1)),
    ]


def address(node: int, register: int) -> int:
    """Byte address of a register on a bus of bytes, such as AXI4-Lite."""
    return node * NODE_BYTES + register * WORD_BYTES


def control_word(predict: bool, compensate: bool, extra_shift: int) -> int:
    """The CONTROL register for these settings."""
    return (
        int(predict) << PREDICT.low
        | int(compensate) << COMPENSATE.low
        | extra_shift << EXTRA_SHIFT.low
    )
