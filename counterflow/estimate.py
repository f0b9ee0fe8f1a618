"""What the units of a plan should take of an FPGA's multipliers and block RAMs, in whole blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from counterflow.blocks import memory_cells, multiplier_blocks
from counterflow.formats import Format
from counterflow.planner import Plan
from counterflow.schedule import WINDOW_TOKENS, Stage


class Memory(NamedTuple):
    """One memory of a unit; ``clocked`` and ``collides`` as `counterflow.blocks` means them."""

    name: str
    words: int
    bits: int
    clocked: bool = True
    collides: bool = True


class Estimate(NamedTuple):
    """Blocks of one unit."""

    multipliers: int
    block_rams: int


def estimate(plan: Plan, family: str) -> Mapping[str, Estimate]:
    """Blocks by unit; ValueError for a family of which nothing is known."""
    units = {
        stage.name: Estimate(
            multipliers=multipliers(stage, family),
            block_rams=block_rams(memories(stage), family),
        )
        for stage in plan.schedule.stages
    }
    first = plan.schedule.stages[0]
    samples = Memory("samples", 2 * first.tiling.inputs, first.arithmetic.x.bits)
    return {
        "intake": Estimate(0, block_rams([samples], family)),
        **units,
        "loss": Estimate(0, 0),  # its memories are read without a register
    }


def block_rams(parts: Iterable[Memory], family: str) -> int:
    """Block RAMs of several memories."""
    return sum(
        memory_cells(p.words, p.bits, family, clocked=p.clocked, collides=p.collides).blocks
        for p in parts
    )


def memories(stage: Stage) -> list[Memory]:
    """The memories of a dense unit, as `hw.dense` makes them."""
    tiling, numbers = stage.tiling, stage.arithmetic
    high, wide = tiling.lanes.outputs, tiling.lanes.inputs
    word, x = numbers.word_bits, wide * numbers.x.bits
    parts = [
        Memory("weights", max(2, tiling.tiles), tiling.lane_count * word, collides=False),
        Memory("biases", max(2, tiling.rows), high * word, collides=False),
        Memory("window", WINDOW_TOKENS * tiling.columns, x),
        Memory("stash", stage.stash_tokens * tiling.columns, x),
        # A queue is read without a register, but the one that follows it becomes part of it.
        Memory("errors", stage.error_tokens * tiling.rows, high * numbers.dy.bits),
        Memory("outputs", stage.forward_queue, high * numbers.y.bits + 2, clocked=False),
    ]
    if numbers.dx is not None:
        sums = max(2, tiling.columns), wide * numbers.backward_sum.bits
        queue = stage.backward_queue, wide * numbers.dx.bits
        parts += [Memory("sums", *sums, clocked=False), Memory("dx", *queue, clocked=False)]
    return parts


def multipliers(stage: Stage, family: str) -> int:
    """Multiplier blocks of a dense unit, as `hw.multiply` makes them."""
    numbers = stage.arithmetic
    products = [(numbers.operand, numbers.x), (numbers.dy, numbers.x)]
    if numbers.dx is not None:
        products.append((numbers.operand, numbers.dy))
    widths = [(_signed(a), _signed(b)) for a, b in products]
    if stage.tiling.lanes.shared:
        # One product whose operands are as wide as the widest: a weight or dy by x or dy.
        left = max(_signed(numbers.operand), _signed(numbers.dy))
        right = max(_signed(numbers.x), 0 if numbers.dx is None else _signed(numbers.dy))
        widths = [(left, right)]
    return stage.tiling.lane_count * sum(multiplier_blocks(a, b, family) for a, b in widths)


def _signed(number: Format) -> int:
    """Bits of a number as a signed one."""
    return number.bits + (not number.signed)
