"""What memories and multipliers become on an FPGA: the choices of Yosys, in whole blocks.

A memory here has one write port, one read port and no initial values other than zero.  The rules
are those of `memory_libmap` and `mul2dsp` in Yosys 0.70 with its libraries; a test sweeps them
against Yosys itself.  Single-port RAMs, such as iCE40's SPRAM, are out of the question for
them.  UltraRAM (UltraScale+ only: 4096 words of 72 bits) holds zeros at first, which is all that
they need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

MUX_COST = 0.5  # of a bit to choose between, or of an enable to decode, in Yosys' units
REGISTER_COST = 1.0  # of a memory's bit as a flip-flop and its share of the multiplexer
PORT_COST = 2.0  # of a read port, the same for every kind
BYPASS_COST = 12.0  # of logic that keeps the old word for a read in the cycle of its write
CLEAR_COST = 4.0  # of logic that clears a read port's register

LONG = 3  # cycles from which a delay of data is worth a block RAM, where some is to spare
WORTH_LUT_RAM = 6  # cycles from which it is worth LUT RAM
LEAST_BLOCK = 32  # bits from which a queue is
READ_AT_ONCE = 32  # words up to which `hw` makes memories that are read without a register


SLICE = 144  # bits of a wide memory with an address of their own: whole block RAMs, of any family


def slices(words: int, bits: int) -> list[range]:
    """The bits of each of the memories beside each other that make one wide memory.

    With narrower ones of deep memories, around eight block RAMs each, the static placer came to no
    end for `lenet5`, whose design takes nearly all of them.
    """
    return [range(bits)] if words <= READ_AT_ONCE else sliced(bits)


def sliced(bits: int) -> list[range]:
    """As `slices`, of memories that are wide enough to need several however few words they have."""
    return [range(first, min(first + SLICE, bits)) for first in range(0, bits, SLICE)]


DEEP = 2048  # words of a block RAM that is a byte and its parity bit wide


def banks(words: int) -> list[int]:
    """The words of each of the memories behind each other that make one deep memory.

    Synthesis would choose between block RAMs before the register behind them, which then cannot be
    those in the blocks, whose outputs come late in a cycle: half of the longest path of `lenet5`.
    """
    full, rest = divmod(words, DEEP)
    return [DEEP] * full + [max(2, rest)] * (rest > 0 or not full)


class MemoryCells(NamedTuple):
    """Cells of one memory: block RAMs, LUT RAM cells, flip-flops for its bits, or UltraRAMs.

    A block RAM is the family's smallest one that can be had (RAMB18 on xc7 and xcup).
    """

    blocks: int = 0
    lut_rams: int = 0
    flip_flops: int = 0
    ultra_rams: int = 0


class Multiplier(NamedTuple):
    """A family's multiplier block.

    ``a``, ``b`` are its widest operands; wider ones are cut into pieces of at most ``a_piece`` and
    ``b`` bits, of which each but the last loses ``sign`` bits.  Where an operand has fewer than
    ``least`` bits or a product fewer than ``least_product``, logic takes its place.
    """

    a: int
    b: int
    a_piece: int
    sign: int
    least: int
    least_product: int


@dataclass(frozen=True)
class Ram:
    """One kind of memory cell.

    ``bits`` is the depth at width 1; ``widths`` rise by doubling (a parity bit joins each byte), so
    that width number k has ``bits`` >> k words.  ``least`` is the narrowest width number of the
    write port, ``byte`` the bits that share a write enable.  ``scaled`` is the part of ``cost``
    that only the bits in use cost, ``size`` counts the cell in smallest blocks.  ``keeps``: a word
    that is read while it is written comes out as it was.  ``clears``: the register of its read port
    can be cleared.
    """

    kind: str
    bits: int
    widths: tuple[int, ...]
    cost: float
    clocked: bool
    byte: int = 0
    least: int = 0
    scaled: int = 0
    size: int = 1
    keeps: bool = False
    clears: bool = True


PARITY = (1, 2, 4, 9, 18)


def _block(bits: int, widths: tuple[int, ...], cost: int, least: int = 0, size: int = 1) -> Ram:
    """A block RAM with a parity bit a byte."""
    keeps = cost > 128  # xc7
    return Ram("blocks", bits, widths, cost, True, byte=9, least=least, size=size, keeps=keeps)


def _lut_ram(words: int, width: int, cost: int, scaled: int = 0) -> Ram:
    """A LUT RAM of one shape, whose write enable is of the whole word."""
    return Ram("lut_rams", words, (width,), cost, clocked=False, scaled=scaled, keeps=True)


RAMS: Mapping[str, tuple[Ram, ...]] = {
    "ecp5": (
        _lut_ram(16, 4, cost=4),
        _block(16384, PARITY, cost=128),
        _block(16384, (*PARITY, 36), cost=128, least=5),
    ),
    "ice40": (
        Ram("blocks", 2048, (2, 4, 8), 64, clocked=True, clears=False),
        Ram("blocks", 2048, (2, 4, 8, 16), 64, clocked=True, byte=1, least=3, clears=False),
    ),
    "xc7": (
        _lut_ram(32, 6, cost=8, scaled=7),
        _lut_ram(64, 3, cost=8, scaled=7),
        _lut_ram(128, 1, cost=8, scaled=8),
        _block(16384, PARITY, cost=129),
        _block(32768, (*PARITY, 36), cost=257, size=2),
        _block(16384, (*PARITY, 36), cost=129, least=5),
        _block(32768, (*PARITY, 36, 72), cost=257, least=6, size=2),
    ),
    "xcup": (
        _lut_ram(32, 14, cost=16, scaled=16),
        _lut_ram(64, 7, cost=16, scaled=16),
        _lut_ram(128, 2, cost=16, scaled=16),
        _lut_ram(256, 1, cost=16, scaled=16),
        _block(16384, PARITY, cost=129),
        _block(32768, (*PARITY, 36), cost=257, size=2),
        _block(16384, (*PARITY, 36), cost=129, least=5),
        _block(32768, (*PARITY, 36, 72), cost=257, least=6, size=2),
        Ram("ultra_rams", 4096, (72,), 1024, clocked=True, byte=9, keeps=True),
    ),
}
"""Memory cells by family, in the order in which Yosys' libraries list them."""

