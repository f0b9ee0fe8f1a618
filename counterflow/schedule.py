"""The schedule: delays, horizons, depths, interval and the cycle of every event, in one place.

Every unit starts its slot j at cycle `start` + j * `interval` of a stall-free run, so each event
has an affine time: start + slot * interval + offset.  Delays follow from these times (the earliest
slot in which a token's gradient has arrived), they are not postulated; golden and hardware both
take them from here.  Cycle 0 is the one in which the first element of the first sample is accepted.

The latencies below are those of the registers in `hw`; a bench compares every cycle with what this
module predicts, so that a register more or less there fails loudly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from counterflow.arithmetic import UnitArithmetic, compensation_for, unit_arithmetic
from counterflow.description import Description, Lanes
from counterflow.formats import Format
from counterflow.softmax import LossArithmetic
from counterflow.tiling import Tiling
from counterflow.tokens import updates_in_flight

Cycles = NDArray[np.int64]

OPERANDS = 3  # issue of a tile to its operands at the multipliers: memory, prediction, narrowing
PRODUCT = 1  # the multiplier's output register
SUM = 1  # the accumulator
NARROW = 1  # rounding and saturation
QUEUE = 1  # a first-in first-out memory, written to readable
UPDATE = 4  # product to the memory's write port: align, add, round, subtract

TREE_RADIX = 4  # operands that one registered level of an adder tree sums

INTAKE = 2  # last element of a sample accepted to first element emitted: verdict, memory
LOSS_FIXED = 10  # of the loss unit's latency 2 n + LOSS_FIXED, see hw/loss.py
LOSS_TAIL = 8  # of the cycles 3 n + LOSS_TAIL that the loss unit is busy with a token

WINDOW_TOKENS = 2  # tokens that a unit's input window holds


def tree_latency(operands: int) -> int:
    """Registered levels of an adder tree."""
    levels = 0
    while operands > 1:
        operands = -(-operands // TREE_RADIX)
        levels += 1
    return levels


def _paced(earliest: Cycles) -> Cycles:
    """Times of elements that are ready at `earliest` and leave one a cycle, in order."""
    steps = np.arange(len(earliest))
    return np.maximum.accumulate(earliest - steps) + steps


@dataclass(frozen=True)
class Stage:
    """One dense unit in the schedule.

    ``delay`` is D in slots, ``start`` the cycle of slot 0, ``threshold`` the words of a token that
    must have arrived before its slot starts (so that a slot, once started, never waits in a
    stall-free run), ``error_tokens`` the tokens of gradient that the unit can hold.
    """

    name: str
    index: int
    tiling: Tiling
    arithmetic: UnitArithmetic
    delay: int
    start: int
    threshold: int
    error_tokens: int

    @property
    def cycles(self) -> int:
        return self.tiling.cycles

    @property
    def stash_tokens(self) -> int:
        """Samples of its own input that the unit keeps for the weight gradient."""
        return self.delay + 1

    @property
    def forward_queue(self) -> int:
        """Rows of outputs that wait to leave: those that one row's latency overlaps, and one."""
        return row_queue(self.tiling)

    @property
    def backward_queue(self) -> int:
        """Words of input gradient that wait to leave: two tokens' worth."""
        return 2 * self.tiling.columns

    @cached_property
    def weight_writes(self) -> Cycles:
        """Cycle after a slot's start at which tile n's new words stand at the write port."""
        tiles = np.arange(self.tiling.tiles)
        gradient_phase = self.tiling.phases - 1
        return tiles * self.tiling.phases + gradient_phase + OPERANDS + PRODUCT + UPDATE

    @cached_property
    def bias_writes(self) -> Cycles:
        """As `weight_writes`, for the biases of each row (learnt with the row's first tile)."""
        return self.weight_writes[:: self.tiling.columns]


