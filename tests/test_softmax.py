"""The loss unit: errors that sum to zero exactly, close to softmax, loss in bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.loss import (
    EXP2,
    EXP_FRAC,
    LOG2,
    LOG2E_NUMERATOR,
    LOG2E_SHIFT,
    LOG_FRAC,
    LossArithmetic,
)
from counterflow.golden.reference.units.loss import cross_entropy
from counterflow.golden.units.loss import Loss

LOGIT, ERROR = Format.parse("s12.6"), Format.parse("s10.8")
CLASSES = [2, 3, 10, 40, 256]


def loss_unit(classes: int, logit: Format = LOGIT, error: Format = ERROR) -> Loss:
    return Loss(LossArithmetic(classes, logit, error, Rounding.NEAREST_EVEN))


def random_logits(classes: int, logit: Format, count: int, seed: int) -> np.ndarray:
    """[count, classes] of very different spreads, from all equal to saturated."""
    random = np.random.default_rng(seed)
    spread = random.choice([0, 0.1, 0.5, 1, 3, 10, 40], size=(count, 1)) * 2.0**logit.frac
    normal = random.normal(size=(count, classes))
    return np.clip(np.rint(normal * spread), logit.min, logit.max).astype(np.int64)


def test_the_tables_are_the_nearest_integers_to_their_functions() -> None:
    assert len(EXP2) == len(LOG2) == 2**LOG_FRAC
    assert EXP2[0] == 2**EXP_FRAC
    assert LOG2[0] == 0
    for k in range(2**LOG_FRAC):
        assert abs(EXP2[k] - 2 ** (EXP_FRAC - k / 64)) <= 0.5
    for k in range(1, 2**LOG_FRAC):
        assert abs(LOG2[k] - 64 * math.log2(1 + (k + 0.5) / 64)) <= 0.5
    assert abs(LOG2E_NUMERATOR / 2**LOG2E_SHIFT - math.log2(math.e)) <= 2.0 ** -(LOG2E_SHIFT + 1)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(logits=st.lists(st.integers(LOGIT.min, LOGIT.max), min_size=2, max_size=12))
def test_errors_sum_to_zero_for_every_label(logits: list[int]) -> None:
    unit = loss_unit(len(logits))
    for label in range(len(logits)):
        error, loss = unit(np.array(logits), label)
        assert int(error.sum()) == 0
        assert error[label] <= 0
        assert (np.delete(error, label) >= 0).all()
        assert loss >= 0


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("error", ["s8.6", "s10.8", "s14.12"])
def test_errors_sum_to_zero_and_fit_their_format(classes: int, error: str) -> None:
    target = Format.parse(error)
    unit = loss_unit(classes, error=target)
    for logits in random_logits(classes, LOGIT, 100, seed=classes):
        for label in {0, int(logits.argmin()), int(logits.argmax())}:
            found, _ = unit(logits, label)
            assert int(found.sum()) == 0
            assert target.min <= found.min()
            assert found.max() <= target.max


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("logit", ["s10.4", "s12.6", "s16.10"])
def test_errors_and_loss_are_close_to_exact_softmax_cross_entropy(classes: int, logit: str) -> None:
    """Bounds: 0.02 for the error of a wrong class, 0.06 for the label's, 0.05 bit for the loss.

    Measured over ten times as many logits: 0.017, 0.058 and 0.039.  They come from 64 table
    entries (a step of log2 is 0.022) and are the same for finer logits; with fewer fraction bits
    in the error format, the label's error collects the rounding of all the others.
    """
    numbers = Format.parse(logit)
    unit = loss_unit(classes, numbers, Format.parse("s16.14"))
    for index, logits in enumerate(random_logits(classes, numbers, 200, seed=classes)):
        label = index % classes
        error, loss = unit(logits, label)
        exact, nats = cross_entropy(logits * 2.0**-numbers.frac, label)
        off = np.abs(error * 2.0**-14 - exact)
        assert np.delete(off, label).max() < 0.02
        assert off[label] < 0.06
        assert abs(loss / 2**LOG_FRAC - nats / math.log(2)) < 0.05


@pytest.mark.parametrize("classes", CLASSES)
def test_a_confident_correct_answer_teaches_nothing(classes: int) -> None:
    logits = np.full(classes, LOGIT.min)
    logits[classes // 2] = LOGIT.max
    error, loss = loss_unit(classes)(logits, classes // 2)
    assert not error.any()
    assert loss == 0


def test_equal_logits_share_the_probability_equally() -> None:
    error, loss = loss_unit(4)(np.full(4, 17), 2)
    assert error.tolist() == [64, 64, -192, 64]  # 1/4 and -3/4 with 8 fraction bits
    assert loss == 2 * 64  # log2(4) bits with 6 fraction bits


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    logits=st.lists(st.integers(-500, 500), min_size=3, max_size=12),
    offset=st.integers(-1000, 1000),
    data=st.data(),
)
def test_only_differences_of_logits_matter_and_classes_are_alike(
    logits: list[int], offset: int, data: st.DataObject
) -> None:
    unit, values = loss_unit(len(logits)), np.array(logits)
    label = data.draw(st.integers(0, len(logits) - 1))
    order = np.array(data.draw(st.permutations(range(len(logits)))))
    error, loss = unit(values, label)
    moved, moved_loss = unit(values + offset, label)
    np.testing.assert_array_equal(moved, error)
    assert moved_loss == loss
    mixed, mixed_loss = unit(values[order], int(np.flatnonzero(order == label)[0]))
    np.testing.assert_array_equal(mixed, error[order])
    assert mixed_loss == loss


@pytest.mark.parametrize("logit", ["s8.2", "s8.5", "s10.4", "s12.6", "s16.10", "s20.16"])
@pytest.mark.parametrize("classes", CLASSES)
def test_no_logits_overflow_the_formats_of_the_loss_unit(logit: str, classes: int) -> None:
    """The largest exponent and sum need every bit of their formats; the loss stays inside."""
    format_ = Format.parse(logit)
    numbers = LossArithmetic(classes, format_, ERROR)
    shift = numbers.exponent_shift
    largest = ((format_.max - format_.min) * LOG2E_NUMERATOR + 2 ** (shift - 1)) >> shift
    assert numbers.exponent.max // 2 < largest <= numbers.exponent.max
    assert numbers.sum.max // 2 < classes << EXP_FRAC <= numbers.sum.max
    loss_of = Loss(numbers)
    for equals in (1, classes - 1):  # one logit far ahead, or all but the label's
        logits = np.full(classes, format_.min)
        logits[:equals] = format_.max
        _, loss = loss_of(logits, classes - 1)
        assert largest <= loss <= numbers.loss.max
