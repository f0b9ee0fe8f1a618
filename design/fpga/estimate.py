"""What the units of a plan should take of an FPGA's multipliers and block RAMs, in whole blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from counterflow.design.fpga.blocks import (
    READ_AT_ONCE,
    MemoryCells,
    memory_cells,
    multiplier_blocks,
)
from counterflow.design.fpga.memories import Memory, lines, loss_logic, moved, norm_lines
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.loss import LossArithmetic
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normalisation import ROOTS
from counterflow.design.units.passing import Passing
from counterflow.design.units.slots import Depths, Stage
from counterflow.design.units.tiling import Tiling


class Estimate(NamedTuple):
    """Blocks of one unit."""

    multipliers: int
    block_rams: int


def estimate(plan: Plan, family: str) -> Mapping[str, Estimate]:
    """Blocks by unit; ValueError for a family of which nothing is known."""
    source = plan.schedule.graph.source
    intake = [Memory("samples", 2 * source.elements, source.x.bits)]
    loss = loss_memories(plan.schedule.loss.arithmetic)
    if plan.compact:
        intake, loss = moved(intake), [*moved(loss), *loss_logic(plan)]
    units = {
        stage.name: Estimate(
            multipliers=multipliers(stage, family),
            block_rams=block_rams(memories(stage, compact=plan.compact), family),
        )
        for stage in plan.schedule.weighted
    }
    passing = {
        unit.name: Estimate(
            multipliers=products_blocks(unit.numbers.products, family),
            block_rams=block_rams(passing_memories(unit.numbers), family),
        )
        for unit in plan.schedule.passing
    }
    norms = {
        stage.name: Estimate(
            multipliers=products_blocks(stage.numbers.products, family),
            block_rams=block_rams(norm_memories(stage, compact=plan.compact), family),
        )
        for stage in plan.schedule.norms
    }
    return {
        "intake": Estimate(0, block_rams(intake, family)),
        **units,
        **norms,
        **passing,
        "loss": Estimate(0, block_rams(loss, family)),
    }


def block_rams(parts: Iterable[Memory], family: str) -> int:
    """Block RAMs of several memories."""
    return cells(parts, family).blocks


def cells(parts: Iterable[Memory], family: str) -> MemoryCells:
    """All cells of several memories."""
    made = [
        memory_cells(
            p.words,
            p.bits,
            family,
            clocked=p.clocked,
            collides=p.collides,
            cleared=p.cleared,
            table=p.table,
            logic=p.logic,
        )
        for p in parts
    ]
    return MemoryCells(*(sum(column) for column in zip(MemoryCells(), *made, strict=True)))


def memories(stage: Stage, *, compact: bool = False) -> list[Memory]:
    """The memories of a unit with weights, as `hw.units.convolution` makes them."""
    parts = memories_of(stage.tiling, stage.arithmetic, stage.depths)
    return [*moved(parts), *lines(stage)] if compact else parts


def memories_of(tiling: Tiling, numbers: UnitArithmetic, depths: Depths) -> list[Memory]:
    """As `memories`, of a unit that has no place in a schedule yet."""
    high, lanes, banks = tiling.lanes.outputs, tiling.lane_count, tiling.banks
    word, gradient = numbers.word_bits, numbers.gradient.bits
    parts = [
        Memory("weights", max(2, tiling.tiles), lanes * word, collides=False),
        Memory("biases", max(2, tiling.rows), high * word, collides=False),
        # A queue is read without a register, but the one that follows it becomes part of it, and is
        # zero where no gradient is due.
        Memory("errors", depths.errors, high * numbers.dy.bits, cleared=True),
        Memory("outputs", depths.outputs, high * numbers.y.bits + 2, clocked=False),
    ]
    for name, words in (("window", depths.window), ("stash", depths.stash)):
        width = tiling.granule * numbers.x.bits
        parts += [Memory(name, max(2, words), width, collides=False)] * banks
    if numbers.sums_gradients:
        for name, words, width in (
            ("gradients", tiling.tiles, lanes * gradient),
            ("bias gradients", tiling.rows, high * gradient),
        ):
            clocked = words > READ_AT_ONCE
            parts.append(Memory(name, max(2, words), width, clocked=clocked, collides=False))
    if numbers.dx is not None:
        rows, width = tiling.sum_rows, tiling.granule * numbers.backward_sum.bits
        words = max(2, rows * tiling.row_words)
        clocked = words > READ_AT_ONCE and tiling.geometry.positions == 1
        sums = Memory("sums", words, width, clocked=clocked, collides=False)
        left = max(2, depths.gradients * tiling.row_words), tiling.granule * numbers.back_bits
        parts += [sums, Memory("dx", *left, collides=False)] * banks
    return parts


def loss_memories(numbers: LossArithmetic) -> list[Memory]:
    """The memories of the loss unit, as `hw.units.loss` makes them; the others there are logic."""
    return [Memory(*one) for one in numbers.memories]


def passing_memories(numbers: Passing) -> list[Memory]:
    """The memories of a unit without slots, as its hardware makes them."""
    parts = [
        Memory(name, words, bits, clocked=words > READ_AT_ONCE, collides=False)
        for name, words, bits in numbers.memories
    ]
    return parts + [Memory(*one, collides=False, table=True) for one in numbers.tables]


def passing_luts(numbers: Passing, family: str) -> int:
    """About the LUTs of a unit without slots."""
    made = cells(passing_memories(numbers), family)
    return numbers.luts(family, (made.lut_rams, made.flip_flops))


def blocks_of(
    tiling: Tiling, numbers: UnitArithmetic, parts: Iterable[Memory], family: str
) -> tuple[int, MemoryCells]:
    """Multiplier blocks of a unit with weights, and the cells of its memories `parts`."""
    return multipliers_of(tiling, numbers, family), cells(parts, family)


def norm_memories(stage: NormStage, *, compact: bool = False) -> list[Memory]:
    """The memories of a norm, as `hw.units.norm` makes them."""
    at_once = ("y", "dx", *(("sums", "gradient sums") * (stage.numbers.channels <= READ_AT_ONCE)))
    parts = [
        Memory(name, words, bits, clocked=name not in at_once, collides=False)
        for name, words, bits in stage.memories
    ]
    roots = Memory("roots", len(ROOTS), stage.numbers.root.bits, table=True, logic=not compact)
    return [*parts, roots, *(norm_lines(stage) if compact else ())]


def products_blocks(products: Sequence[tuple[Format, Format]], family: str) -> int:
    """Multiplier blocks of products that are no lane's, by the formats of their factors."""
    return sum(multiplier_blocks(_signed(a), _signed(b), family) for a, b in products)


def multipliers(stage: Stage, family: str) -> int:
    """Multiplier blocks of a unit with weights, as `hw.weighted.multiply` makes them."""
    return multipliers_of(stage.tiling, stage.arithmetic, family)


def multipliers_of(tiling: Tiling, numbers: UnitArithmetic, family: str) -> int:
    """As `multipliers`, of a unit that has no place in a schedule yet."""
    products = [(numbers.operand, numbers.loaded), (numbers.dy, numbers.loaded)]
    if numbers.dx is not None:
        products.append((numbers.operand, numbers.dy))
    widths = [(_signed(a), _signed(b)) for a, b in products]
    if tiling.lanes.shared:
        # One product whose operands are as wide as the widest: a weight or dy by x or dy.
        left = max(_signed(numbers.operand), _signed(numbers.dy))
        right = max(_signed(numbers.loaded), 0 if numbers.dx is None else _signed(numbers.dy))
        widths = [(left, right)]
    return tiling.lane_count * sum(multiplier_blocks(a, b, family) for a, b in widths)


def _signed(number: Format) -> int:
    """Bits of a number as a signed one."""
    return number.bits + (not number.signed)
