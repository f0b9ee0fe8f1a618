"""Interlocking: every component learns from the farthest loss that it sees, and nothing else.

Golden, its fast twin and the float reference learn the same; gradients are those of finite
differences of the one loss that a component sees.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import BUBBLE, Kind, Token
from counterflow.design.schedule.build import build_schedule
from counterflow.design.schedule.folding import fold
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.normal_times import NormalStage
from counterflow.golden.chain import Chain, SlotRecord
from counterflow.golden.fast.chain import MITIGATIONS
from counterflow.golden.reference.chain import reference_chain
from counterflow.golden.training.epochs import train
from counterflow.golden.training.start import initial_chain
from counterflow.golden.units.update import Settings
from tests.fast_pair import Pair, mixed, trained
from tests.goldens import WIDE, distance_to_reference
from tests.interlocked import BLOCKS, COPIES, DENSE, EXITS, NETWORKS, PAIRWISE, design
from tests.test_gradients import assert_close, differences
from tests.test_training import CLUSTERS

CLASSES = 3


# ---- who learns from what ----------------------------------------------------------------------


def part(schedule: Schedule, name: str) -> int:
    """The component that a unit is of, as its body or as its head."""
    return int(schedule.by_name[name].unit.component)


def learners(name: str, loss: str) -> set[str]:
    """The units of a network that learn from a loss, by the rule and not by its graph.

    Copies learn nothing.
    """
    schedule, description = design(name).schedule, design(name).description
    last = part(schedule, "loss")
    sees = last if description.interlocking is None else description.interlocking
    end = schedule.by_name[loss].unit

    def learns(unit: Any) -> bool:
        if unit.head or end.head:
            own = unit.head == end.head
            return own or (not unit.head and unit.component + sees - 1 == end.head)
        return bool(unit.component + sees > last)

    originals = [stage for stage in schedule.stages if not stage.unit.serves]
    return {stage.name for stage in originals if learns(stage.unit)}


LOSSES = [
    (name, loss.name) for name in NETWORKS if name != EXITS for loss in design(name).schedule.losses
]


def moved(chain: Chain, tokens: list[Token]) -> dict[tuple[str, int], Any]:
    """The state after each slot of each unit that learnt in it."""
    found: dict[tuple[str, int], Any] = {}
    names = [stage.name for stage in chain.schedule.stages]

    def see(record: Any) -> None:
        if isinstance(record, SlotRecord) and record.state is not None:
            found[names[record.stage], record.slot] = record.state

    chain.run(tokens, *data_of(chain), see)
    return found


def data_of(chain: Chain) -> tuple[Any, Any]:
    random = np.random.default_rng(2)
    source = chain.schedule.graph.source
    samples = random.integers(0, source.x.max, (16, source.elements), endpoint=True)
    return samples, random.integers(0, CLASSES, 16)


def with_another_label(loss: Callable[..., Any], token: int) -> Callable[..., Any]:
    """A loss that takes token number `token` for one of another class."""
    count = iter(range(1_000))

    def changed(logits: Any, label: int) -> Any:
        return loss(logits, (label + (next(count) == token)) % CLASSES)

    return changed


@pytest.mark.parametrize(("name", "loss"), LOSSES)
def test_a_label_changes_the_components_that_learn_from_its_loss_from_their_delays_on(
    name: str, loss: str
) -> None:
    """Those above not before what they get has changed, those below not before what passes back.

    Nothing does where each sees its own loss, and so these never change.
    A unit whose ReLUs are shut for that token changes with a later one.
    """
    token, count, planned = 9, 120, design(name)
    schedule, tokens = planned.schedule, trained(count)
    recipe = planned.description.recipe
    if recipe.accumulate > 1:
        tokens = mixed(count, 5, accumulate=recipe.accumulate)
        tokens[token] = Token(Kind.TRAIN, 3)
    plain, other = (initial_chain(planned.description, schedule, 3) for _ in range(2))
    other.losses[loss] = with_another_label(other.losses[loss], token)  # type: ignore[assignment]
    expected, found = moved(plain, tokens), moved(other, tokens)
    learning = learners(name, loss)
    lowest = min(part(schedule, unit) for unit in learning)
    assert expected.keys() == found.keys()
    first: dict[str, int] = {}
    for (unit, slot), state in expected.items():
        for array, value in state.arrays.items():
            if (value != found[unit, slot].arrays[array]).any():
                first.setdefault(unit, slot)
    delays = {stage.name: stage.delay for stage in schedule.stages}
    if planned.description.interlocking == 1:
        assert not [unit for unit in first if part(schedule, unit) < lowest]
    own = {unit: slot for unit, slot in first.items() if unit in learning}
    assert set(own) == learning
    assert all(slot >= token + delays[unit] for unit, slot in own.items())
    end = schedule.by_name[loss].unit.inputs[0]
    scores = schedule.graph.maker(end)
    assert scores is not None
    assert own[scores.name] == min(own.values()) == token + delays[scores.name]
    others = [slot for unit, slot in first.items() if unit not in learning]
    assert all(slot > min(own.values()) for slot in others)
    assert bool(others) == (lowest < part(schedule, "loss"))


def test_heads_from_which_nothing_learns_change_no_other_weight() -> None:
    exits = design(EXITS)
    fields = {name: getattr(exits.description, name) for name in Description.model_fields}
    without = Description.model_validate({**fields, "exits": False})
    # In slots so long that forks on the way delay no unit by another one.
    plans = [(one, build_schedule(one, fold(one), 64)) for one in (exits.description, without)]
    chains = [initial_chain(*one, 4) for one in plans]
    said = [chain.run(mixed(50, 3), *data_of(chain)) for chain in chains]
    with_exits, plain = said
    assert [one.scores.tolist() for one in with_exits] == [one.scores.tolist() for one in plain]
    assert all(set(one.heads) == {1, 2} for one in with_exits)
    assert not any(one.heads for one in plain)
    states = [
        dict(zip([stage.name for stage in schedule.stages], chain.states, strict=True))
        for (_, schedule), chain in zip(plans, chains, strict=True)
    ]
    assert len(states[0]) == len(states[1]) + 2
    for unit, state in states[1].items():
        assert state.generator == states[0][unit].generator
        for array, value in state.arrays.items():
            assert value.tolist() == states[0][unit].arrays[array].tolist()
    starts = initial_chain(exits.description, exits.schedule, 4).states
    names = [stage.name for stage in exits.schedule.stages]
    for unit, start in zip(names, starts, strict=True):
        assert (states[0][unit].weight != start.weight).any(), unit  # heads learn, too


# ---- golden, its twin and the reference --------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_the_fast_chain_is_golden_bit_for_bit(name: str, mitigation: str) -> None:
    description = design(name).description
    recipe = {"mitigation": mitigation}
    changed = description.model_copy(
        update={"recipe": description.recipe.model_copy(update=recipe)}
    )
    pair = Pair(changed, seed=len(name), extreme=mitigation == "sc")
    pair.run(mixed(24, 1, accumulate=changed.recipe.accumulate))
    pair.set(Settings(predict=False))
    pair.run(mixed(2 * pair.schedule.delay + 4, 2))


@pytest.mark.parametrize("name", [PAIRWISE, COPIES])
def test_a_copy_moves_neither_its_beta_nor_its_generator(name: str) -> None:
    """Where statistics run they move, and so do the controls."""
    description, schedule = design(name).description, design(name).schedule
    chain = initial_chain(description, schedule, 3)
    before = [state.copy() for state in chain.states]
    chain.run(trained(40), *data_of(chain))
    copies = 0
    for stage, old, new in zip(schedule.stages, before, chain.states, strict=True):
        moved = {one for one, value in new.arrays.items() if (value != old.arrays[one]).any()}
        if stage.unit.serves:
            copies += 1
            assert moved == set(stage.running)
            assert not new.beta.any()
        assert (new.generator == old.generator) == bool(stage.unit.serves)
    assert copies


def fine(sees: int = 1, **recipe: Any) -> Description:
    """Three dense components in formats that hardly round."""
    return Description.model_validate(
        {
            "name": "net",
            "inputs": 6,
            "layers": [{"outputs": 8}, {"outputs": 7}, {"outputs": 3, "activation": "none"}],
            "components": [1, 1, 1],
            "interlocking": sees,
            "formats": WIDE,
            "rounding": {"update": "nearest-even"},
            "recipe": {"learning_rate": 2.0**-7, "momentum": 0.5, **recipe},
        }
    )


@pytest.mark.parametrize("mitigation", ["none", "lwpv+sc", "stash"])
@pytest.mark.parametrize("scheme", ["pipelined", "sequential"])
@pytest.mark.parametrize("sees", [1, 2])
def test_with_fine_formats_golden_is_the_float_reference(
    mitigation: str, scheme: str, sees: int
) -> None:
    """As networks without heads are."""
    description = fine(sees, mitigation=mitigation, scheme=scheme)
    off, changed = distance_to_reference(description, exact_loss=True)
    assert changed > 0.3
    assert off < 2.0**-17


def test_training_tells_accuracy_by_head_alike_in_integers_and_floats() -> None:
    description = Description.model_validate(
        {
            "name": "net",
            "inputs": 8,
            "layers": [{"outputs": 8}, {"outputs": 8}, {"outputs": 4, "activation": "none"}],
            "components": [1, 1, 1],
            "interlocking": 1,
            "recipe": {"learning_rate": 2.0**-7, "epochs": 3},
        }
    )
    schedule = plan(description).schedule
    integers, floats = (
        train(description, schedule, CLUSTERS, model=model).epochs[-1]
        for model in ("integer", "float")
    )
    assert [one.component for one in integers.heads] == [1, 2]
    for one, other in zip(integers.heads, floats.heads, strict=True):
        assert one.accuracy > 0.8
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.1)
        assert one.loss == pytest.approx(other.loss, rel=0.15, abs=0.05)


# ---- finite differences -------------------------------------------------------------------------

RUNNING = (BLOCKS, PAIRWISE)  # norms whose gradients are those of many samples
SMOOTH = [one for one in NETWORKS if one not in RUNNING]


def check(name: str, told_of: Callable[[int], int] = lambda head: head) -> None:
    """One token and then bubbles leave u = the gradient times the rate, from rest.

    The rate is so small that it does not matter which units have moved when a gradient passes.
    `told_of`: the head whose loss a unit should learn from, if its own were the given one.
    """
    planned = design(name)
    rate = 2.0**-30
    update = {"mitigation": "none", "momentum": 0.0, "learning_rate": rate, "accumulate": 1}
    recipe = planned.description.recipe.model_copy(update=update)
    description = planned.description.model_copy(update={"recipe": recipe})
    schedule = plan(description).schedule
    chain = reference_chain(description, schedule, 3)
    samples = np.random.default_rng(1).random((1, description.elements))
    labels = np.array([1])
    heads = {end.unit.inputs[0].paths[-1]: end.unit.head for end in schedule.losses}

    def loss(head: int) -> float:
        said = chain.run([Token(Kind.INFER, 0)], samples, labels)[0]
        return said.heads[head].loss if head else said.loss

    expected, count, frozen = [], 0, []
    for stage, unit in zip(schedule.stages, chain.units, strict=True):
        if stage.unit.serves:
            frozen += unit.parameters
            continue
        count += 1 if isinstance(stage, NormalStage) else 2
        head = told_of(heads[stage.unit.outputs[0].paths[-1]])
        expected += [(one, differences(partial(loss, head), one.value)) for one in unit.parameters]
    chain.run([Token(Kind.TRAIN, 0)] + [BUBBLE] * schedule.delay, samples, labels)
    assert len(expected) == count
    for one, slopes in expected:
        assert_close(one.step / rate, slopes)
    assert not any(one.value.any() or one.step.any() for one in frozen)  # betas of copies


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_the_loss_that_a_component_learns_from(name: str) -> None:
    check(name)


def test_the_gradient_of_another_loss_is_found() -> None:
    for other in (lambda head: 0, lambda head: head and 1):
        with pytest.raises(AssertionError):
            check(DENSE, other)
