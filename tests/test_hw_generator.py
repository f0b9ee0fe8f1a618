"""The random generator makes golden's sequence, and stands still unless told to step."""

from __future__ import annotations

import random

import pytest

from counterflow.golden.parts import generator as golden
from counterflow.hw.weighted.generator import Generator
from counterflow.sim.streams import respond

SEEDS = (1, 0x80000000, 0xFFFFFFFF, 0x1234567, 2463534242)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sequence_behind_a_loaded_state_is_golden_s(seed: int) -> None:
    count = 300
    columns = {
        "load": [1] + [0] * count,
        "initial": [seed] + [0] * count,
        "step": [0] + [1] * count,
    }
    states = [state for (state,) in respond(Generator(), columns, ["state"])]
    assert states[1] == seed
    assert states[2:] == golden.draws(seed, count)[:-1].tolist()


def test_it_starts_with_one_and_moves_on_only_when_stepped() -> None:
    source = random.Random(3)
    steps = [source.randrange(2) for _ in range(400)]
    nothing = [0] * len(steps)
    seen = respond(Generator(), {"step": steps, "load": nothing, "initial": nothing}, ["state"])
    expected = 1
    for cycle, (step, (state,)) in enumerate(zip(steps, seen, strict=True)):
        assert state == expected, f"cycle {cycle}"
        expected = golden.step(expected) if step else expected


def test_a_load_wins_over_a_step_and_takes_effect_in_the_next_cycle() -> None:
    columns = {"load": [0, 1, 0, 0], "step": [1, 1, 0, 1], "initial": [7, 0xCAFE, 9, 9]}
    states = [state for (state,) in respond(Generator(), columns, ["state"])]
    assert states == [1, golden.step(1), 0xCAFE, 0xCAFE]


def test_no_seed_meets_the_state_of_zero_which_never_leaves_itself() -> None:
    """Loading zero is the one thing that a host must not do: it would be zero for ever."""
    columns = {"load": [1, 0, 0, 0], "step": [0, 1, 1, 1], "initial": [0] * 4}
    assert [state for (state,) in respond(Generator(), columns, ["state"])][1:] == [0, 0, 0]
    assert golden.step(0) == 0
    assert 0 not in golden.draws(1, 10_000)
