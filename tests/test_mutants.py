"""Mutants of a netlist: each is one change; the benches find most, and nothing where none is."""

from __future__ import annotations

import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.parts.order import epoch_order
from counterflow.design.schedule.planner import plan
from counterflow.results.mutants import section
from counterflow.sim.mutants import CHAIN, Mutant, mutants_of, runs_of, survivors
from counterflow.sim.simulate import plain_job

SAMPLES = 12


def test_a_mutant_is_told_by_what_is_changed_and_where() -> None:
    command = (
        f"mutate -mode inv -module {CHAIN} -cell $and$1 -port B -portbit 3 -wire a.b -wirebit 2"
    )
    assert str(Mutant(7, command)) == "inv of $and$1.B[3] (a.b[2])"


def test_a_page_says_how_many_were_found_by_what_and_names_the_others() -> None:
    text = section(
        {
            "network": "net",
            "mutants": 4,
            "found": {"1": "plain: cycle 3", "2": "plain: cycle 9", "4": "power cycle: x"},
            "survivors": {"3": "inv of y"},
            "provenance": {"command": "made by"},
        }
    )
    assert "3 of 4 mutants are found, 75.0 %. `made by`" in text
    assert "| plain | 2 |" in text
    assert "- 3: `inv of y`" in text


@pytest.mark.slow
def test_most_mutants_of_a_small_network_are_found_and_the_design_itself_is_none() -> None:
    planned = plan(load("tiny"))
    dataset = synthetic(planned.description.elements, planned.description.classes, SAMPLES, 1)
    made = mutants_of(planned, 12, seed=3)
    assert len(made.mutants) == 12
    plain = plain_job(planned, dataset, epoch_order(SAMPLES, 1, 0), 1)
    found, left = survivors(made, runs_of(planned, plain, SAMPLES)[:2])
    assert len(found) + len(left) == 12
    assert len(found) >= 6
    assert all(
        said.split(": ")[0] in ("plain", "kinds of tokens and settings change")
        for said in found.values()
    )