TABLE_COST: Mapping[str, float] = {"ecp5": 1 / 16, "ice40": 1 / 16, "xc7": 1 / 64, "xcup": 1 / 64}
"""Cost of a bit of a memory that is never written, as logic, by family."""

# Where synthesis puts no register into a multiplier, designs instantiate it with its own if this is
# defined in their Verilog.
INSTANTIATES: Mapping[str, str] = {"ecp5": "COUNTERFLOW_ECP5"}

MULTIPLIERS: Mapping[str, Multiplier] = {
    "ecp5": Multiplier(18, 18, a_piece=18, sign=0, least=2, least_product=0),
    "ice40": Multiplier(16, 16, a_piece=16, sign=0, least=2, least_product=11),
    "xc7": Multiplier(25, 18, a_piece=18, sign=1, least=2, least_product=9),
    "xcup": Multiplier(27, 18, a_piece=18, sign=1, least=2, least_product=9),
}
"""Multiplier blocks by family."""

FAMILIES = tuple(RAMS)


@lru_cache(maxsize=1 << 16)  # a search of folds asks for the same ones over and over
def memory_cells(
    words: int,
    bits: int,
    family: str,
    *,
    clocked: bool = True,
    collides: bool = False,
    cleared: bool = False,
    table: bool = False,
    logic: bool = True,
    ultra: bool | None = None,
) -> MemoryCells:
    """Cells of a memory of `words` of `bits` each.

    `clocked`: its read port has a register; without one it cannot be in block RAM.  `collides`: it
    may be read where it is written in the same cycle, and gives the old word then.  `cleared`: that
    register is zero after some cycles, whatever the word.  `table`: it is never written, and has
    its values from the start; no cells are logic.  Without `logic` it has to be cells of
    RAM.  `ultra`: whether UltraRAM, where the family has some, is the only choice or none; unless
    said, it is whatever costs least.  ValueError for a family that is not in `FAMILIES`.
    """
    best: float = int(words * bits * REGISTER_COST)
    cells = MemoryCells(flip_flops=words * bits)
    if table:
        best, cells = int(words * bits * _of(TABLE_COST, family)), MemoryCells()
    if not logic or ultra:
        best = math.inf
    found: dict[str, tuple[float, MemoryCells]] = {}
    for ram in _of(RAMS, family):
        if (ram.clocked and not clocked) or (table and ram.kind != "blocks"):
            continue
        if ultra is not None and (ultra if ram.kind != "ultra_rams" else not ultra):
            continue
        cost, count = _fit(ram, words, bits)
        cost += BYPASS_COST if clocked and collides and not ram.keeps else 0.0
        cost += CLEAR_COST if clocked and cleared and not ram.clears else 0.0
        if ram.kind not in found or cost < found[ram.kind][0]:
            found[ram.kind] = (cost, MemoryCells(**{ram.kind: ram.size * count}))
    for cost, choice in found.values():
        if cost < best:
            best, cells = int(cost), choice
    return cells


def _fit(ram: Ram, words: int, bits: int) -> tuple[float, int]:
    """(cost, cells) of the cheapest width of `ram` for a memory."""
    best: tuple[float, int] | None = None
    # Enables of bytes make a narrower write out of a wide one.
    narrow = [k for k, width in enumerate(ram.widths) if width <= ram.byte or not ram.byte]
    least = min(ram.least, max(narrow, default=0))
    for k, width in list(enumerate(ram.widths))[least:]:
        byte = min(ram.byte or width, width)
        slices = math.ceil(words / (ram.bits >> k))
        count = math.ceil(slices * math.ceil(bits / byte) * byte / width)
        cost = (ram.cost - ram.scaled) * count + ram.scaled * slices * bits / width
        cost += MUX_COST * ((slices - 1) * bits + (slices if slices > 1 else 0)) + PORT_COST
        if best is None or cost < int(best[0]):
            best = cost, count
    assert best is not None, "a cell has at least one width"
    return best


def multiplier_blocks(a_bits: int, b_bits: int, family: str) -> int:
    """Multiplier blocks of the product of two numbers of `a_bits` and `b_bits`, both signed.

    An unsigned factor of a signed product counts one bit more than it has.  None where either is
    so narrow that Yosys takes logic.  ValueError for a family that is not in `FAMILIES`.
    """
    block = _of(MULTIPLIERS, family)
    high, low = max(a_bits, b_bits), min(a_bits, b_bits)
    return sum(
        min(a, b) >= block.least and a + b >= block.least_product
        for a in _pieces(high, block.a, block.a_piece, block.sign)
        for b in _pieces(low, block.b, block.b, block.sign)
    )


def _pieces(bits: int, widest: int, piece: int, sign: int) -> list[int]:
    """The pieces that an operand of `bits` is cut into."""
    cuts = max(0, math.ceil((bits - widest) / (piece - sign)))
    return [piece] * cuts + [bits - cuts * (piece - sign)]


Rule = TypeVar("Rule")


def _of(rules: Mapping[str, Rule], family: str) -> Rule:
    if family not in rules:
        raise ValueError(
            f"nothing is known of the blocks of {family!r}, only of {', '.join(FAMILIES)}"
        )
    return rules[family]
