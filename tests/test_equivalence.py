"""Circuits beside each other: what ABC proves equal is, and what differs is never proved."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from counterflow.design.tools.programs import ABC, MissingTool
from counterflow.sim.aig import FALSE, TRUE, Aig, read
from counterflow.sim.circuit import Circuit
from counterflow.sim.equivalence import DIFFERS, OPEN, PROVED, verdict

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


@needs_abc
def test_nothing_is_known_where_the_time_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterflow.sim.equivalence._counterexample", lambda *_: None)
    assert verdict(mutants(), 1, seconds=1) == (OPEN, "")


def test_without_abc_one_sentence_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingTool, match="install the Debian package berkeley-abc"):
        ABC.found()
