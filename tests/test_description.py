"""Every rule of a description, and of folding and scheduling it, has a message of its own.

A message names the value, its place and what is accepted; the table below says by which words.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from counterflow.design.network.complaints import complaint
from counterflow.design.network.description import Description, Fold
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.recipe import MITIGATIONS, RateDrop, Recipe, Reference
from counterflow.design.parts.roles import Formats
from counterflow.design.schedule.planner import plan
from counterflow.design.units.convolution import Dense
from counterflow.design.units.tiling import Lanes

VALID: dict[str, Any] = {
    "name": "sample",
    "inputs": 6,
    "layers": [{"outputs": 5}, {"outputs": 4, "activation": "none"}],
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The valid description with the key at `path` (as in "layers.0.outputs") set to `value`."""
    fields = copy.deepcopy(VALID)
    at: Any = fields
    *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parts:
        at = at[part] if isinstance(at, list) else at.setdefault(part, {})
    at[last] = value
    return fields


def said_about(fields: dict[str, Any]) -> str:
    """The sentence about what is wrong with `fields`."""
    with pytest.raises(ValidationError) as caught:
        Description.model_validate(fields)
    return complaint(caught.value, Description)


ONE_LANE = {"outputs": 1, "inputs": 1}
DROP = {"epoch": 3, "shift": 1}

