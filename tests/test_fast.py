"""The fast chain is the golden chain: equal in every bit, whatever the formats and the tokens.

Here for dense layers; `test_fast_images` has the others.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from counterflow.design.parts.telling import telling
from counterflow.design.parts.tokens import Kind, Token, epoch
from counterflow.design.schedule.planner import plan
from counterflow.golden.fast import words
from counterflow.golden.fast.chain import MITIGATIONS, FastChain, offered
from counterflow.golden.fast.narrowings import Linear, error_magnitude
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.update import Settings
from tests.fast_pair import FORMATS, WORDS, Pair, mixed, network, trained


@pytest.mark.xdist_group("compiles")  # once, and not in each process at the same time
@pytest.mark.parametrize("update", ["truncate", "nearest-even", "stochastic"])
@pytest.mark.parametrize("formats", FORMATS)
def test_equal_in_all_formats(formats: str, update: str) -> None:
    # The rate is as low as the bits of the random generator allow with these formats.
    rate = {"16x16": 2.0**-2, "18x18": 1.0, "no momentum": 2.0**-2}.get(formats, 2.0**-6)
    momentum = 0.0 if formats == "no momentum" else 0.875
    description = network(
        formats=FORMATS[formats], update=update, learning_rate=rate, momentum=momentum
    )
    pair = Pair(description)
    assert pair.fast.word_bits == WORDS.get(formats, 32)
    pair.run(trained(70))
    pair.run(mixed(60, seed=2))


@pytest.mark.parametrize("mitigation", MITIGATIONS)
@pytest.mark.parametrize(
    "scheme", [{}, {"scheme": "sequential"}, {"scheme": "fill-and-drain", "batch": 3}]
)
def test_equal_in_all_schemes(scheme: dict[str, Any], mitigation: str) -> None:
    description = network(mitigation=mitigation, **scheme)
    pair = Pair(description)
    order = np.random.default_rng(3).permutation(16)
    pair.run(list(epoch(description.recipe, order, pair.schedule.delay)))
    pair.run([Token(Kind.INFER, index) for index in range(16)])
    pair.run(list(epoch(description.recipe, order[:5], pair.schedule.delay)))


@pytest.mark.parametrize(
    "lanes",
    [
        [(1, 1, False), (1, 1, False), (1, 1, False)],
        [(5, 3, False), (4, 3, True), (2, 2, False)],  # padding lanes in rows and columns
        [(1, 17, False), (1, 12, True), (1, 7, False)],  # more lanes than a vector has
        [(12, 1, True), (9, 12, True), (5, 1, False)],
    ],
)
def test_equal_in_all_folds(lanes: list[tuple[int, int, bool]]) -> None:
    keys = ("outputs", "inputs", "shared")
    fold = {"lanes": [dict(zip(keys, lane, strict=True)) for lane in lanes]}
    pair = Pair(network(fold=fold), extreme=True)
    pair.run(trained(40))
    pair.run(mixed(40, seed=4))


@pytest.mark.parametrize("formats", FORMATS)
def test_equal_where_everything_saturates(formats: str) -> None:
    update = "nearest-even" if formats in ("16x16", "18x18", "wide") else "stochastic"
    description = network(
        formats=FORMATS[formats],
        update=update,
        rounding="truncate",
        momentum=0.75,
        learning_rate=2.0**-3,
        fold={"multipliers": 90},
    )
    for seed in range(3):
        pair = Pair(description, seed=seed, extreme=True)
        pair.run(trained(20))
        pair.run(mixed(20, seed))
        assert sum(pair.fast.saturations) > 0


def test_equal_under_changes_of_settings() -> None:
    drops = [{"epoch": 1, "shift": 1}, {"epoch": 2, "shift": 3}]
    pair = Pair(network(rate_drops=drops))
    for extra_shift in (0, 1, 3, 0):
        for predict in (False, True):
            for compensate in (False, True):
                pair.set(Settings(predict, compensate, extra_shift))
                pair.run(mixed(15, seed=extra_shift))


def test_equal_with_formats_of_one_layer() -> None:
    pair = Pair(network(errors=("s9.4", "s14.12", "s12.9")))
    pair.run(trained(60))


def test_equal_on_random_networks() -> None:
    random = np.random.default_rng(5)
    tried = 0
    for seed in range(60):
        widths = tuple(int(width) for width in random.integers(2, 24, random.integers(2, 5)))

        def some(kind: str, low: int, high: int, frac: tuple[int, int]) -> str:
            return f"{kind}{random.integers(low, high)}.{random.integers(*frac)}"

        frac = int(random.integers(8, 20))
        formats = {
            "input": some(str(random.choice(["u", "s"])), 3, 12, (0, 9)),
            "activation": some(str(random.choice(["u", "s"])), 3, 14, (0, 9)),
            "logit": some("s", 6, 16, (2, 8)),
            "operand": some("s", 4, 14, (2, 8)),
            "weight": f"s{random.integers(frac, frac + 6)}.{frac}",
            "velocity": f"s{random.integers(frac - 4, frac + 4)}.{frac}",
            "error": some("s", 6, 14, (4, 6)),
        }
        try:
            description = network(
                widths,
                formats=formats,
                update=str(random.choice(["truncate", "nearest-even", "stochastic"])),
                rounding=str(random.choice(["truncate", "nearest-even"])),
                fold={"multipliers": int(random.integers(9, 120))},
                learning_rate=2.0 ** -random.integers(0, 12),
                momentum=1 - 2.0 ** -random.integers(0, 10),
                mitigation=str(random.choice(MITIGATIONS)),
                horizon=int(random.integers(1, 3)),
            )
            pair = Pair(description, seed=seed, extreme=seed % 2 == 0)
        except ValueError:
            continue  # formats that do not fit together
        tried += 1
        pair.run(trained(25))
        pair.run(mixed(15, seed))
    assert tried > 20


def test_blocks_may_be_cut_anywhere() -> None:
    description = network()
    whole, parts = Pair(description), Pair(description)
    tokens = mixed(50, seed=6)
    whole.run(tokens)
    for start in range(0, 50, 7):
        parts.run(tokens[start : start + 7])
    for one, other in zip(whole.fast.states, parts.fast.states, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_bytes_are_samples_too() -> None:
    description = network()
    pair, other = Pair(description), Pair(description)
    kinds, indices = np.full(40, Kind.TRAIN, np.uint8), np.arange(40) % 16
    expected = pair.fast.run(kinds, indices, pair.samples, pair.labels)
    found = other.fast.run(kinds, indices, pair.samples.astype(np.uint8), pair.labels)
    for one, two in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_states_are_copies() -> None:
    pair = Pair(network())
    before = pair.fast.states[0].weight
    kept = before.copy()
    pair.run(trained(30))
    np.testing.assert_array_equal(before, kept)
    assert not np.array_equal(pair.fast.states[0].weight, kept)


def test_a_common_factor_of_an_update_changes_nothing() -> None:
    assert Linear.reduced(7 << 9, 3 << 5, 17) == Linear(7 << 4, 3, 12)
    assert Linear.reduced(0, 1 << 6, 4) == Linear(0, 1 << 2, 0)


@pytest.mark.parametrize("error", ["s4.2", "s8.6", "s10.8", "s18.15"])
def test_errors_of_the_loss_have_the_magnitude_that_words_are_made_for(error: str) -> None:
    pair = Pair(network(formats={"error": error, "logit": "s12.6"}, learning_rate=0.5))
    loss = pair.schedule.loss.arithmetic
    limit = error_magnitude(pair.schedule.stages[-1], loss)
    random = np.random.default_rng(7)
    for spread in (1, 40, 200, 2047):
        for _ in range(100):
            logits = random.integers(-spread, spread, loss.classes, endpoint=True)
            found, _ = pair.golden.losses["loss"](logits, int(random.integers(loss.classes)))
            assert np.abs(found).max() <= limit


@pytest.mark.parametrize("mitigation", ["lwpw", "lwpw+sc", "stash"])
def test_other_mitigations_are_refused(mitigation: str) -> None:
    description = network(mitigation=mitigation)
    assert not offered(description)
    schedule = plan(description).schedule
    expected = f"mitigation '{mitigation}' is not among those of the fast chain"
    with pytest.raises(ValueError, match=re.escape(expected)):
        FastChain(description, schedule, initial_states(description, schedule, 1))


def test_settings_beyond_the_recipe_are_refused() -> None:
    pair = Pair(network(rate_drops=[{"epoch": 1, "shift": 2}]))
    with pytest.raises(ValueError, match="extra_shift is 3, but the recipe's rate drops allow 0"):
        pair.fast.set(Settings(extra_shift=3))


def test_states_outside_their_formats_are_refused() -> None:
    description = network()
    schedule = plan(description).schedule
    states = initial_states(description, schedule, 1)
    states[1].weight[0, 0] = 2**19
    with pytest.raises(ValueError, match=re.escape("a weight of dense1 is 524288, not in -524288")):
        FastChain(description, schedule, states)
    states = initial_states(description, schedule, 1)
    states[0] = replace(states[0], bias=np.zeros(3, np.int64))
    with pytest.raises(
        ValueError, match=re.escape("the bias of dense0 has the shape (3,), not (12,)")
    ):
        FastChain(description, schedule, states)
    states = initial_states(description, schedule, 1)
    states[2].generator = 0
    with pytest.raises(ValueError, match="the generator of dense2 is 0"):
        FastChain(description, schedule, states)


def test_tokens_that_name_no_sample_are_refused() -> None:
    pair = Pair(network())
    train, none = np.full(1, Kind.TRAIN, np.uint8), np.zeros(1, np.int64)

    def run(
        kinds: Any = train, indices: Any = none, samples: Any = None, labels: Any = None
    ) -> None:
        samples = pair.samples if samples is None else samples
        pair.fast.run(kinds, indices, samples, pair.labels if labels is None else labels)

    with pytest.raises(ValueError, match=re.escape("an index is 16, not in 0..15")):
        run(indices=none + 16)
    with pytest.raises(ValueError, match=re.escape("a kind of token is 4, not in 0..3")):
        run(kinds=train + 2)
    with pytest.raises(ValueError, match=re.escape("a sample is 256, not in 0..255 of u8.8")):
        run(samples=pair.samples + 1)
    with pytest.raises(ValueError, match=re.escape("samples have the shape (16, 19), not (N, 20)")):
        run(samples=pair.samples[:, 1:])
    with pytest.raises(ValueError, match=re.escape("a label is 9, not in 0..4")):
        run(labels=pair.labels * 0 + 9)
    with pytest.raises(ValueError, match="labels have the shape"):
        run(labels=pair.labels[1:])


def test_what_is_compiled_is_told_once_and_not_what_was_compiled_before() -> None:
    @numba.njit  # type: ignore[untyped-decorator]
    def one_more(number: int) -> int:
        return number + 1

    heard: list[str] = []
    with telling(heard.append):
        for number in (1, 2):
            with words.compiling():
                assert one_more(number) == number + 1
        with words.compiling():
            assert one_more(1.5) == 2.5  # another type
    assert heard == ["Compiling the golden model: about a minute, once on a machine."] * 2
