"""The register map of the daisy-chained bus: node 0 is the intake, node 1 + s the dense unit s.

One access names a node, a register, and a 32-bit word to write or to read.  The response says
whether a node took the access; an unmapped register, or weight access to a unit in mid-slot, is
refused.  Weights move through a unit's shift register of one {weight, velocity} pair a lane:

* load: for each lane write WEIGHT, then VELOCITY (which shifts the pair in); then STORE the tile.
* read back: FETCH the tile; for each lane read WEIGHT, then VELOCITY (which shifts to the next).

The biases of a row of tiles go the same way with STORE_BIAS and FETCH_BIAS; lanes beyond the row's
outputs are ignored.
"""

from __future__ import annotations

from enum import IntEnum

NODE_BITS = 8
REGISTER_BITS = 4
WORD_BITS = 32


class UnitRegister(IntEnum):
    """Registers of a dense unit."""

    TILES = 0  # read: number of tiles
    CONTROL = 1  # bit 0 predict, bit 1 compensate, bits 4..2 extra rate shift
    GENERATOR = 2  # state of the random generator; never write zero
    FETCH = 3  # write: tile to copy into the shift register
    STORE = 4  # write: tile to overwrite from the shift register
    FETCH_BIAS = 5
    STORE_BIAS = 6
    WEIGHT = 7
    VELOCITY = 8
    SLOTS = 9  # slots finished
    PRODUCTS = 10  # useful products, low word
    PRODUCTS_HIGH = 11
    STALLS = 12  # cycles in which a slot was due or under way, but had to wait
    SATURATIONS = 13  # rows, words and tiles in which a value was clipped


class IntakeRegister(IntEnum):
    """Registers of the intake."""

    IDENTITY = 0  # first 32 bits of the description's hash
    CYCLES = 1  # clock cycles since reset, modulo 2**32
    TOKENS = 2  # tokens admitted
    BAD_SAMPLES = 3  # samples dropped for their length
    BAD_LABELS = 4  # samples dropped for a label or kind out of range


def control_word(predict: bool, compensate: bool, extra_shift: int) -> int:
    """The CONTROL register for these settings."""
    return int(predict) | int(compensate) << 1 | extra_shift << 2
