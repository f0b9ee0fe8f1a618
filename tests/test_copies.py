"""Units without weights stand once for each loss whose gradients pass them."""

from __future__ import annotations

import pytest

from counterflow.design.graph import Unit
from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, load
from counterflow.design.schedule.initial import generator_states
from counterflow.design.schedule.planner import plan
from counterflow.design.units.rejoin import RejoinUnit
from counterflow.golden.training.start import initial_chain
from counterflow.golden.units.norm import NormState
from tests.fast_pair import mixed
from tests.interlocked import COPIES, NETWORKS, PAIRWISE, design
from tests.test_interlocking import data_of

SEVERAL = (PAIRWISE, COPIES)


def copies(name: str) -> dict[str, list[Unit]]:
    """The units of a network that have copies, and these."""
    units = design(name).description.graph.units
    found: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.serves:
            found.setdefault(unit.name.removesuffix(f"l{unit.serves}"), []).append(unit)
    return found


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in SEVERAL])
def test_no_unit_has_a_copy_where_gradients_of_one_loss_pass_it(name: str) -> None:
    assert not copies(name)
    assert not any(isinstance(one, RejoinUnit) for one in design(name).description.graph.units)


def test_every_kind_without_weights_has_copies() -> None:
    found = {unit.kind for name in SEVERAL for one in copies(name).values() for unit in one}
    assert found == {"norm", "group_norm", "tanh", "pool", "sum", "fork", "subsample"}
    assert {len(one) for name in SEVERAL for one in copies(name).values()} == {1, 2}


@pytest.mark.parametrize("name", SEVERAL)
def test_a_copy_passes_back_the_gradients_of_its_loss_alone(name: str) -> None:
    graph = design(name).description.graph
    by_name = {unit.name: unit for unit in graph.units}
    for original, found in copies(name).items():
        for copy in found:
            assert {edge.paths for edge in copy.outputs} == {(copy.serves,)}
            assert {edge.paths for edge in copy.inputs} <= {(copy.serves,), ()}
            assert copy.component == by_name[original].component
        losses = [unit.serves for unit in found]
        own = by_name[original].outputs[0].paths
        assert len(own) == 1
        assert own[0] > max(losses)  # the farthest loss that passes is that of the original


@pytest.mark.parametrize("name", SEVERAL)
def test_copies_of_a_norm_have_the_statistics_of_the_original(name: str) -> None:
    planned = design(name)
    chain = initial_chain(planned.description, planned.schedule, 5)
    chain.run(mixed(40, 1), *data_of(chain))
    names = [stage.name for stage in planned.schedule.stages]
    states = dict(zip(names, chain.states, strict=True))
    compared = 0
    for original, found in copies(name).items():
        own = states.get(original)
        if isinstance(own, NormState):
            for copy in found:
                other = states[copy.name]
                assert isinstance(other, NormState)
                assert (other.mean == own.mean).all()
                assert (other.variance == own.variance).all()
                assert own.mean.any()
                compared += 1
    assert compared == (2 if name == PAIRWISE else 0)


@pytest.mark.parametrize("name", SEVERAL)
def test_random_bits_of_others_do_not_depend_on_copies(name: str) -> None:
    schedule = design(name).schedule
    states = generator_states(schedule, 1)
    assert len(set(states)) == len(states)
    bodies = [
        state
        for stage, state in zip(schedule.stages, states, strict=True)
        if not stage.unit.serves and not stage.unit.head
    ]
    fields = {one: getattr(design(name).description, one) for one in Description.model_fields}
    whole = Description.model_validate({**fields, "interlocking": len(fields["components"])})
    assert bodies == generator_states(plan(whole).schedule, 1)


def test_families_are_cut_behind_each_block() -> None:
    found = load("resnet8-w4-threewise")
    assert (found.components, found.interlocking) == ("residual", 3)
    assert max(unit.component for unit in found.graph.units) == 3
    paper = load("resnet32-interlocked")
    assert paper.interlocking == 2
    assert max(unit.component for unit in paper.graph.units) == 15
    assert load("resnet32").parameters < paper.parameters  # those of heads


def test_a_family_that_cannot_be_is_told_as_ever() -> None:
    with pytest.raises(DescriptionError, match="no such residual network of 7 layers"):
        load("resnet7-local")
