"""Losses of each output by itself: exact gradients, integers that follow them, the fast twin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.network.files import parse, to_toml
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import plan
from counterflow.design.units.bce import BinaryCrossEntropy
from counterflow.design.units.loss import LOG_FRAC
from counterflow.design.units.losses import MOST_LOSS_BITS, decided
from counterflow.design.units.mse import SquaredError
from counterflow.golden.fast.chain import FastChain
from counterflow.golden.fast.records import LOSSES
from counterflow.golden.reference.chain import reference_chain
from counterflow.golden.reference.units.bce import binary_cross_entropy
from counterflow.golden.reference.units.mse import squared_error
from counterflow.golden.training.start import initial_chain, initial_states
from counterflow.golden.units import UNITS
from counterflow.golden.units.bce import Bce
from counterflow.golden.units.mse import Mse
from tests.lossy import NETWORKS, described, samples_of

F = Format.parse


# ---- the exact functions ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [squared_error, binary_cross_entropy])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_gradients_are_those_of_finite_differences(loss: Any, classes: int) -> None:
    random, tiny = np.random.default_rng(classes), 1e-6
    for given in (classes - 1, 0, random.random(classes)):
        scores = 3 * random.normal(size=classes)
        gradient, _ = loss(scores, given)
        for place in range(classes):
            shift = tiny * (np.arange(classes) == place)
            slope = (loss(scores + shift, given)[1] - loss(scores - shift, given)[1]) / (2 * tiny)
            assert gradient[place] == pytest.approx(slope, abs=1e-7)


def test_exact_losses_of_cases_known_by_hand() -> None:
    assert squared_error(np.array([1.0, -1.0]), np.array([0.0, 1.0]))[1] == 2.5
    error, loss = binary_cross_entropy(np.array([0.0]), 1)
    assert (error[0], loss) == (-0.5, pytest.approx(math.log(2)))
    assert binary_cross_entropy(np.array([800.0]), 0)[1] == 800.0  # no overflow


# ---- integers -----------------------------------------------------------------------------------


def squares(classes: int, target: str | None = "u8.8", error: str = "s14.8") -> SquaredError:
    given = None if target is None else F(target)
    return SquaredError(classes, F("s12.8"), F(error), given, Rounding.NEAREST_EVEN)


def entropy(logit: str = "s12.6", target: str | None = None, classes: int = 1) -> Any:
    return BinaryCrossEntropy(classes, F(logit), F("s16.14"), None if target is None else F(target))


def test_the_squared_error_is_exact_where_nothing_is_clipped() -> None:
    numbers, random = squares(5), np.random.default_rng(1)
    for _ in range(200):
        scores, targets = random.integers(-2048, 2048, 5), random.integers(0, 256, 5)
        error, loss = Mse(numbers)(scores, targets)
        exact, half = squared_error(scores / 256, targets / 256)
        assert (error / 256 == exact).all()
        assert loss * numbers.one_loss == pytest.approx(half, abs=numbers.one_loss)


def test_the_squared_error_counts_what_is_learnt_from() -> None:
    """Errors are clipped by their format, and so is the loss."""
    numbers = squares(1, error="s8.6")
    error, loss = Mse(numbers)(np.array([2047]), np.array([0]))
    assert error.tolist() == [127]
    assert loss == 127**2


@pytest.mark.parametrize("logit", ["s8.2", "s10.4", "s12.6"])
@pytest.mark.parametrize("label", [0, 1])
def test_every_chance_is_close_to_the_logistic_function(logit: str, label: int) -> None:
    """Bounds: 0.004 for errors, 0.023 bits and as much of the loss; measured 0.0039 and 0.0221.

    They come from 64 table entries, as those of the softmax do.
    """
    numbers = entropy(logit)
    for score in range(numbers.logit.min, numbers.logit.max + 1):
        error, loss = Bce(numbers)(np.array([score]), label)
        value = np.array([score * 2.0**-numbers.logit.frac])
        exact, nats = binary_cross_entropy(value, label)
        assert abs(error[0] * 2.0**-14 - exact[0]) < 0.004
        bits = nats / math.log(2)
        assert abs(loss / 2**LOG_FRAC - bits) < 0.023 * max(1.0, bits)


def test_targets_between_0_and_1_weigh_both_answers() -> None:
    numbers = entropy(target="u8.7")
    for score in range(-2048, 2048, 37):
        for target in (0, 1, 40, 64, 127, 128):
            error, loss = Bce(numbers)(np.array([score]), np.array([target]))
            value, wanted = np.array([score / 64]), np.array([target / 128])
            exact, nats = binary_cross_entropy(value, wanted)
            assert abs(error[0] * 2.0**-14 - exact[0]) < 0.004
            bits = nats / math.log(2)
            assert abs(loss / 2**LOG_FRAC - bits) < 0.04 * max(1.0, bits)


def test_a_target_above_1_counts_as_1() -> None:
    numbers = entropy(target="u8.7")
    one = Bce(numbers)(np.array([100]), np.array([128]))
    more = Bce(numbers)(np.array([100]), np.array([255]))
    assert (one[0].tolist(), one[1]) == (more[0].tolist(), more[1])
    exact = binary_cross_entropy(np.array([1.5]), np.array([2.0]))
    assert exact[1] == binary_cross_entropy(np.array([1.5]), np.array([1.0]))[1]


@pytest.mark.parametrize(("score", "label"), [(2047, 1), (-2048, 0)])
def test_a_confident_correct_answer_teaches_nothing(score: int, label: int) -> None:
    error, loss = Bce(entropy())(np.array([score]), label)
    assert (error.tolist(), loss) == ([0], 0)


def test_an_even_chance_is_exact() -> None:
    error, loss = Bce(entropy())(np.array([0]), 1)
    assert (error[0] * 2.0**-14, loss) == (-0.5, 1 << LOG_FRAC)


@pytest.mark.parametrize("classes", [1, 2, 64, 1024])
@pytest.mark.parametrize("kind", ["mse", "bce"])
def test_no_loss_overflows_its_format_or_the_three_bytes_of_the_link(
    kind: str, classes: int
) -> None:
    numbers: Any = squares(classes, error="s18.12")
    if kind == "bce":
        numbers = entropy("s16.6", "u8.8", classes)
    for score in (numbers.logit.min, numbers.logit.max, 0, -1):
        for target in (0, 255):
            given = np.full(classes, target)
            _, loss = UNITS[kind](numbers)(np.full(classes, score), given)
            assert 0 <= loss <= numbers.loss.max
    assert numbers.loss.bits <= MOST_LOSS_BITS


def test_one_score_tells_two_classes_and_several_are_compared() -> None:
    assert decided(np.array([[3], [-1]]), 0).tolist() == [1, 0]
    assert decided(np.array([[3, 4], [5, 1]]), None).tolist() == [1, 0]
    assert squares(1, target=None).threshold == 128
    assert entropy().threshold == 0


# ---- chains -------------------------------------------------------------------------------------


def tokens_for(delay: int) -> list[Token]:
    kinds = [Kind.TRAIN, Kind.INFER, Kind.TRAIN, Kind.BUBBLE, Kind.TRAIN]
    row = [
        Token(kind, -1 if kind is Kind.BUBBLE else at)
        for at, kind in enumerate(kinds * 5 + [Kind.TRAIN])
    ]
    return list(drained(row, delay))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_fast_twin_is_equal_in_every_bit(name: str) -> None:
    description = described(name)
    schedule = plan(description).schedule
    samples, labels = samples_of(description, 26)
    tokens = tokens_for(schedule.delay)
    golden = initial_chain(description, schedule, 1)
    expected = golden.run(tokens, samples, labels)
    fast = FastChain(description, schedule, initial_states(description, schedule, 1))
    kinds = np.array([token.kind for token in tokens], np.uint8)
    scores, losses = fast.run(kinds, np.array([one.sample for one in tokens]), samples, labels)
    assert scores.tolist() == [one.scores.tolist() for one in expected]
    assert losses.tolist() == [one.loss for one in expected]
    for one, other in zip(fast.states, golden.states, strict=True):
        assert (one.weight == other.weight).all()
        assert (one.velocity == other.velocity).all()
        assert (one.bias == other.bias).all()


def test_loops_number_the_kinds_of_losses_as_records_do() -> None:
    assert LOSSES == ("loss", "mse", "bce")  # `golden.fast.slots` asks for these numbers


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_follow_the_float_reference(name: str) -> None:
    """Scores and losses of the first sample, before anything was learnt."""
    description = described(name)
    schedule = plan(description).schedule
    samples, labels = samples_of(description, 4)
    tokens = [Token(Kind.INFER, at) for at in range(4)]
    golden = initial_chain(description, schedule, 1).run(tokens, samples, labels)
    real = samples * 2.0**-description.formats.input.frac
    exact = reference_chain(description, schedule, 1).run(tokens, real, labels)
    numbers = schedule.loss.arithmetic
    for found, wanted in zip(golden, exact, strict=True):
        score = found.scores * 2.0**-numbers.logit.frac
        assert np.abs(score - wanted.scores).max() < 0.1
        loss = found.loss * numbers.one_loss
        assert abs(loss - wanted.loss) < 0.3 + 0.1 * wanted.loss
        assert (found.label, found.correct) == (wanted.label, wanted.correct)


def test_a_reference_without_targets_would_be_seen() -> None:
    """The test above tells a chain that reads labels from one that reads targets."""
    description = described("mse of the input")
    schedule = plan(description).schedule
    samples, _ = samples_of(description, 1)
    chain = reference_chain(description, schedule, 1)
    real, labels = samples / 256, np.zeros(1, np.int64)
    right = chain.run([Token(Kind.INFER, 0)], real, labels)[0].loss
    chain.targets = None
    assert chain.run([Token(Kind.INFER, 0)], real, labels)[0].loss != pytest.approx(right)


# ---- descriptions -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_descriptions_are_written_and_read(name: str) -> None:
    description = described(name)
    assert parse(to_toml(description), "net.toml") == description


def test_a_softmax_has_the_hash_that_it_always_had() -> None:
    fields = {**NETWORKS["bce of a label"], "loss": "softmax"}
    plain = {name: value for name, value in fields.items() if name != "loss"}
    one, other = Description.model_validate(fields), Description.model_validate(plain)
    assert one.hash() == other.hash()
    assert "loss" not in to_toml(one)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"loss": "softmax", "targets": "input"}, ["targets is 'input'", "'mse' or 'bce'"]),
        ({"loss": "mse", "targets": "input"}, ["each of 6 elements", "it has 3"]),
        ({"loss": "mse", "components": [1, 1]}, ["heads of components", "'softmax'"]),
        ({"loss": "mse", "held_out": 9}, ["held_out is 9", "targets be 'input'"]),
        ({"loss": "bce", "formats": {"logit": "s6.4"}}, ["formats.logit is s6.4", "at least 4"]),
        ({"loss": "bce", "formats": {"error": "s9.8"}}, ["errors reach 1", "two bits"]),
        (
            {"loss": "bce", "targets": "data", "formats": {"input": "s8.7"}},
            ["formats.input is s8.7", "0 to 1", "u8.7"],
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(fields: Any, words: list[str]) -> None:
    given = {**NETWORKS["bce of a label"], **fields}
    with pytest.raises(ValueError, match=r".") as caught:
        Description.model_validate(given)
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_loss_is_told_with_those_that_there_are() -> None:
    text = to_toml(described("bce of a label")).replace('"bce"', '"hinge"')
    with pytest.raises(ValueError, match="hinge") as caught:
        parse(text, "net.toml")
    assert all(word in str(caught.value) for word in ("loss", "softmax", "mse", "bce"))
