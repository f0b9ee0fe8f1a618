"""Circuits beside each other: what ABC proves equal is, and what differs is never proved."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from counterflow.design.tools.programs import ABC, MissingTool
from counterflow.sim.aig import FALSE, TRUE, Aig, read
from counterflow.sim.circuit import Circuit, _fitting
from counterflow.sim.equivalence import DIFFERS, OPEN, PROVED, verdict
from counterflow.sim.walks import CHANGE, LANES, Lanes, Walks

needs_abc = pytest.mark.skipif(not ABC.present(), reason="berkeley-abc is not installed")


def gates() -> Aig:
    """Of every kind."""
    made = Aig(inputs=2, registers=1)
    a, b, held = made.input(0), made.input(1), made.register(0)
    made.nexts = [made.differ(a, held)]
    made.outputs = [made.both(a, b), made.differ(a, b), made.any([a, b, held]), held ^ 1, TRUE]
    return made


def test_gates_do_what_they_are_called_after() -> None:
    for a, b, held in itertools.product((0, 1), repeat=3):
        nexts, outputs = gates().step([a, b], [held])
        assert nexts == [a ^ held]
        assert outputs == [a & b, a ^ b, a | b | held, 1 - held, 1]


def test_what_is_constant_or_there_already_takes_no_gate() -> None:
    made = Aig(inputs=2, registers=0)
    a, b = made.input(0), made.input(1)
    assert made.both(a, FALSE) == FALSE
    assert made.both(a, a ^ 1) == FALSE
    assert made.both(a, TRUE) == a == made.both(a, a)
    assert made.both(a, b) == made.both(b, a)
    assert len(made.gates) == 1


def test_a_circuit_is_the_same_from_its_file_and_as_a_copy(tmp_path: Path) -> None:
    made = gates()
    made.write(tmp_path / "made.aig")
    again = read(tmp_path / "made.aig")
    copy = Aig(inputs=2, registers=1)
    copy.nexts, copy.outputs = made.copy(copy, [copy.input(0), copy.input(1)], [copy.register(0)])
    for one in (again, copy):
        assert (one.gates, one.nexts, one.outputs) == (made.gates, made.nexts, made.outputs)


COUNT = 10  # states of the counter below


def mutants() -> Circuit:
    """A counter of `COUNT` states with four bits, and inputs that choose a mutant of it.

    1 holds another value in a state that is never reached; 2 in state 7, which an output shows; 3
    flips a register that nobody sees; 4 is what 3 is, and shows it in a state never reached.
    """
    made = Aig(inputs=4, registers=5)  # mutsel[3], count or not
    chosen = [
        made.both(
            made.both(made.input(0) ^ (not number & 1), made.input(1) ^ (not number & 2)),
            made.input(2) ^ (not number & 4),
        )
        for number in range(5)
    ]
    bits, garbage = [made.register(index) for index in range(4)], made.register(4)

    def state(number: int) -> int:
        found = TRUE
        for place, bit in enumerate(bits):
            found = made.both(found, bit ^ (not number >> place & 1))
        return found

    more, carry = [], made.input(3)
    for bit in bits:
        more.append(made.differ(bit, carry))
        carry = made.both(bit, carry)
    wraps = made.both(state(COUNT - 1), made.input(3))
    nexts = [made.both(one, wraps ^ 1) for one in more]
    for number, where in ((1, 12), (2, 7)):
        nexts[0] = made.differ(nexts[0], made.both(chosen[number], state(where)))
    flipped = made.any([chosen[3], chosen[4]])
    made.nexts = [*nexts, made.differ(garbage ^ 1, flipped)]
    shown = made.both(made.both(chosen[4], garbage), state(13))
    made.outputs = [made.any([state(9), shown])]
    return Circuit(
        made,
        [("mutsel", 0), ("mutsel", 1), ("mutsel", 2), ("step", 0)],
        [("nine", 0)],
        [*(("count", bit) for bit in range(4)), ("garbage", 0)],
    )


@needs_abc
@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (0, PROVED, "changes nothing"),
        (1, PROVED, "changes nothing"),
        (2, DIFFERS, "nine[0] in cycle"),
        (3, PROVED, "differs unseen: garbage"),
        (4, PROVED, "differs unseen: garbage"),
    ],
)
def test_a_mutant_is_proved_equal_unless_someone_sees_it(number: int, kind: str, said: str) -> None:
    found = verdict(mutants(), number, seconds=20)
    assert found.kind == kind
    assert found.said.startswith(said)


@pytest.mark.parametrize(
    ("number", "shown", "words"),
    [(0, False, set()), (1, False, set()), (2, True, set()), (3, False, {"garbage"})],
)
def test_random_walks_show_a_mutant_or_what_differs_unseen(
    number: int, shown: bool, words: set[str]
) -> None:
    circuit = mutants()
    found, differing = circuit.walked(number)
    assert (found is not None) == shown
    assert {circuit.registers[index][0] for index in differing} == words


@needs_abc
def test_registers_that_a_walk_sets_apart_make_no_proof_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Circuit, "walked", lambda *_: (None, {0, 1, 2, 3, 4}))
    assert verdict(mutants(), 2, seconds=20).kind == DIFFERS
    assert verdict(mutants(), 1, seconds=20).kind == PROVED


def test_lanes_are_circuits_beside_each_other() -> None:
    made = gates()
    cases = list(itertools.product((0, 1), repeat=3))
    words = np.array(
        [[sum(case[n] << at for at, case in enumerate(cases))] for n in range(3)], "u8"
    )
    lanes = Lanes(made)
    values = lanes.values(words)
    for literals, place in ((made.nexts, 0), (made.outputs, 1)):
        found = lanes.taken(values, literals)[:, 0]
        for at, (*inputs, held) in enumerate(cases):
            expected = made.step(inputs, [held])[place]
            assert [int(word) >> at & 1 for word in found] == expected


def test_samples_of_most_walks_are_whole() -> None:
    names = ["samples__valid", *["samples__payload"] * 3]  # data, first, last
    walks = Walks(names, elements=4, seed=1)
    ready = np.ones(LANES, dtype=bool)
    whole, within = np.zeros(LANES, dtype=int), np.zeros(LANES, dtype=int)
    for cycle in range(CHANGE):
        valid, _, first, last = inputs = walks.inputs(cycle)
        within = np.where(valid, np.where(first, 1, within + 1), within)
        whole += valid & last & (within == 4)
        walks.took(inputs, ready)
    assert (whole > 5).mean() > 0.5


def test_a_top_calls_unnamed_ports_as_another_chain_does() -> None:
    top = "  chain c (\n    .\\port$20$0 (a),\n    .\\port$9$0 (b),\n    .x(\\port$5$0 )\n"
    chain = "module c(x, \\port$101$0 , \\port$99$0 );\n wire \\port$1$0 ;"
    fitting = _fitting(top, chain)
    assert ".\\port$101$0 (a)" in fitting
    assert ".\\port$99$0 (b)" in fitting
    assert ".x(\\port$5$0 )" in fitting
    with pytest.raises(ValueError, match="the chain has 1 unnamed ports, 2 are connected"):
        _fitting(top, "module c(\\port$101$0 );")


@needs_abc
def test_nothing_is_known_where_the_time_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterflow.sim.equivalence._counterexample", lambda *_: None)
    assert verdict(mutants(), 1, seconds=1) == (OPEN, "")


def test_without_abc_one_sentence_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingTool, match="install the Debian package berkeley-abc"):
        ABC.found()
