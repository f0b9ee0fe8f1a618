"""Random networks that branch: golden and its fast twin agree, and the schedule is the exact one.

Times and depths are counted again here, element by element, from the latencies of the units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import fork, pooling, sum, tanh
from counterflow.design.units.latency import BORDER, INTAKE, QUEUE
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import gradient_offsets
from counterflow.golden.fast.chain import MITIGATIONS
from counterflow.golden.units.update import Settings
from counterflow.sim.shapes import random_branches
from tests.branches import NETWORKS, design, rectified
from tests.fast_pair import Pair, mixed
from tests.subsampled import pairs_of, subsampled

SEEDS = range(1, 25)
TOKENS = 24
Cycles = NDArray[np.int64]


def test_random_networks_nest_and_have_everything_in_their_branches() -> None:
    descriptions = [random_branches(seed) for seed in SEEDS]
    kinds = Counter(unit.kind for one in descriptions for unit in one.graph.units)
    assert kinds["fork"] == kinds["sum"] > 50
    assert min(kinds["pool"], kinds["tanh"]) >= 10
    subsamples = [u for one in descriptions for u in one.graph.units if u.kind == "subsample"]
    assert len(subsamples) > 10
    assert {u.inputs[0].wanted for u in subsamples} == {False, True}
    assert {
        plan(one).schedule.by_name[u.name].numbers.begin > 1
        for one in descriptions
        for u in one.graph.units
        if u.kind == "subsample"
    } == {False, True}
    units = [unit for one in descriptions for unit in one.graph.units]
    assert any(unit.name.count("b") > 1 for unit in units if unit.kind == "sum")
    assert any("s" in unit.name.removeprefix("sum") for unit in units if unit.kind == "sum")
    assert {edge.wanted for unit in units if unit.kind == "fork" for edge in unit.inputs} == {
        False,
        True,
    }
    strided = [unit for one in descriptions for unit in one.weighted if "s" in unit.name[5:]]
    assert any(max(unit.geometry.stride) > 1 for unit in strided)
    assert random_branches(3) == random_branches(3)


# ---- golden and its twin -----------------------------------------------------------------------


@pytest.mark.xdist_group("compiles")  # once, and not in each process at the same time
@pytest.mark.parametrize("seed", SEEDS)
def test_the_fast_chain_is_golden_bit_for_bit(seed: int) -> None:
    """Scores, losses, every parameter, velocity and generator state, and what saturated."""
    recipe = {
        "mitigation": MITIGATIONS[seed % len(MITIGATIONS)],
        "accumulate": 1 + 2 * (seed % 2),
        "learning_rate": 2.0**-5,
        "momentum": 0.75,
    }
    pair = Pair(random_branches(seed, recipe=recipe), seed=seed, extreme=seed % 3 == 0)
    pair.run(mixed(12, seed, accumulate=recipe["accumulate"]))  # type: ignore[call-overload]
    pair.set(Settings(predict=False))
    pair.run(mixed(2 * pair.schedule.delay + 4, seed + 1))


@pytest.mark.parametrize("seed", [2, 5, 11, 20])
def test_it_is_so_where_sums_end_in_a_relu(seed: int) -> None:
    """Activations pass forks, pools and sums on their way from one to whoever masks."""
    plain = random_branches(seed, recipe={"learning_rate": 2.0**-5, "momentum": 0.75})
    fields = plain.model_dump(mode="json", exclude_none=True)
    layers = [rectified(layer) for layer in fields.pop("layers")]
    description = Description.model_validate({**fields, "layers": layers})
    sums = [unit for unit in description.graph.units if unit.kind == "sum"]
    assert all(unit.numbers.relu for unit in sums)  # type: ignore[attr-defined]
    pair = Pair(description, seed=seed, extreme=seed % 2 == 0)
    pair.run(mixed(12, seed))


# ---- times -------------------------------------------------------------------------------------


def serialised(ready: Cycles) -> Cycles:
    """When the elements of all tokens [tokens, elements] leave a border, one a cycle."""
    leaving, last = [], -1
    for cycle in ready.ravel().tolist():
        last = max(cycle, last + 1)
        leaving.append(last)
    return np.array(leaving).reshape(ready.shape)


def most_at_once(begin: Cycles, end: Cycles) -> int:
    """The most that is there together in a run, of things that are there in [begin, end)."""
    changes = Counter(begin.ravel().tolist())
    changes.subtract(end.ravel().tolist())
    held = most = 0
    for cycle in sorted(changes):
        held += changes[cycle]
        most = max(most, held)
    return most


def latest(times: Cycles, group: Cycles) -> Cycles:
    """The last time of each group, of the elements of all tokens."""
    found = np.zeros((len(times), int(group.max()) + 1), np.int64)
    np.maximum.at(found, (slice(None), group), times)
    return found


class Run:
    """A stall-free run: when each edge is passed forward and back, [tokens, elements]."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, graph = schedule, schedule.graph
        self.slots = np.arange(TOKENS)[:, None] * schedule.interval
        elements = np.arange(graph.source.elements)
        self.forward = {graph.source.number: len(elements) - 1 + INTAKE + elements + self.slots}
        self.back: dict[int, Cycles] = {}
        self.delays: dict[int, int] = {}
        for unit in schedule.units:
            self._forward(unit)
        for unit in reversed(schedule.units):
            self._back(unit)

    def _forward(self, one: Any) -> None:
        came = [self.forward[edge.number] + BORDER for edge in one.unit.inputs]
        if isinstance(one, Stage):
            left = one.output_times + self.slots
        elif not isinstance(one, PassingStage):
            return
        else:
            left = {
                "fork": lambda: came[0],
                "sum": lambda: np.maximum(*came) + fork.JOIN,
                "tanh": lambda: came[0] + tanh.FORWARD,
                "subsample": lambda: subsampled(one, came[0]),
                "pool": lambda: latest(came[0], one.numbers.window_of) + pooling.FORWARD,
            }[one.unit.kind]()
        for edge in one.unit.outputs:
            self.forward[edge.number] = serialised(left)

    def _back(self, one: Any) -> None:
        wanted = [edge.number for edge in one.unit.inputs if edge.wanted]
        if not wanted:
            return
        came = [self.back[edge.number] + BORDER for edge in one.unit.outputs]
        delay = max((self.delays[edge.number] for edge in one.unit.outputs), default=0)
        if isinstance(one, Stage):
            left, delay = one.back + gradient_offsets(one.tiling) + self.slots, one.delay
        elif not isinstance(one, PassingStage):
            left = one.start + one.output_offsets + self.slots
        else:
            left = {
                "fork": lambda: np.maximum(*came) + fork.JOIN,
                "sum": lambda: came[0] + sum.BACKWARD,
                "tanh": lambda: came[0] + tanh.BACKWARD,
                "subsample": lambda: came[0][:, pairs_of(one)[1]] + QUEUE,
                "pool": lambda: came[0][:, one.numbers.window_of] + pooling.BACKWARD,
            }[one.unit.kind]()
        for number in wanted:
            self.back[number], self.delays[number] = serialised(left), delay

    def units(self, kind: str) -> Iterator[Any]:
        return (one for one in self.schedule.units if one.unit.kind == kind)


