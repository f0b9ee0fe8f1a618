"""A host trains a simulated board whose network has heads, and finds what mixes them up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest

from counterflow.commands.board_sim import BAUD, FREQUENCY, SIMULATED
from counterflow.design.bus import link
from counterflow.design.data.training import training_data
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.loss import NATS
from counterflow.golden.training.models import IntegerModel
from counterflow.golden.training.start import initial_states
from counterflow.host.course import course
from counterflow.host.device import Device
from counterflow.host.session import Session
from counterflow.host.training import DifferenceError, Training
from counterflow.host.transport import LinkError
from counterflow.hw.parts.merge import Merge
from counterflow.sim.boards.board import Board, board_verilog
from counterflow.sim.proofs.proof import Mutant
from tests.headed import headed

pytestmark = [pytest.mark.xdist_group("board"), pytest.mark.slow]  # one build of the board
SLICE = 2000  # cycles between two looks at the line
SAMPLES, SEED = 40, 5


class Pins:
    """A transport that goes straight to the pins of a simulated board."""

    name = "pins"

    def __init__(self, board: Board) -> None:
        self.board, self.found = board, b""

    def read(self, *, wait: bool) -> bytes:
        found, self.found = self.found + self.board.run(SLICE if wait else 0), b""
        return found

    def write(self, data: bytes) -> None:
        self.found += self.board.run(len(data) * self.board.cycles_a_byte, data)

    def close(self) -> None:
        pass


@contextmanager
def trained(design: Plan, verilog: str | None = None) -> Iterator[Training]:
    """A verified training of a board, which is still to be run."""
    data = training_data(design.description)
    way = course(
        design.description,
        design.schedule,
        data,
        seed=SEED,
        epochs=range(2),
        limit=SAMPLES,
        evaluate="each",
    )
    states = initial_states(design.description, design.schedule, SEED)
    board = Board(design, frequency=FREQUENCY, baud=BAUD, board=SIMULATED, verilog=verilog)
    with board, Device(Pins(board), design) as device:
        device.empty()
        device.load(states)
        yield Training(device, way, states, verify=15)


def test_every_head_is_counted_and_equals_the_golden_model() -> None:
    design = headed()
    with trained(design) as training:
        assert training.device.info.heads == 2
        outcome = training.run(0)
        legs = training.course.legs
        model = IntegerModel(design.description, design.schedule, training.initial)
        for leg, tally in zip(legs, outcome.tallies, strict=True):
            model.set(leg.settings)
            wanted = model.run(leg.kinds, leg.indices, training.course.part(leg)).every
            found = {number: (one.right, one.bits) for number, one in tally.losses.items()}
            numbers = (0, *design.schedule.heads)
            assert found == {
                number: (right, round(loss / NATS))
                for number, (right, loss) in zip(numbers, wanted, strict=True)
            }
            assert {one.samples for one in tally.losses.values()} == {tally.samples}
        for found_state, state in zip(outcome.states, model.states, strict=True):
            assert np.array_equal(found_state.weight, state.weight)
    assert outcome.verified >= 6
    assert outcome.tallies[-1].to_json().keys() >= {"accuracy", "loss", "heads"}


def relabelled(numbers: dict[int, int]) -> Callable[[int], tuple[int, int]]:
    """What a result's first byte says where channels are taken for others."""

    def channel_of(first: int) -> tuple[int, int]:
        kind, channel = link.channel_of(first)
        return kind, numbers.get(channel, channel)

    return channel_of


@pytest.mark.parametrize(
    ("numbers", "error", "said"),
    [
        ({1: 2, 2: 1}, DifferenceError, "the predictions of head 1 since the last comparison"),
        ({1: 0, 0: 1}, DifferenceError, "the predictions since the last comparison"),
        ({2: 3}, LinkError, "sent 0 predictions of head 2 where 15 others were due"),
    ],
    ids=["exchanged", "for the network's", "unknown"],
)
def test_predictions_with_anothers_number_are_found(
    numbers: dict[int, int], error: type[Exception], said: str
) -> None:
    wrong = mock.patch(f"{Session.__module__}.channel_of", relabelled(numbers))
    with trained(headed()) as training, wrong, pytest.raises(error, match=said):
        training.run(0)


def test_torn_packets_are_found() -> None:
    design, torn = headed(), Mutant(Merge, "idle | (moved & out.last)", "idle | moved").made()
    with mock.patch("counterflow.hw.chain.Merge", torn):
        verilog = board_verilog(design, FREQUENCY, BAUD, SIMULATED)
    said = r"the predictions .*since the last comparison"
    with trained(design, verilog) as training, pytest.raises(DifferenceError, match=said):
        training.run(0)
