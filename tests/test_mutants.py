"""Mutants of a netlist: each is one change, found by the benches or proved to change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.parts.order import epoch_order
from counterflow.design.schedule.planner import plan
from counterflow.results.mutants import Keeper, main, section
from counterflow.sim.circuit import circuit_of
from counterflow.sim.equivalence import PROVED, verdict
from counterflow.sim.mutants import CHAIN, Mutant, Standing, mutants_of, run_all, runs_of
from counterflow.sim.simulate import plain_job

SAMPLES = 12


def test_a_mutant_is_told_by_what_is_changed_and_where() -> None:
    command = (
        f"mutate -mode inv -module {CHAIN} -cell $and$1 -port B -portbit 3 -wire a.b -wirebit 2"
    )
    assert str(Mutant(7, command)) == "inv of $and$1.B[3] (a.b[2])"


def test_a_page_says_how_many_were_found_by_what_or_proved_and_names_the_others() -> None:
    text = section(
        {
            "network": "net",
            "mutants": 6,
            "found": {"1": "plain: cycle 3", "2": "plain: cycle 9", "4": "power cycle: x"},
            "proved": {"3": "`inv of y`: changes nothing"},
            "differs": {"5": "`inv of z`: row[3] in cycle 8"},
            "open": {"6": "`inv of w`"},
            "provenance": {"command": "made by"},
        }
    )
    assert "Of 6 mutants 3 are found and 1 proved to change nothing: 66.7 %. `made by`" in text
    assert "| plain | 2 |" in text
    assert "shown to differ:\n\n- 5: `inv of z`: row[3] in cycle 8\n" in text
    assert "Neither found nor proved:\n\n- 6: `inv of w`" in text


def test_an_interrupted_call_goes_on_unless_its_mutants_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterflow.results.mutants.MADE", tmp_path)
    keeper = Keeper("net", "these")
    keeper.done.proofs["2"] = ["open", "", 60]
    keeper.keep(Standing({1: "plain: x"}, {2: 4}))
    again = Keeper("net", "these")
    assert again.standing() == Standing({1: "plain: x"}, {2: 4})
    assert again.done.proofs == {"2": ["open", "", 60]}
    assert Keeper("net", "others").standing() == Standing()


def test_a_count_that_is_none_is_refused_before_work_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tiny", "--count", "0"])
    assert ended.value.code == 2
    assert "--count: '0' is no number from 1 on" in capsys.readouterr().err


def test_without_abc_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("counterflow.results.mutants.require", lambda: None)
    monkeypatch.setenv("PATH", "")
    assert main(["tiny"]) == 1
    assert "install the Debian package berkeley-abc" in capsys.readouterr().err


@pytest.mark.slow
def test_most_mutants_of_a_small_network_are_found_and_none_of_these_is_proved_equal() -> None:
    planned = plan(load("tiny"))
    dataset = synthetic(planned.description.elements, planned.description.classes, SAMPLES, 1)
    made = mutants_of(planned, 12, seed=3)
    assert len(made.mutants) == 12
    plain = plain_job(planned, dataset, epoch_order(SAMPLES, 1, 0), 1)
    standing, runs = Standing(), runs_of(planned, plain, SAMPLES)[:2]
    left = run_all(made, runs, standing, on_progress=lambda *_: None)
    assert len(standing.found) + len(left) == 12
    assert len(standing.found) >= 6
    assert all(
        said.split(": ")[0] in ("plain", "kinds of tokens and settings change")
        for said in standing.found.values()
    )
    circuit = circuit_of(planned, made)
    assert verdict(circuit, 0, seconds=20) == (PROVED, "changes nothing")
    for number in standing.found:
        assert verdict(circuit, number, seconds=4).kind != PROVED