@pytest.fixture(scope="module", params=[*NETWORKS, *SEEDS], ids=str)
def run(request: pytest.FixtureRequest) -> Run:
    if isinstance(request.param, str):
        return Run(design(request.param).schedule)
    return Run(plan(random_branches(request.param)).schedule)


def test_every_border_is_passed_when_the_schedule_says(run: Run) -> None:
    schedule = run.schedule
    for unit in schedule.units:
        for border in unit.borders:
            times = (run.forward if border.forward else run.back)[border.edge.number]
            for token in range(TOKENS):
                expected = border.cycles(token, schedule.interval, 0)
                assert times[token].tolist() == expected.tolist(), (unit.name, border.port, token)


def test_activations_wait_in_a_sum_as_long_as_their_fellows_take_and_have_just_the_room(
    run: Run,
) -> None:
    for one in run.units("sum"):
        came = [run.forward[edge.number] + BORDER for edge in one.unit.inputs]
        together = np.maximum(*came) + QUEUE
        for times, words in zip(came, one.numbers.queues, strict=True):
            assert words == most_at_once(times, together + 1)
        if one.numbers.masks:
            dy = run.back[one.unit.outputs[0].number] + BORDER
            assert one.numbers.stash_words == most_at_once(together, dy + 1)


def test_gradients_wait_in_a_fork_as_long_as_their_fellows_take_and_have_just_the_room(
    run: Run,
) -> None:
    """When a run ends, those stay whose fellows have not come back; only then there are so many."""
    for one in run.units("fork"):
        if not one.numbers.wanted:
            assert set(one.numbers.queues) == {0}
            continue
        edges = [edge.number for edge in one.unit.outputs]
        came = [run.back[edge] + BORDER for edge in edges]
        together = np.maximum(*came) + QUEUE
        for edge, times, words in zip(edges, came, one.numbers.queues, strict=True):
            delay = run.delays[edge]
            ended = most_at_once(times[: TOKENS - delay], together[: TOKENS - one.delay] + 1)
            assert words == max(ended, most_at_once(times, together + 1))


