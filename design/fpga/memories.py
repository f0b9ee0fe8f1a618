"""Memories, and what is one only where a plan puts it into block RAM that is to spare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from counterflow.design.fpga.blocks import LEAST_BLOCK, LONG
from counterflow.design.parts.tokens import KIND_BITS, LABEL_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.latency import OPERANDS, PRODUCT, STEP, UPDATE, WORD
from counterflow.design.units.losses import LossNumbers, LossStage
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.slots import Depths, Stage
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.turns import bias_lanes, bias_waits

MOVED = ("samples", "errors", "outputs", "labels", "results", "logits", "waiting biases")


class Memory(NamedTuple):
    """One memory of a unit; what follows its size as `design.fpga.blocks` means it."""

    name: str
    words: int
    bits: int
    clocked: bool = True
    collides: bool = True
    cleared: bool = False
    table: bool = False
    logic: bool = True
    ultra: bool | None = None


def moved(parts: Iterable[Memory]) -> list[Memory]:
    """Memories of a unit, with those that can be read at the falling edge in block RAM.

    Small queues are not worth it: `hw.parts.block_fifo.queue`.
    """

    def worth(one: Memory) -> bool:
        return one.name in MOVED and one.words * one.bits >= LEAST_BLOCK

    return [one._replace(clocked=True, logic=False) if worth(one) else one for one in parts]


def sent_words(tiling: Tiling) -> int:
    """Words in which a unit gathers its input for a memory outside: a row, and one that leaves."""
    return 2 * tiling.row_words


def fetched_words(tiling: Tiling) -> int:
    """Words that a unit holds of a stash outside: rows under the kernel, and the next to come.

    The kernel moves down by its stride; as many rows are fetched while it works on those before.
    """
    rows = tiling.sum_rows + tiling.geometry.stride[0]
    return min(rows, 2 * tiling.geometry.image[0]) * tiling.row_words


def freed_words(tiling: Tiling, depths: Depths) -> int:
    """Words that a stash outside frees inside; none are where that is negative."""
    return depths.stash - sent_words(tiling) - fetched_words(tiling)


def lines(stage: Stage) -> list[Memory]:
    """The delays of a unit with weights that can be block RAM, as `hw.weighted.update` has them."""
    numbers, tiling = stage.arithmetic, stage.tiling
    if numbers.frozen:
        return []
    gradient = OPERANDS + PRODUCT
    address = (max(2, tiling.tiles) - 1).bit_length()
    place = Memory("place line", gradient + UPDATE - 1, 1 + address, logic=False)
    early = gradient - WORD  # cycles that a word waits for its gradient
    moved = update_lines(numbers, early + tiling.move_turns - 1) * tiling.movers
    biases = update_lines(numbers, bias_waits(tiling)) * bias_lanes(tiling)
    return [*moved, *biases, place]


def update_lines(numbers: UnitArithmetic, early: int) -> list[Memory]:
    """Those of one update whose words come so many cycles before their gradients."""
    later = early + (not numbers.compensates)
    weight = Memory("weight line", early + STEP, numbers.weight.bits, logic=False)
    velocity = Memory("velocity line", later, numbers.velocity.bits, logic=False)
    return [one for one in (weight, velocity) if one.words >= LONG]


def norm_lines(stage: NormalStage) -> list[Memory]:
    """Delays of a norm that can be block RAM, as `hw.weighted.update` has them: what it learns."""
    learnt = stage.numbers.learnt.values()
    return [Memory("weight line", STEP, moves.weight.bits, logic=False) for moves, _ in learnt]


def loss_logic(schedule: Schedule, loss: LossStage) -> list[Memory]:
    """What else of a loss unit can be block RAM: its tables, and what LUT RAM would be for."""
    numbers: LossNumbers = loss.arithmetic
    return [
        *moved([Memory("labels", schedule.label_tokens(loss), KIND_BITS + LABEL_BITS)]),
        *(Memory(*one, logic=False) for one in numbers.beside),
        *(Memory(*one, table=True, logic=False) for one in numbers.tables),
    ]
