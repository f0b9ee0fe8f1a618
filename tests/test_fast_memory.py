"""The compiled loops write nothing outside the arrays that were made for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.fast import chain as fast
from counterflow.golden.fast.chain import FastChain
from counterflow.golden.fast.memory import LINE, build_memory
from counterflow.golden.fast.records import Memory
from counterflow.golden.training.start import initial_states
from counterflow.sim.shapes import network
from tests.fast_pair import mixed
from tests.images import convolution
from tests.interlocked import NETWORKS, design

AROUND = 1 << 12  # bytes on each side of an array that must stay as they are
MARK = 0xA5

WIDE = "wide: more outputs than there are words to spare"


def described(name: str) -> Description:
    if name == WIDE:
        return network((3, 3, 2), [convolution(70, (2, 2)), convolution(65, (1, 1))])
    return load(name) if name not in NETWORKS else design(name).description


class Fenced:
    """A memory whose arrays stand between bytes that nothing may write."""

    def __init__(self, memory: Memory) -> None:
        self._rooms: dict[str, tuple[Any, int, int]] = {}
        fields = memory._asdict()
        arrays = {name: one for name, one in fields.items() if isinstance(one, np.ndarray)}
        fenced = {name: self._copy(name, one) for name, one in arrays.items()}
        self.memory = Memory(**{**fields, **fenced})

    def _copy(self, name: str, array: Any) -> Any:
        room = np.full(array.nbytes + 2 * AROUND + LINE, MARK, np.uint8)
        start = AROUND - (room.ctypes.data + AROUND) % LINE
        end = start + array.nbytes
        inside = room[start:end].view(array.dtype).reshape(array.shape)
        inside[...] = array
        self._rooms[name] = room, start, end
        return inside

    @property
    def broken(self) -> list[str]:
        """The arrays beside which something was written."""
        return [
            name
            for name, (room, start, end) in self._rooms.items()
            if (room[:start] != MARK).any() or (room[end:] != MARK).any()
        ]


def run(name: str, monkeypatch: pytest.MonkeyPatch) -> Fenced:
    """Some tokens through a chain in a fenced memory."""
    made: list[Fenced] = []

    def fence(schedule: Schedule, states: Any) -> Memory:
        made.append(Fenced(build_memory(schedule, states)))
        return made[-1].memory

    monkeypatch.setattr(fast, "build_memory", fence)
    description = described(name)
    schedule = plan(description).schedule
    chain = FastChain(description, schedule, initial_states(description, schedule, 1))
    random = np.random.default_rng(1)
    tokens = mixed(2 * schedule.delay + 3, 1, accumulate=description.recipe.accumulate)
    kinds = np.array([token.kind for token in tokens], np.uint8)
    indices = np.array([token.sample for token in tokens], np.int64)
    samples = random.integers(0, schedule.graph.source.x.max, (16, description.elements))
    chain.run_all(kinds, indices, samples, random.integers(0, 3, 16))
    (found,) = made
    return found


@pytest.mark.parametrize("name", [WIDE, *NETWORKS, "tiny-conv", "tiny-res", "resnet8-w4"])
def test_nothing_is_written_outside_an_array(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(name, monkeypatch).broken == []


def test_what_is_written_outside_is_seen() -> None:
    schedule = plan(load("tiny")).schedule
    fenced = Fenced(build_memory(schedule, initial_states(load("tiny"), schedule, 1)))
    room, start, end = fenced._rooms["stash"]
    for place in (start - 1, end):
        room[place] += 1
        assert fenced.broken == ["stash"]
        room[place] -= 1
    assert fenced.broken == []
