"""What the units of a plan should take of an FPGA's multipliers and block RAMs, in whole blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from counterflow.design.fpga.blocks import (
    READ_AT_ONCE,
    MemoryCells,
    banks,
    memory_cells,
    sliced,
    slices,
)
from counterflow.design.fpga.logic import PASSING
from counterflow.design.fpga.memories import (
    Memory,
    fetched_words,
    lines,
    loss_logic,
    moved,
    norm_lines,
    sent_words,
)
from counterflow.design.fpga.products import products_blocks, unit_blocks
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.losses import LossNumbers
from counterflow.design.units.normal import ROOTS
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.passing import Passing
from counterflow.design.units.slots import Depths, Stage
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.turns import bias_lanes, bias_words, waiting_biases


class Estimate(NamedTuple):
    """Blocks of one unit."""

    multipliers: int
    block_rams: int
    ultra_rams: int = 0

    @property
    def amounts(self) -> dict[str, int]:
        """All of them by name; UltraRAMs only where there are some."""
        return {name: n for name, n in self._asdict().items() if n or name != "ultra_rams"}


def estimate(plan: Plan, family: str) -> Mapping[str, Estimate]:
    """Blocks by unit; ValueError for a family of which nothing is known."""
    made = {name: cells(parts, family) for name, parts in unit_memories(plan).items()}
    products = unit_multipliers(plan, family)
    return {
        name: Estimate(products.get(name, 0), one.blocks, one.ultra_rams)
        for name, one in made.items()
    }


def unit_memories(plan: Plan) -> dict[str, list[Memory]]:
    """The memories of intake, units with weights, passing units and losses."""
    source = plan.schedule.graph.source
    intake = [Memory("samples", 2 * source.elements, source.x.bits)]
    losses = {one.name: loss_memories(one.arithmetic) for one in plan.schedule.losses}
    if plan.compact:
        intake = moved(intake)
        losses = {
            one.name: [*moved(losses[one.name]), *loss_logic(plan.schedule, one)]
            for one in plan.schedule.losses
        }
    stages, passing, norms = (
        plan.schedule.weighted,
        plan.schedule.passing,
        plan.schedule.norms,
    )
    return {
        "intake": intake,
        **{one.name: stage_memories(plan, one) for one in stages},
        **{one.name: norm_memories(one, compact=plan.compact) for one in norms},
        **{one.name: passing_memories(one.numbers) for one in passing},
        **losses,
    }


def stage_memories(plan: Plan, stage: Stage) -> list[Memory]:
    """The memories of a unit with weights of `plan`."""
    return memories(stage, compact=plan.compact, outside=stage.name in plan.outside)


def unit_multipliers(plan: Plan, family: str) -> dict[str, int]:
    """Multiplier blocks of all units that have some, and of those that could."""
    schedule = plan.schedule
    products = {one.name: one.numbers.products for one in schedule.norms}
    products |= {one.name: one.numbers.products for one in schedule.passing}
    products |= {one.name: one.arithmetic.products for one in schedule.losses}
    return {
        **{one.name: multipliers(one, family) for one in schedule.weighted},
        **{name: products_blocks(some, family) for name, some in products.items()},
    }


def block_rams(parts: Iterable[Memory], family: str) -> int:
    """Block RAMs of several memories."""
    return cells(parts, family).blocks


def cells(parts: Iterable[Memory], family: str) -> MemoryCells:
    """All cells of several memories."""
    every = list(parts)
    times = Counter(map(id, every))  # banks are one value, many times
    blocks = lut_rams = flip_flops = ultra_rams = 0
    for number, p in {id(p): p for p in every}.items():
        made = memory_cells(
            p.words,
            p.bits,
            family,
            clocked=p.clocked,
            collides=p.collides,
            cleared=p.cleared,
            table=p.table,
            logic=p.logic,
            ultra=p.ultra,
        )
        count = times[number]
        blocks += count * made.blocks
        lut_rams += count * made.lut_rams
        flip_flops += count * made.flip_flops
        ultra_rams += count * made.ultra_rams
    return MemoryCells(blocks, lut_rams, flip_flops, ultra_rams)


def memories(stage: Stage, *, compact: bool = False, outside: bool = False) -> list[Memory]:
    """The memories of a unit with weights, as `hw.units.convolution` makes them.

    With its stash ``outside`` the chip it has rows on their way there and back instead
    (`design.fpga.outside`), which no hardware makes yet.
    """
    parts = memories_of(stage.tiling, stage.arithmetic, stage.depths, outside=outside)
    for one in stage.asides:
        parts += aside_memories(one, one.tiling, one.depths)
    return [*moved(parts), *lines(stage)] if compact else parts


def memories_of(
    tiling: Tiling, numbers: UnitArithmetic, depths: Depths, *, outside: bool = False
) -> list[Memory]:
    """As `memories`, of a unit that has no place in a schedule yet."""
    high, lanes = tiling.lanes.outputs, tiling.lane_count
    word, gradient = numbers.word_bits, numbers.gradient.bits
    parts = [
        *(
            Memory("weights", words, len(bits), collides=False)
            for bits in slices(tiling.tiles, lanes * word)
            for words in banks(tiling.tiles)
        ),
        Memory("biases", max(2, bias_words(tiling)), bias_lanes(tiling) * word, collides=False),
        Memory("outputs", depths.outputs * high, numbers.y.bits + 2 + (high > 1), clocked=False),
    ]
    waiting = waiting_biases(tiling)
    if waiting > 1:
        width = bias_lanes(tiling) * numbers.bias_operand.bits
        parts.append(Memory("waiting biases", waiting, width, clocked=True))
    if depths.errors:
        parts.append(_errors(tiling, numbers, depths))
    stash = [("stash", depths.stash)] if stashes(numbers, depths) else []
    if outside:
        stash = [("stash, sent", sent_words(tiling)), ("stash, fetched", fetched_words(tiling))]
    for name, words in (("window", depths.window), *stash):
        passes = numbers.frozen and not numbers.returns and name != "window"
        parts += _ring(name, words, tiling, 1 if passes else numbers.x.bits)
    if numbers.sums_gradients:
        for name, words, sums in (
            ("gradients", tiling.tiles, lanes),
            ("bias gradients", bias_words(tiling), bias_lanes(tiling)),
        ):
            parts += _sums(name, max(2, words), sums, gradient, clocked=words > READ_AT_ONCE)
    return parts + _leaving(tiling, numbers, depths)


def stashes(numbers: UnitArithmetic, depths: Depths) -> bool:
    """As `design.units.slots.Stage.stashes`, of a unit that has no place in a schedule yet."""
    return depths.stash > 0 and (numbers.masks or numbers.returns or not numbers.frozen)


def aside_memories(aside: Stage, tiling: Tiling, depths: Depths) -> list[Memory]:
    """The memories for the gradient of a loss that a unit does not learn from."""
    numbers, parts = aside.arithmetic, [_errors(tiling, aside.arithmetic, depths)]
    if aside.sees:
        parts += _ring("passing", depths.stash, tiling, numbers.x.bits)
    return parts + _leaving(tiling, numbers, depths)


def _ring(name: str, words: int, tiling: Tiling, bits: int) -> list[Memory]:
    """The memories of a `hw.weighted.window.Window` of elements of so many bits."""
    width = tiling.granule * bits
    each = [Memory(name, max(2, words), len(part), collides=False) for part in sliced(width)]
    return each * tiling.banks


def _errors(tiling: Tiling, numbers: UnitArithmetic, depths: Depths) -> Memory:
    """Gradients that arrive.

    A queue is read without a register, but the one that follows it becomes part of it, and is zero
    where no gradient is due.
    """
    return Memory("errors", depths.errors, tiling.lanes.outputs * numbers.dy.bits, cleared=True)


def _leaving(tiling: Tiling, numbers: UnitArithmetic, depths: Depths) -> list[Memory]:
    """Input gradients: their sums, and those on their way out."""
    if numbers.dx is None:
        return []
    words, width = max(2, tiling.sum_rows * tiling.row_words), numbers.backward_sum.bits
    clocked = words > READ_AT_ONCE and tiling.geometry.positions == 1
    sums = _sums("sums", words, tiling.granule, width, clocked=clocked)
    left = max(2, depths.gradients * tiling.row_words), tiling.granule * numbers.back_bits
    return [*sums, Memory("dx", *left, collides=False)] * tiling.banks


def _sums(name: str, words: int, sums: int, bits: int, *, clocked: bool) -> list[Memory]:
    """Words of sums, as `hw.weighted.gradient_sums` makes them: a memory each if read at once."""
    each = [len(one) for one in slices(words, sums * bits)] if clocked else [bits] * sums
    return [Memory(name, words, one, clocked=clocked, collides=False) for one in each]


def loss_memories(numbers: LossNumbers) -> list[Memory]:
    """The memories of a loss unit, as its hardware makes them; the others there are logic."""
    return [
        Memory(name, words, bits, clocked=name not in numbers.at_once or words > READ_AT_ONCE)
        for name, words, bits in numbers.memories
    ]


def passing_memories(numbers: Passing) -> list[Memory]:
    """The memories of a unit without slots, as its hardware makes them."""
    parts = [
        Memory(name, words, bits, clocked=words > READ_AT_ONCE, collides=False)
        for name, words, bits in numbers.memories
    ]
    return parts + [Memory(*one, collides=False, table=True) for one in numbers.tables]


def passing_luts(numbers: Passing, family: str) -> int:
    """About the LUTs of a unit without slots."""
    family = PASSING.get(family, family)
    made = cells(passing_memories(numbers), family)
    return numbers.luts(family, (made.lut_rams, made.flip_flops))


def blocks_of(
    tiling: Tiling, numbers: UnitArithmetic, parts: Iterable[Memory], family: str
) -> tuple[int, MemoryCells]:
    """Multiplier blocks of a unit with weights, and the cells of its memories `parts`."""
    return unit_blocks(tiling, numbers, family), cells(parts, family)


def norm_memories(stage: NormalStage, *, compact: bool = False) -> list[Memory]:
    """The memories of a norm, as `hw.units.norm` or `group_norm` makes them."""
    at_once = ("y", "dx", *(("sums", "gradient sums") * (stage.numbers.channels <= READ_AT_ONCE)))
    parts = [
        Memory(name, words, bits, clocked=name not in at_once, collides=False)
        for name, words, bits in stage.memories
    ]
    roots = Memory("roots", len(ROOTS), stage.numbers.root.bits, table=True, logic=not compact)
    return [*parts, roots, *(norm_lines(stage) if compact else ())]


def multipliers(stage: Stage, family: str) -> int:
    """Multiplier blocks of a unit with weights, as `hw.weighted.multiply` makes them."""
    return unit_blocks(stage.tiling, stage.arithmetic, family)
