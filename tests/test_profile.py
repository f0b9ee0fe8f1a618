"""Profiles: what they count is what the golden model does, and what they propose mends it."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

import numpy as np
import pytest
import tomli_w

from counterflow.design.choice.apply import applied
from counterflow.design.choice.homes import Home
from counterflow.design.choice.propose import Choice, choices
from counterflow.design.choice.tally import Tally
from counterflow.design.data.sets import Dataset, load, synthetic
from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.network.files import load as network_of
from counterflow.design.network.files import parse, to_toml
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import plan
from counterflow.golden.chain import Chain
from counterflow.golden.profiling.run import Profile, profile
from counterflow.golden.profiling.watch import FloatWatch, Homes, IntegerWatch
from counterflow.golden.reference.chain import reference_chain
from counterflow.golden.training.epochs import train
from counterflow.golden.training.models import Part
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.convolution import Convolution

CLUSTERS = synthetic(8, 4, 60, seed=3)
WIDE = {  # nothing saturates in these
    "activation": "u12.6",
    "logit": "s14.8",
    "operand": "s12.8",
    "weight": "s24.20",
    "velocity": "s20.20",
    "error": "s16.12",
}


def network(
    first: dict[str, str] | None = None,
    *,
    last: dict[str, str] | None = None,
    rounding: str = "stochastic",
    **recipe: Any,
) -> Description:
    """Two dense layers in wide formats, but those that are given."""
    return Description.model_validate(
        {
            "name": "net",
            "inputs": 8,
            "layers": [
                {"outputs": 6, "formats": first or {}},
                {"outputs": 4, "activation": "none", "formats": last or {}},
            ],
            "formats": WIDE,
            "rounding": {"update": rounding},
            "recipe": {"learning_rate": 2.0**-7, "epochs": 2, **recipe},
            "fold": {"multipliers": 20},
        }
    )


def profiled(description: Description, dataset: Dataset = CLUSTERS, **options: Any) -> Profile:
    return profile(description, plan(description).schedule, dataset, **options)


@cache
def in_wide_formats() -> Profile:
    return profiled(network())


def by_name(tallies: dict[Home, Tally]) -> dict[str, Tally]:
    """Tallies by their homes in words, as "weight of dense0"."""
    return {str(home): tally for home, tally in tallies.items()}


def counts(tally: Tally) -> tuple[Any, ...]:
    fields = (tally.count, tally.zeros, tally.largest, tally.squares, tally.clipped, tally.lost)
    return (*fields, tally.classes.tolist())


# One dense layer, by hand: x = (1/2, 1/4), weights ((1, 0), (0, -1)), label 0.
#   logits (1/2, -1/4); p_0 = 1 / (1 + e^(-3/4)) = 0.6792, errors (-0.3208, 0.3208)
#   updates 2^-4 dy x = 0.01003 and 0.00501, of biases 0.02005; no momentum, no delay to make up for
ONE = {
    "name": "one",
    "inputs": 2,
    "layers": [{"outputs": 2, "activation": "none"}],
    "recipe": {"learning_rate": 2.0**-4, "momentum": 0.0, "mitigation": "none"},
}
HAND = {
    "logit of network": (0.5, 2, 0),
    "operand of dense0": (1.0, 4, 2),
    "error of dense0": (0.3208, 2, 0),
    "velocity of dense0": (0.02005, 6, 0),
    "update of dense0": (0.02005, 6, 0),
    "weight of dense0": (1.01003, 6, 0),
}


@pytest.mark.parametrize("numbers", ["integers", "floats"])
def test_what_is_counted_of_one_sample_can_be_told_by_hand(numbers: str) -> None:
    description = Description.model_validate(ONE)
    schedule, homes = plan(description).schedule, Homes(description)
    weights = np.array([[1.0, 0.0], [0.0, -1.0]])
    part = Part(np.array([[128, 64]]), np.zeros(1, np.uint8))  # in u8.8
    tokens = [Token(Kind.TRAIN, 0), *[Token(Kind.BUBBLE, -1)] * (schedule.delay)]
    watch = IntegerWatch(homes, schedule)
    states = initial_states(description, schedule, 1)
    states[0].weight[:] = weights * 2**18  # type: ignore[attr-defined]
    watch.run(Chain(description, schedule, states), tokens, part)
    tallies = watch.tallies
    if numbers == "floats":
        chain = reference_chain(description, schedule, 1)
        chain.units[0].parameters[0].value[:] = weights
        seen = FloatWatch(homes, schedule, watch.edges)
        seen.run(chain, tokens[: schedule.delay + 1], part.samples / 256, part)
        tallies = seen.tallies
    found = by_name(tallies)
    assert set(found) == set(HAND)
    for name, (largest, count, zeros) in HAND.items():
        assert found[name].largest == pytest.approx(largest, rel=0.02), name
        assert (found[name].count, found[name].zeros) == (count, zeros), name
        assert found[name].clipped == 0


def test_watching_changes_no_bit_and_sees_the_slots_of_the_training() -> None:
    description = network()
    schedule = plan(description).schedule
    plain = train(description, schedule, CLUSTERS)
    watched = profiled(description)
    assert plain.checkpoint is not None
    assert watched.integer_result.checkpoint is not None
    pairs = zip(plain.checkpoint.states, watched.integer_result.checkpoint.states, strict=True)
    for one, other in pairs:
        assert one.generator == other.generator
        for name, values in one.arrays.items():
            assert np.array_equal(values, other.arrays[name])
    losses = [one.loss for one in train(description, schedule, CLUSTERS, model="float").epochs]
    assert [one.loss for one in watched.float_result.epochs] == losses


def test_what_is_counted_is_what_the_golden_units_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, sums = by_name(in_wide_formats().integers), Convolution._sums
    monkeypatch.setattr(Convolution, "_sums", lambda *given: 16 * sums(*given))
    wrong = by_name(profiled(network()).integers)
    for name in ("activation of dense0", "logit of network"):
        assert wrong[name].largest > 4 * plain[name].largest
    assert wrong["weight of dense0"].largest < 2 * plain["weight of dense0"].largest


def test_a_profile_is_a_function_of_its_seed() -> None:
    first, again, other = (profiled(network(), seed=seed) for seed in (5, 5, 6))
    for numbers in ("integers", "floats"):
        one, two, three = (getattr(found, numbers) for found in (first, again, other))
        assert {home: counts(one[home]) for home in one} == {
            home: counts(two[home]) for home in two
        }
        assert any(counts(one[home]) != counts(three[home]) for home in one)


PLANTED = {
    "activation of dense0": {"first": {"activation": "u5.6"}},
    "error of dense0": {"first": {"error": "s7.12"}},
    "velocity of dense0": {"first": {"velocity": "s8.20"}},
    "velocity of dense1": {"last": {"velocity": "s8.20"}},
    "weight of dense0": {"first": {"weight": "s20.20"}},
    "operand of dense1": {"last": {"operand": "s9.8"}},
}


@pytest.mark.parametrize(("where", "planted"), PLANTED.items(), ids=PLANTED)
def test_a_format_too_narrow_saturates_in_its_role_and_layer_alone(
    where: str, planted: dict[str, Any]
) -> None:
    narrow, wide = profiled(network(**planted)), in_wide_formats()
    assert [name for name, one in by_name(wide.integers).items() if one.clipped] == []
    assert [name for name, one in by_name(narrow.integers).items() if one.clipped] == [where]
    # What is wide enough follows from the ranges of floats, in which nothing saturates.
    description = network(**planted)
    mended = applied(description, choices(description, narrow.floats)).description
    share = by_name(profiled(mended).integers)[where].clipped_share
    assert share < 0.002 < by_name(narrow.integers)[where].clipped_share


COARSE = {"weight": "s16.8", "velocity": "s12.8", "operand": "s12.8"}


@pytest.mark.parametrize(("layer", "other"), [("dense0", "dense1"), ("dense1", "dense0")])
def test_updates_too_coarse_are_all_rounded_to_zero_and_the_proposal_mends_it(
    layer: str, other: str
) -> None:
    place = "first" if layer == "dense0" else "last"
    description = network(
        **{place: COARSE}, rounding="nearest-even", learning_rate=2.0**-9, mitigation="none"
    )
    found = profiled(description)
    tallies = by_name(found.integers)
    assert tallies[f"update of {layer}"].lost_share == 1.0
    assert tallies[f"velocity of {layer}"].lost_share == 1.0
    assert tallies[f"update of {other}"].lost_share < 0.5
    assert found.integer_result.moved[layer] == 0.0
    assert found.integer_result.moved[other] > 0.5
    mended = applied(description, choices(description, found.floats)).description
    again = profiled(mended)
    assert by_name(again.integers)[f"update of {layer}"].lost_share < 0.1
    assert again.integer_result.moved[layer] > 0.5


def test_a_weight_and_its_velocity_have_equally_many_fraction_bits() -> None:
    for rounding in ("stochastic", "nearest-even"):
        description = network(rounding=rounding)
        found = {
            str(one.home): one.format for one in choices(description, profiled(description).floats)
        }
        for layer in ("dense0", "dense1"):
            assert found[f"weight of {layer}"].frac == found[f"velocity of {layer}"].frac


def test_a_tanh_keeps_formats_that_its_table_can_have() -> None:
    description = Description.model_validate(
        {
            "name": "net",
            "inputs": 8,
            "layers": [
                {"outputs": 6, "activation": "tanh"},
                {"outputs": 4, "activation": "none"},
            ],
            "formats": {"activation": "s8.7"},
            "recipe": {"epochs": 2},
        }
    )
    found = profiled(description)
    assert {"activation of dense0", "preactivation of dense0"} <= set(by_name(found.integers))
    assert by_name(found.integers)["activation of dense0"].largest <= 1
    made = applied(description, choices(description, found.floats))
    chosen = {str(one.home): one.format for one in made.choices}
    assert chosen["activation of dense0"].value(chosen["activation of dense0"].max) < 1
    assert not made.left


def test_what_a_layer_cannot_have_stays_and_is_said() -> None:
    description = Description.model_validate(
        {
            "name": "net",
            "inputs": 8,
            "layers": [{"outputs": 6, "activation": "tanh"}, {"outputs": 4, "activation": "none"}],
            "formats": {"activation": "s8.7"},
        }
    )
    homes = Homes(description)
    (table,) = (one for one in homes.activations.values() if one.table)
    wide = Choice(table, Format.parse("s14.13"), "")
    good = Choice(homes.parameters["dense0", "operand"], Format.parse("s8.6"), "")
    made = applied(description, [wide, good])
    assert made.choices == (good,)
    ((refused, why),) = made.left
    assert refused == wide
    assert "at most 12 bits" in why
    assert made.description.layers[0].formats.operand == good.format  # type: ignore[attr-defined]


def test_an_update_that_would_drop_too_many_bits_gets_more() -> None:
    description = network(learning_rate=2.0**-14)
    homes = Homes(description)
    coarse = [
        Choice(homes.parameters["dense0", role], Format.parse(text), "Small.")
        for role, text in (("weight", "s14.12"), ("velocity", "s8.12"))
    ]
    made = applied(description, coarse)
    assert not made.left
    weight, velocity = (one.format for one in made.choices)
    assert weight.frac == velocity.frac > 12
    assert (weight.bits - weight.frac, velocity.bits - velocity.frac) == (2, -4)
    assert "more" in made.choices[0].why
    one_less = [
        Choice(one.home, Format(True, one.format.bits - 1, one.format.frac - 1), "")
        for one in made.choices
    ]
    assert applied(description, one_less).choices[0].format.frac == weight.frac  # it is the least


def test_each_layer_gets_only_as_many_more_bits_as_it_needs() -> None:
    description = network(learning_rate=2.0**-14, first={"error": "s12.8"})
    homes = Homes(description)
    coarse = [
        Choice(homes.parameters[layer, role], Format.parse(text), "Small.")
        for layer in ("dense0", "dense1")
        for role, text in (("weight", "s14.12"), ("velocity", "s8.12"))
    ]
    found = {str(one.home): one.format.frac for one in applied(description, coarse).choices}
    alone = {
        str(one.home): one.format.frac
        for pair in (coarse[:2], coarse[2:])
        for one in applied(description, pair).choices
    }
    assert found == alone
    assert len(set(found.values())) == 2


def test_one_that_is_refused_among_many_is_the_only_one_left() -> None:
    description = network_of("digits")
    homes = Homes(description)
    good = [
        Choice(home, Format.parse("s9.6"), "")
        for home in homes.parameters.values()
        if home.role == "operand"
    ]
    bad = Choice(homes.activations[1], Format.parse("u32.30"), "")
    made = applied(description, [good[0], bad, *good[1:]])
    assert set(made.choices) == set(good)
    ((left, why),) = made.left
    assert left == bad
    assert "layers[1]" in why


@pytest.mark.parametrize("scheme", ["sequential", "pipelined"])
def test_as_many_samples_are_watched_whatever_stands_between_them(scheme: str) -> None:
    description = network(scheme=scheme, epochs=1)
    found = by_name(profiled(description).integers)
    logits, errors = found["logit of network"], found["error of dense1"]
    assert logits.count == errors.count == 4 * 60


@pytest.mark.parametrize("mitigation", ["none", "lwpv", "lwpw", "sc", "lwpw+sc", "stash"])
def test_every_mitigation_can_be_profiled(mitigation: str) -> None:
    found = profiled(network(mitigation=mitigation, epochs=1))
    assert by_name(found.integers).keys() == by_name(found.floats).keys()


def test_layers_that_the_network_makes_stay_as_they_are() -> None:
    description = network_of("deep-digits-local")
    home = next(one for one in Homes(description).parameters.values() if one.layer == "denseh1l0")
    made = applied(description, [Choice(home, Format.parse("s8.6"), "")])
    assert made.description == description
    assert "made by the network" in made.left[0][1]


@pytest.mark.parametrize("name", ["tiny-res", "tiny-conv", "digits-resnet"])
def test_every_format_of_a_network_is_counted_and_can_be_written(name: str) -> None:
    description = network_of(name)
    found = profiled(description, training_data(description), epochs=1, limit=20)
    homes = {*found.integers}
    fields = tomllib.loads(to_toml(description))
    made = applied(description, choices(description, found.floats))
    assert not made.left
    assert {one.home for one in made.choices} == {one for one in homes if one.role != "update"}
    weighted = {unit.name for unit in description.weighted}
    assert {one.layer for one in homes if one.role == "operand"} == weighted
    assert parse(to_toml(made.description)) == made.description
    assert fields["recipe"] == tomllib.loads(to_toml(made.description))["recipe"]


def digits(**formats: str) -> Description:
    fields = tomllib.loads(to_toml(network_of("digits")))
    fields["formats"] |= formats
    return parse(tomli_w.dumps(fields))


def test_formats_proposed_for_a_network_in_bad_ones_let_it_learn() -> None:
    description, dataset = digits(velocity="s8.18", activation="u5.4"), load("digits")
    found = profiled(description, dataset, epochs=3, limit=700)
    mended = applied(description, choices(description, found.floats)).description
    options: dict[str, Any] = {"epochs": 3, "limit": 700, "evaluate": "last"}
    better = train(mended, plan(mended).schedule, dataset, **options).epochs[-1].test_accuracy
    worse = found.integer_result.epochs[-1].test_accuracy
    exact = found.float_result.epochs[-1].test_accuracy
    assert worse is not None
    assert exact is not None
    assert better is not None
    assert worse < 0.6 < 0.85 < better
    assert better > exact - 0.05