WRONG_VALUES = [
    # ranges and types of single keys
    ("name", "Two Words", ["name", "'Two Words'", "lower-case", "40"]),
    ("name", "a" * 41, ["name", "aaa", "at most 40 characters"]),
    ("dataset", 3, ["dataset", "3", "text"]),
    ("inputs", 0, ["inputs", "0", "from 1 to 4096"]),
    ("inputs", 4097, ["inputs", "4097", "from 1 to 4096"]),
    ("inputs", 6.0, ["inputs", "6.0", "an integer"]),
    ("inputs", True, ["inputs", "true", "an integer"]),
    ("inputs", "6", ["inputs", "the text '6'", "an integer"]),
    ("layers", [], ["layers", "at least 1"]),
    ("layers", "dense", ["layers", "'dense'", "array of at least 1 tables"]),
    ("layers.0", 5, ["layers[0]", "5", "a table with the keys", "outputs"]),
    ("layers.0.kind", "conv", ["layers[0].kind", "'conv'", "'dense'"]),
    ("layers.0.outputs", 0, ["layers[0].outputs", "0", "from 1 to 4096"]),
    ("layers.0.outputs", 4097, ["layers[0].outputs", "4097", "from 1 to 4096"]),
    ("layers.1.activation", "tanh", ["layers[1]", "'tanh'", "feeds the loss", "'none'"]),
    (
        "layers.1.activation",
        "sigmoid",
        ["layers[1].activation", "'sigmoid'", "'relu', 'tanh' or 'none'"],
    ),
    ("rounding.update", "half-up", ["rounding.update", "'half-up'", "'truncate', 'nearest-even'"]),
    ("rounding.generator", "lfsr", ["rounding.generator", "'lfsr'", "'xorshift32'"]),
    ("recipe", 3, ["recipe", "3", "a table with the keys", "learning_rate"]),
    ("recipe.scheme", "gpipe", ["recipe.scheme", "'gpipe'", "'pipelined', 'sequential' or"]),
    ("recipe.mitigation", "pb", ["recipe.mitigation", "'pb'", *(f"'{m}'" for m in MITIGATIONS)]),
    ("recipe.init", "zero", ["recipe.init", "'zero'", "'he' or 'orthogonal'"]),
    ("recipe.horizon", 3, ["recipe.horizon", "3", "1 or 2"]),
    ("recipe.batch", 0, ["recipe.batch", "0", "from 1 to"]),
    ("recipe.epochs", 0, ["recipe.epochs", "0", "from 1 to"]),
    ("recipe.epochs", "20", ["recipe.epochs", "'20'", "an integer from 1 to 1000000"]),
    ("recipe.seed", -1, ["recipe.seed", "-1", "from 0 to 2147483647"]),
    ("recipe.seed", 2**31, ["recipe.seed", "2147483648", "from 0 to 2147483647"]),
    ("recipe.learning_rate", 0, ["recipe.learning_rate", "0", "above 0"]),
    ("recipe.learning_rate", math.nan, ["recipe.learning_rate", "nan", "above 0"]),
    ("recipe.learning_rate", "fast", ["recipe.learning_rate", "'fast'", "a number above 0"]),
    ("recipe.momentum", -0.5, ["recipe.momentum", "-0.5", "at least 0 and below 1"]),
    ("recipe.momentum", 1.0, ["recipe.momentum", "1.0", "at least 0 and below 1"]),
    ("recipe.rate_drops", DROP, ["recipe.rate_drops", "a table", "array of tables"]),
    ("recipe.rate_drops", [{**DROP, "epoch": 0}], ["recipe.rate_drops[0].epoch", "0", "from 1 to"]),
    ("recipe.rate_drops", [{**DROP, "shift": 8}], ["rate_drops[0].shift", "8", "from 0 to 7"]),
    ("fold.multipliers", 0, ["fold.multipliers", "0", "from 1 to"]),
    ("fold.memory", 0, ["fold.memory", "0", "from 1 to"]),
    ("fold.interval", 0, ["fold.interval", "0", "from 1 to"]),
    ("fold.lanes", [{**ONE_LANE, "inputs": 0}], ["fold.lanes[0].inputs", "0", "from 1 to 4096"]),
    ("fold.lanes", [{**ONE_LANE, "shared": 1}], ["fold.lanes[0].shared", "1", "true or false"]),
    # unknown and missing keys
    ("layer", [], ["unknown key 'layer'", "did you mean 'layers'"]),
    ("recipe.learning_rat", 1, ["unknown key 'learning_rat' in recipe", "'learning_rate'"]),
    ("layers.0.output", 3, ["unknown key 'output' in layers[0]", "kind, outputs, activation"]),
    ("layers.0.formats.bias", "s4.2", ["unknown key 'bias' in layers[0].formats", "operand"]),
    ("layers.0", {}, ["layers[0].outputs is missing", "from 1 to 4096"]),
    ("fold.lanes", [{"outputs": 1}], ["fold.lanes[0].inputs is missing", "from 1 to 4096"]),
    # number formats
    ("formats.weight", "q4.18", ["formats.weight", "'q4.18'", "as in 's20.18' or 'u8.4'"]),
    ("formats.weight", 20, ["formats.weight", "20", "as in 's20.18' or 'u8.4'"]),
    ("formats.weight", "s99.18", ["formats.weight", "s99.18", "99 bits", "are possible"]),
    ("formats.activation", "u8.99", ["formats.activation", "u8.99", "99 fraction bits", "0 to"]),
    ("layers.0.formats.error", "s1.0", ["layers[0].formats.error", "s1.0", "1 bits", "2 to"]),
    ("formats.error", "u8.6", ["formats", "error", "u8.6", "must be signed"]),
    ("formats.logit", "u8.6", ["formats", "logit", "u8.6", "must be signed"]),
    ("formats.operand", "u8.6", ["formats", "operand", "u8.6", "must be signed"]),
    ("formats.weight", "u20.18", ["formats", "weight", "u20.18", "must be signed"]),
    ("formats.velocity", "u14.18", ["formats", "velocity", "u14.18", "must be signed"]),
    ("formats.velocity", "s14.16", ["s14.16", "s20.18", "equally many fraction bits"]),
    ("formats.operand", "s20.19", ["formats", "s20.19", "s20.18", "at most 18"]),
    # rounding
    ("rounding.activation", "stochastic", ["activation", "'stochastic'", "'nearest-even'"]),
    ("rounding.operand", "stochastic", ["operand", "'stochastic'", "'nearest-even'"]),
    ("rounding.error", "stochastic", ["error", "'stochastic'", "'truncate' or 'nearest-even'"]),
    # recipe
    ("recipe.learning_rate", 0.3, ["recipe.learning_rate", "0.3", "power of two", "0.25"]),
    ("recipe.learning_rate", 2.0, ["recipe.learning_rate", "2.0", "at most 1", "1.0"]),
    ("recipe.momentum", 0.9, ["recipe.momentum", "0.9", "1 - 2^-k", "0.875"]),
    ("recipe.momentum", 1 - 2.0**-13, ["recipe.momentum", "up to 12", "0.999755859375"]),
    ("recipe.batch", 4, ["recipe", "batch 4", "'fill-and-drain'", "'pipelined'"]),
    ("recipe.rate_drops", [DROP, DROP], ["recipe", "rate_drops", "[3, 3]", "must increase"]),
    # the chain
    ("layers.0.activation", "none", ["layers[0]", "'none'", "u8.4", "no negative", "'relu'"]),
    ("layers.1.activation", "relu", ["layers[1]", "'relu'", "feeds the loss", "'none'"]),
    ("layers.1.outputs", 1, ["last layer", "1 outputs", "2 to 256"]),
    ("layers.1.outputs", 257, ["last layer", "257 outputs", "2 to 256"]),
    ("layers.1.formats.activation", "u8.4", ["last layer", "formats.logit"]),
    ("layers.1.formats.error", "s8.7", ["last layer", "error", "s8.7", "two bits above"]),
    ("formats.error", "s8.8", ["last layer", "error", "s8.8", "at least two bits above"]),
    ("fold.lanes", [ONE_LANE], ["fold.lanes", "1 entries", "2 layers"]),
    ("fold", {"lut_multipliers": 4}, ["fold.lut_multipliers is 4", "no fold.multipliers"]),
    ("fold", {"multipliers": 9, "lut_multipliers": -1}, ["fold.lut_multipliers", "-1", "from 0"]),
]