def row_queue(tiling: Tiling) -> int:
    """Words of the output queue such that reserving one when a row starts never stalls."""
    latency = OPERANDS + PRODUCT + tree_latency(tiling.lanes.inputs) + SUM + NARROW + QUEUE
    busy = tiling.row_cycles + latency + tiling.lanes.outputs
    return min(tiling.rows + 1, math.ceil(busy / tiling.row_cycles)) + 1


def output_offsets(tiling: Tiling) -> Cycles:
    """Cycle after a slot's start at which output element i leaves; shape [outputs]."""
    latency = OPERANDS + PRODUCT + tree_latency(tiling.lanes.inputs) + SUM + NARROW + QUEUE
    row, element = np.divmod(np.arange(tiling.outputs), tiling.lanes.outputs)
    last_tile = ((row + 1) * tiling.columns - 1) * tiling.phases
    return _paced(last_tile + latency + element)


def gradient_offsets(tiling: Tiling) -> Cycles:
    """Cycle after a slot's start at which input gradient i leaves; shape [inputs]."""
    latency = OPERANDS + PRODUCT + tree_latency(tiling.lanes.outputs) + SUM + NARROW + QUEUE
    backward_phase = 1 if tiling.phases > 1 else 0
    word, element = np.divmod(np.arange(tiling.inputs), tiling.lanes.inputs)
    tile = ((tiling.rows - 1) * tiling.columns + word) * tiling.phases + backward_phase
    return _paced(tile + latency + element)


def _last_of_words(times: Cycles, lanes: int) -> Cycles:
    """Arrival of each word of `lanes` elements: that of its last element."""
    ends = np.minimum(np.arange(lanes, len(times) + lanes, lanes), len(times)) - 1
    last: Cycles = times[ends]
    return last


@dataclass(frozen=True)
class LossStage:
    """The loss unit in the schedule; `start` is the cycle of token 0's last logit."""

    arithmetic: LossArithmetic
    start: int

    @cached_property
    def output_offsets(self) -> Cycles:
        """Cycle after the last logit at which error and score i leave; shape [classes]."""
        classes = self.arithmetic.classes
        return 2 * classes + LOSS_FIXED + np.arange(classes)


@dataclass(frozen=True)
class Schedule:
    """All times and depths of a folded design.

    ``interval`` is the slot length in cycles; ``intake_start`` the cycle in which the intake
    admits token 0, whose elements follow from the next cycle on.
    """

    interval: int
    intake_start: int
    stages: tuple[Stage, ...]
    loss: LossStage

    @property
    def delay(self) -> int:
        """Delay of the first stage: bubbles that empty the chain."""
        return self.stages[0].delay

    @property
    def multipliers(self) -> int:
        return sum(stage.tiling.multipliers for stage in self.stages)

    @property
    def useful(self) -> int:
        """Useful products of one training sample."""
        return sum(stage.tiling.useful for stage in self.stages)

    @property
    def utilisation(self) -> float:
        """Useful products over multipliers x cycles in the pipelined steady state."""
        return self.useful / (self.multipliers * self.interval)

    @property
    def label_tokens(self) -> int:
        """Labels that wait for their logits: at most the tokens between intake and loss."""
        return (WINDOW_TOKENS + 2) * (len(self.stages) + 1)


def slot_bound(tiling: Tiling) -> int:
    """Shortest interval of one unit.

    Its walk; the stream borders, one element a cycle; and the update's latency, since a tile may
    be read again only after it was written.
    """
    update = OPERANDS + PRODUCT + UPDATE + tiling.phases
    return max(tiling.cycles, tiling.inputs, tiling.outputs, update)


def loss_bound(classes: int) -> int:
    """Shortest interval of the loss unit."""
    return 3 * classes + LOSS_TAIL


