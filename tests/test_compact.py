"""Compact plans: when a device gets one; the plan counts the memories that the hardware has.

That no cycle differs is shown in `test_hardware` and, of cells, in `test_gates`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from counterflow.design.bus.link import Packet, packet, prediction_bytes
from counterflow.design.fpga.blocks import LEAST_BLOCK
from counterflow.design.fpga.estimate import estimate, loss_memories, memories
from counterflow.design.fpga.memories import Memory, lines, loss_logic, moved
from counterflow.design.fpga.needs import settled
from counterflow.design.fpga.targets import TARGETS, Resources
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.tiling import Lanes
from counterflow.host.frames import Frames, Received
from counterflow.hw.tops.verilog import to_verilog
from counterflow.sim.boards.board import Board


def folded(name: str, outputs: int, inputs: int) -> Plan:
    """All layers of a network with the same lanes, which share their multiplier."""
    description = load(name)
    count = len(description.weighted)
    lanes = (Lanes(outputs=outputs, inputs=inputs, shared=True),) * count
    fold = description.fold.model_copy(update={"lanes": lanes, "interval": None})
    return plan(description.model_copy(update={"fold": fold}))


def blocks(design: Plan, family: str = "ice40") -> int:
    return sum(unit.block_rams for unit in estimate(design, family).values())


def test_a_plan_is_compact_where_there_is_no_lut_ram_but_room_for_its_blocks() -> None:
    design, target = plan(load("digits-8bit")), TARGETS["up5k"]
    compact = replace(design, compact=True)
    spare = target.has.block_rams - blocks(compact)
    assert settled(design, target, spare) == compact
    assert settled(design, target, spare + 1) == design
    assert settled(compact, target, spare + 1) == design  # whatever was decided before
    assert settled(design, TARGETS["ecp5-85f"]) == design
    lavish = replace(target, has=Resources(8, 30, lut_rams=1, luts=5280))
    assert settled(design, lavish) == design


@pytest.mark.parametrize("name", ["digits-8bit", "tiny"])
def test_the_plan_counts_the_memories_of_the_hardware(name: str) -> None:
    design = replace(folded(name, 1, 1), compact=True)
    parts: list[Memory] = []
    for stage in design.schedule.stages:
        parts += memories(stage, compact=True)
    parts += moved(loss_memories(design.schedule.loss.arithmetic)) + loss_logic(
        design.schedule, design.schedule.loss
    )
    first = design.schedule.stages[0]
    samples = (2 * first.tiling.geometry.inputs, first.arithmetic.x.bits)
    expected = Counter([samples])
    expected += Counter((one.words, one.bits) for one in parts if not one.logic)
    found: Counter[tuple[int, int]] = Counter()
    for words, bits in re.findall(
        r"^  \w+__memory_(\d+)x(\d+)_falling\w* ", to_verilog(design), re.M
    ):
        found[int(words), int(bits)] += 1
    assert found == expected
    assert len(found) > 8


def test_a_plan_that_is_not_compact_has_no_such_memory() -> None:
    assert "falling" not in to_verilog(plan(load("digits-8bit")))


def test_more_lanes_have_more_lines_and_small_queues_stay_registers() -> None:
    # A line of weights and one of velocities for each update, one of places; the velocity of a
    # bias, which is chosen in two steps, waits too short a time for one.
    for outputs, count in ((1, 4), (2, 4), (3, 6)):
        (stage,) = folded("digits-8bit", outputs, 1).schedule.stages
        assert len(lines(stage)) == count
    kept = Memory("labels", LEAST_BLOCK - 1, 1, clocked=False)
    assert moved([kept]) == [kept]
    assert moved([kept._replace(words=LEAST_BLOCK)])[0].clocked


def answers(design: Plan) -> list[Received]:
    """What a board with `design` says to a greeting and to six samples to be trained on."""
    board, dice, frames = "bench", random.Random(1), Frames()
    samples = b"".join(bytes([label, *dice.randbytes(64)]) for label in range(6))
    found: list[Received] = []
    with Board(design, frequency=12e6, baud=3_000_000, board=board) as simulated:
        for given in (packet(Packet.HELLO, 77, 0), packet(Packet.TRAIN, 0, 0, samples), b""):
            found += frames.add(simulated.run(30_000, given))
    assert frames.spoilt == 0
    return found


@pytest.mark.slow
def test_a_compact_board_says_what_another_one_does() -> None:
    design = plan(load("digits-8bit"))
    found = answers(replace(design, compact=True))
    assert found == answers(design)
    assert [one.kind for one in found[:2]] == [Packet.INFO, Packet.STATUS]
    results = b"".join(one.payload for one in found if one.kind is Packet.RESULTS)
    assert len(results) == 6 * prediction_bytes(design.schedule.loss.arithmetic)