@pytest.mark.parametrize(
    ("path", "value", "words"), WRONG_VALUES, ids=[f"{p}={v!r}"[:50] for p, v, _ in WRONG_VALUES]
)
def test_message(path: str, value: object, words: list[str]) -> None:
    said = said_about(changed(path, value))
    for word in words:
        assert word in said
    assert "\n" not in said
    assert "pydantic" not in said


def test_message_of_two_contradicting_keys() -> None:
    reference = {"batch": 128, "learning_rate": 0.1, "momentum": 0.9}
    for key, value in (("learning_rate", 0.5), ("momentum", 0.5)):
        fields = changed("recipe", {"scale_from": reference, key: value})
        said = said_about(fields)
        assert "recipe: give either scale_from or " + key in said
    fold = {"multipliers": 9, "lanes": [ONE_LANE, ONE_LANE]}
    assert "fold: give either fold.lanes or fold.multipliers" in said_about(changed("fold", fold))


@pytest.mark.parametrize("key", ["name", "inputs", "layers"])
def test_message_of_a_missing_key(key: str) -> None:
    fields = {k: v for k, v in VALID.items() if k != key}
    assert f"{key} is missing, expected " in said_about(fields)


def test_several_faults_are_counted() -> None:
    fields = {**changed("layers.0.output", 3), "inputs": 0}
    assert said_about(fields).endswith("(and 1 more).")


WRONG_DESIGNS = [
    # formats that cannot work together: arithmetic
    (
        "layers.0.formats.velocity",
        "s14.16",
        ["layers[0]", "velocity s14.16", "weight s20.18", "equally many fraction bits"],
    ),
    (
        "layers.1.formats.operand",
        "s20.19",
        ["layers[1]", "operand s20.19", "more fraction bits than weight s20.18"],
    ),
    ("layers.0.formats.error", "u8.6", ["layers[0]", "error", "u8.6", "must be signed"]),
    ("layers.0.formats.operand", "u8.6", ["layers[0]", "operand", "u8.6", "must be signed"]),
    ("layers.0.formats.weight", "u20.18", ["layers[0]", "weight", "u20.18", "must be signed"]),
    (
        "recipe.learning_rate",
        2.0**-20,
        ["layers[0]", "drops 18 + 26 bits", "has 32", "now 2^-20", "velocity more fraction bits"],
    ),
    ("recipe", {"learning_rate": 2.0**-40}, ["layers[0]", "the update", "2^-40"]),
    ("recipe", {"learning_rate": 2.0**-60}, ["layers[0]", "the update", "2^-60"]),
    # folds that do not fit: planner and schedule
    ("fold.multipliers", 1, ["fold.multipliers is 1", "sample needs at least 2"]),
    ("fold.interval", 3, ["fold.interval is 3", "sample needs at least"]),
    ("fold.memory", 100, ["fold.memory is 100 bits", "sample needs", "dense0", "narrower"]),
    (
        "fold",
        {"multipliers": 2, "interval": 30},
        ["2 multipliers", "at most 30", "raise the multipliers or the interval"],
    ),
    (
        "fold",
        {"lanes": [ONE_LANE, ONE_LANE], "interval": 29},
        ["fold.lanes", "at most 29", "more lanes or raise the interval"],
    ),
    (
        "fold.lanes",
        [{"outputs": 9, "inputs": 1}, ONE_LANE],
        ["layers[0]", "9x1 lanes", "5 outputs and 6 inputs"],
    ),
    (
        "fold.lanes",
        [ONE_LANE, {"outputs": 3, "inputs": 5}],
        ["layers[1]", "3x5 lanes", "every 1 cycles", "fewer output lanes"],
    ),
]