def tilings(description: Description, lanes: tuple[Lanes, ...]) -> tuple[Tiling, ...]:
    """The tiling of every layer under `lanes`; `ValueError` where one cannot be."""
    result = []
    for index, choice in enumerate(lanes):
        inputs, outputs = description.widths[index : index + 2]
        if choice.outputs > outputs or choice.inputs > inputs:
            raise ValueError(
                f"layers[{index}] is folded to {choice.outputs}x{choice.inputs} lanes but has only "
                f"{outputs} outputs and {inputs} inputs"
            )
        tiling = Tiling(outputs, inputs, choice, first=index == 0)
        if tiling.rows > 1 and tiling.row_cycles < choice.outputs:
            raise ValueError(
                f"layers[{index}] with {choice.outputs}x{choice.inputs} lanes makes "
                f"{choice.outputs} outputs every {tiling.row_cycles} cycles, but its output "
                "stream carries one a cycle; use fewer output lanes or fewer input lanes"
            )
        result.append(tiling)
    return tuple(result)


def build_schedule(
    description: Description, lanes: tuple[Lanes, ...], interval: int | None = None
) -> Schedule:
    """The schedule of `description` folded to `lanes`, with slots of at least `interval` cycles."""
    tiled = tilings(description, lanes)
    slot = max(*(slot_bound(t) for t in tiled), loss_bound(description.classes), interval or 0)
    intake_start = description.inputs - 1 + QUEUE
    starts: list[int] = []
    thresholds: list[int] = []
    arrivals = intake_start + INTAKE - QUEUE + np.arange(description.inputs)
    for tiling in tiled:
        words = _last_of_words(arrivals, tiling.lanes.inputs) + QUEUE
        needs = np.arange(tiling.columns) * tiling.phases
        # A slot starts with the arrival of a word; the first one that comes late enough.
        trigger = int(np.searchsorted(words, (words - needs).max()))
        starts.append(int(words[trigger]))
        thresholds.append(trigger + 1)
        arrivals = starts[-1] + output_offsets(tiling)
    loss = LossStage(
        LossArithmetic(description.classes, description.formats.logit, _error_format(description)),
        start=int(arrivals[-1]),
    )
    delays = _delays(tiled, starts, loss, slot)
    stages = []
    for index, tiling in enumerate(tiled):
        delay = delays[index]
        horizon = updates_in_flight(description.recipe, delay) * description.recipe.horizon
        coefficient = compensation_for(description.recipe.momentum_shift, horizon)
        stages.append(
            Stage(
                name=f"dense{index}",
                index=index,
                tiling=tiling,
                arithmetic=unit_arithmetic(description, index, horizon, coefficient),
                delay=delay,
                start=starts[index],
                threshold=thresholds[index],
                error_tokens=delay - (delays[index + 1] if index + 1 < len(tiled) else 0) + 1,
            )
        )
    schedule = Schedule(slot, intake_start, tuple(stages), loss)
    _check_window(schedule)
    return schedule


def _error_format(description: Description) -> Format:
    return description.layers[-1].formats.error or description.formats.error


def _delays(tiled: tuple[Tiling, ...], starts: list[int], loss: LossStage, slot: int) -> list[int]:
    """D of every stage, last to first: the earliest slot whose rows find their gradient there."""
    delays: list[int] = []
    arrivals = loss.start + loss.output_offsets  # of token 0's gradient at the stage in question
    for tiling, start in reversed(list(zip(tiled, starts, strict=True))):
        words = _last_of_words(arrivals, tiling.lanes.outputs) + QUEUE
        needs = start + np.arange(tiling.rows) * tiling.row_cycles
        delays.append(max(1, math.ceil(int((words - needs).max()) / slot)))
        if not tiling.first:
            arrivals = start + delays[-1] * slot + gradient_offsets(tiling)
    return delays[::-1]


def _check_window(schedule: Schedule) -> None:
    """A unit's window is free before its producer's next token but one arrives.

    This is what makes `WINDOW_TOKENS` enough: otherwise a stall-free run would stall.
    """
    first = schedule.intake_start + INTAKE - QUEUE
    for stage in schedule.stages:
        freed = stage.start + stage.cycles + QUEUE - WINDOW_TOKENS * schedule.interval
        if freed > first:
            raise AssertionError(f"{stage.name} needs a window of more than {WINDOW_TOKENS} tokens")
        first = stage.start + int(output_offsets(stage.tiling)[0])