def test_a_subsampling_unit_has_just_the_room_for_what_waits_in_it(run: Run) -> None:
    for one in run.units("subsample"):
        x, y = one.unit.inputs[0], one.unit.outputs[0]
        of_y, of_x = pairs_of(one)
        kept, sent = np.unique(of_y, return_index=True)
        came, left = run.forward[x.number] + BORDER, run.forward[y.number]
        assert one.numbers.x_words == most_at_once(came[:, kept], left[:, sent] + 1)
        if x.wanted:
            kept, sent = np.unique(of_x, return_index=True)
            came, left = run.back[y.number] + BORDER, run.back[x.number]
            assert one.numbers.dy_words == most_at_once(came[:, kept], left[:, sent] + 1)
            assert one.returning == (one.numbers.dy_words,)
        else:
            assert [name for name, _, _ in one.numbers.memories] == ["x"]
            assert one.returning == (0,)
        assert one.waiting == (one.numbers.x_words,)


def test_what_waits_at_an_edge_is_told(run: Run) -> None:
    by_number = {waiting.edge.number: waiting for waiting in run.schedule.edges}
    for one in run.units("sum"):
        found = [by_number[edge.number].activations for edge in one.unit.inputs]
        assert tuple(found) == one.numbers.queues
    for one in run.units("fork"):
        found = [by_number[edge.number].gradients for edge in one.unit.outputs]
        assert tuple(found) == one.numbers.queues


def test_no_unit_is_ahead_of_one_that_feeds_it(run: Run) -> None:
    """Delays do not increase along any path, from the input to the loss."""
    schedule = run.schedule
    for unit in schedule.units:
        for other in schedule.graph.above(unit.unit):
            below = schedule.by_name[unit.name]
            assert below.delay >= schedule.by_name[other.name].delay or unit.delay == 0


def test_runs_of_equal_delay_are_no_rule() -> None:
    """Branches of unequal delay are among those that are looked at, on either side."""
    differences = set()
    for seed in SEEDS:
        schedule = plan(random_branches(seed)).schedule
        run = Run(schedule)
        for one in run.units("fork"):
            if one.numbers.wanted:
                first, second = (run.delays[edge.number] for edge in one.unit.outputs)
                differences.add(int(np.sign(first - second)))
    assert [key for key, _ in groupby(sorted(differences))] == [-1, 0, 1]