@pytest.mark.parametrize(
    ("path", "value", "words"), WRONG_DESIGNS, ids=[f"{p}={v!r}"[:50] for p, v, _ in WRONG_DESIGNS]
)
def test_message_of_the_planner(path: str, value: object, words: list[str]) -> None:
    description = Description.model_validate(changed(path, value))
    with pytest.raises(ValueError, match=r".") as caught:
        plan(description)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_accumulators_wider_than_the_model() -> None:
    fields = changed("formats", {"operand": "s32.18", "weight": "s32.18", "input": "u32.8"})
    with pytest.raises(ValueError, match=r"layers\[0\]: .* use (narrower|fewer)"):
        plan(Description.model_validate(fields))


def test_update_wider_than_the_model() -> None:
    fields = changed("recipe.learning_rate", 2.0**-60)
    fields["rounding"] = {"update": "nearest-even"}
    with pytest.raises(ValueError, match=r"layers\[0\]: the update needs \d+ bits .* has 62"):
        plan(Description.model_validate(fields))


def test_defaults_are_a_whole_description() -> None:
    description = Description.model_validate(VALID)
    assert description.widths == (6, 5, 4)
    assert description.classes == 4
    assert description.formats == Formats()
    assert description.rounding.update is Rounding.STOCHASTIC
    assert description.recipe.mitigation == "lwpv+sc"
    assert plan(description).schedule.interval > 0


def test_python_values_and_plain_fields_mean_the_same() -> None:
    values = Description(
        name="sample",
        inputs=6,
        layers=(Dense(outputs=5), Dense(outputs=4, activation="none")),
        recipe=Recipe(rate_drops=(RateDrop(epoch=2, shift=1),)),
        fold=Fold(lanes=(Lanes(outputs=1, inputs=2), Lanes(outputs=1, inputs=1, shared=True))),
        formats=Formats(weight=Format.parse("s20.18")),
    )
    plain = {
        **VALID,
        "recipe": {"rate_drops": [{"epoch": 2, "shift": 1}]},
        "fold": {
            "lanes": [{"outputs": 1, "inputs": 2}, {"outputs": 1, "inputs": 1, "shared": True}]
        },
        "formats": {"weight": "s20.18"},
    }
    assert Description.model_validate(plain) == values
    assert Description.model_validate(plain).hash() == values.hash()


def test_descriptions_are_frozen() -> None:
    description = Description.model_validate(VALID)
    with pytest.raises(ValidationError):
        description.inputs = 7  # type: ignore[misc]


def test_hash_tells_descriptions_apart() -> None:
    first = Description.model_validate(VALID).hash()
    assert len(first) == 12
    assert Description.model_validate(changed("recipe.seed", 2)).hash() != first
    assert Description.model_validate(changed("formats.error", "s11.8")).hash() != first
    assert Description.model_validate(changed("formats.error", "s10.8")).hash() == first


@given(st.integers(0, 20), st.integers(0, 12))
def test_shifts_of_rate_and_momentum(rate: int, decay: int) -> None:
    recipe = Recipe(learning_rate=2.0**-rate, momentum=1 - 2.0**-decay)
    assert (recipe.rate_shift, recipe.momentum_shift) == (rate, decay)


def test_rate_drops_take_over_one_after_the_other() -> None:
    recipe = Recipe(rate_drops=(RateDrop(epoch=2, shift=1), RateDrop(epoch=5, shift=3)))
    assert [recipe.extra_shift(epoch) for epoch in range(7)] == [0, 0, 1, 1, 1, 3, 3]
    assert recipe.rate_span == 3


def test_scaling_to_batch_one_keeps_the_effect_of_a_gradient() -> None:
    """Kosson et al.'s reference: eta / (1 - m) per sample is kept to within rounding to shifts."""
    recipe = Recipe(scale_from=Reference(batch=128, learning_rate=0.1, momentum=0.9))
    effect = recipe.learning_rate / (1 - recipe.momentum)
    assert 2**-0.5 <= effect / (0.1 / (1 - 0.9) / 128) <= 2**0.5
    assert recipe.momentum == 1 - 2.0**-10


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_mitigations_say_what_they_do(mitigation: str) -> None:
    recipe = Recipe.model_validate({"mitigation": mitigation})
    assert recipe.predicts == ("lwp" in mitigation)
    assert recipe.compensates == ("sc" in mitigation.split("+"))
