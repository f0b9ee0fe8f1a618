"""TOML and Python mean the same, a file is whole or absent, and faults are sentences."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.data.sources import DataError
from counterflow.design.data.training import SYNTHETIC, training_data
from counterflow.design.network.description import Description, Fold
from counterflow.design.network.files import (
    DescriptionError,
    description_of,
    load,
    parse,
    shipped,
    to_toml,
    write_atomically,
)
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.recipe import MITIGATIONS, RateDrop, Recipe, Reference
from counterflow.design.parts.roles import Formats, Roundings
from counterflow.design.schedule.planner import plan
from counterflow.design.units.convolution import Dense, FormatOverrides
from counterflow.design.units.tiling import Lanes

VALID = """
name = "sample"
inputs = 6
layers = [{ outputs = 5 }, { outputs = 4, activation = "none" }]
"""

HEADERS = "".join(f"[[layers{'.body' * at}]]\nkind = 'residual'\n" for at in range(500)).encode()

UNSIGNED = st.builds(Format, st.just(False), st.integers(1, 12), st.integers(0, 8))
NARROWINGS = st.sampled_from([Rounding.TRUNCATE, Rounding.NEAREST_EVEN])
OPTIONAL_COUNT = st.none() | st.integers(1, 10**6)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any recipe that is valid."""
    scheme = draw(st.sampled_from(["pipelined", "sequential", "fill-and-drain"]))
    fields = {
        "scheme": scheme,
        "batch": draw(st.integers(1, 64)) if scheme == "fill-and-drain" else 1,
        "mitigation": draw(st.sampled_from(MITIGATIONS)),
        "horizon": draw(st.sampled_from([1, 2])),
        "epochs": draw(st.integers(1, 99)),
        "init": draw(st.sampled_from(["he", "orthogonal"])),
        "seed": draw(st.integers(0, 2**31 - 1)),
        "rate_drops": tuple(
            RateDrop(epoch=epoch, shift=draw(st.integers(0, 7)))
            for epoch in sorted(draw(st.sets(st.integers(1, 30), max_size=3)))
        ),
    }
    if draw(st.booleans()):
        fields["scale_from"] = Reference(
            batch=draw(st.integers(1, 256)),
            learning_rate=draw(st.floats(1e-4, 0.5)),
            momentum=draw(st.floats(0, 0.95)),
        )
    else:
        fields["learning_rate"] = 2.0 ** -draw(st.integers(0, 20))
        fields["momentum"] = 1 - 2.0 ** -draw(st.integers(0, 12))
    return Recipe.model_validate(fields)


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    """Any description that is valid."""
    widths = draw(st.lists(st.integers(2, 256), min_size=1, max_size=4))
    overrides = FormatOverrides(weight=draw(st.none() | st.just(Format.parse("s20.18"))))
    layers = [Dense(outputs=width, formats=overrides) for width in widths[:-1]]
    if draw(st.booleans()):
        lanes = tuple(
            Lanes(outputs=draw(st.integers(1, width)), inputs=1, shared=draw(st.booleans()))
            for width in widths
        )
        fold = Fold(lanes=lanes, memory=draw(OPTIONAL_COUNT))
    else:
        fold = Fold(multipliers=draw(OPTIONAL_COUNT), interval=draw(OPTIONAL_COUNT))
    return Description(
        name=draw(st.from_regex(r"[a-z][a-z0-9-]{0,39}", fullmatch=True)),
        dataset=draw(st.text(min_size=1, max_size=12)),
        inputs=draw(st.integers(1, 4096)),
        layers=(*layers, Dense(outputs=widths[-1], activation="none")),
        formats=Formats(input=draw(UNSIGNED), activation=draw(UNSIGNED)),
        rounding=Roundings(update=draw(st.sampled_from(Rounding)), error=draw(NARROWINGS)),
        recipe=draw(recipes()),
        fold=fold,
    )


@settings(deadline=None)  # the first one waits for imports
@given(descriptions())
def test_toml_round_trip(description: Description) -> None:
    again = parse(to_toml(description))
    assert again == description
    assert again.hash() == description.hash()


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("tiny", 0.9),
        ("tiny-conv", 0.88),  # of 119 cycles a few wait for the update of so few weights
        ("digits", 0.9),
        ("digits-8bit", 0.9),
        ("deep-digits", 0.9),
        ("mnist", 0.9),
        ("lenet5", 0.9),
        ("lenet5-classic", 0.9),
        ("lenet5-finetune", 0.9),
        ("digits-conv", 0.9),
        ("waveforms", 0.9),
        ("vgg-small", 0.9),
        ("tiny-mse", 0.7),  # of 60 cycles a few wait for the update of so few weights
        ("friedman", 0.9),
        ("digits-autoencoder", 0.9),
    ],
)
def test_shipped_networks_are_whole(name: str, least: float) -> None:
    description = load(name)
    assert name in shipped()
    assert description.name == name
    assert plan(description).schedule.utilisation >= least
    assert parse(to_toml(description)) == description


def test_shipped_networks_have_the_shapes_that_are_promised() -> None:
    assert description_of("digits").widths == (64, 32, 32, 10)
    assert description_of("deep-digits").widths == (64, *[32] * 16, 10)
    assert description_of("mnist").widths == (784, 64, 32, 10)
    assert [description_of(name).parameters for name in ("tiny", "digits")] == [59, 3466]
    assert description_of("lenet5").widths == (784, 4704, 1600, 120, 84, 10)
    assert description_of("lenet5-classic").widths == description_of("lenet5").widths
    assert description_of("digits-conv").widths == (64, 512, 64, 10)
    assert description_of("waveforms").widths == (64, 256, 512, 256, 5)
    assert description_of("lenet5").parameters == 61_706  # of LeCun et al. 1998 with full maps
    assert shipped() == (
        "tiny-mse",
        "tiny",
        "tiny-conv",
        "tiny-res",
        "friedman",
        "digits-8bit",
        "digits-conv",
        "waveforms",
        "digits",
        "digits-resnet",
        "digits-autoencoder",
        "deep-digits",
        "fashion-resnet",
        "cifar-resnet",
        "vgg-small",
        "mnist",
        "lenet5",
        "lenet5-classic",
        "lenet5-finetune",
        "alexnet",
    )


def test_toml_and_python_mean_the_same() -> None:
    text = VALID + (
        "[recipe]\nlearning_rate = 0.25\nrate_drops = [{ epoch = 2, shift = 1 }]\n[formats]\n"
        'weight = "s20.18"\n[rounding]\nupdate = "truncate"\n[fold]\nmultipliers = 9\n'
    )
    value = Description(
        name="sample",
        inputs=6,
        layers=(Dense(outputs=5), Dense(outputs=4, activation="none")),
        recipe=Recipe(learning_rate=0.25, rate_drops=(RateDrop(epoch=2, shift=1),)),
        formats=Formats(weight=Format.parse("s20.18")),
        rounding=Roundings(update=Rounding.TRUNCATE),
        fold=Fold(multipliers=9),
    )
    assert parse(text) == value
    assert parse(text).hash() == value.hash()


def test_a_name_is_a_shipped_network_and_a_path_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()  # must not hide the shipped network
    Path("mine.toml").write_text(VALID)
    Path("no-suffix").write_text(VALID)
    assert load("digits").name == "digits"
    assert load("mine.toml") == load("./mine.toml") == load("no-suffix") == parse(VALID)


def message(network: str) -> str:
    with pytest.raises(DescriptionError) as caught:
        load(network)
    return str(caught.value)


def test_unknown_networks_are_answered_with_what_there_is() -> None:
    said = message("digit")
    assert "no network 'digit'; did you mean 'digits'?" in said
    assert all(name in said for name in shipped())
    assert "did you mean" not in message("transformer")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'name = "x"\ninputs 6\n', ["not TOML", "expected '='", "line 2, column 8"]),
        (b'name = "x', ["not TOML", "unterminated string"]),
        (b"name = 'a'\nname = 'b'\n", ["not TOML", "a key is given twice", "line 2"]),
        (b"\xff\xfe", ["byte 0 is not UTF-8"]),
        (b"a = " + b"[" * 5000, ["nested too deeply"]),
        (b"[" + b".".join([b"a"] * 3000) + b"]", ["nested too deeply"]),
        (b'name = "m"\n' + HEADERS, ["nested too deeply"]),
        (b"[recipe]\nlearning_rate = inf", ["recipe.learning_rate is inf", "a finite number"]),
        (b"[[recipe.x]]\ny = [1, nan]", ["recipe.x[0].y[1] is nan", "a finite number"]),
        (b"", ["name is missing", "(and 2 more)"]),
        (VALID.replace("inputs", "input").encode(), ["unknown key 'input'", "mean 'inputs'?"]),
        (VALID.replace("= 5", "= -5").encode(), ["layers[0].outputs is -5", "from 1 to 4096"]),
    ],
)
def test_message_of_a_bad_file(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    said = message(str(path))
    assert said.startswith(f"{path}: ")
    for word in words:
        assert word in said
    assert "\n" not in said
    assert path.read_bytes() == content


def test_message_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert message(str(tmp_path / "absent.toml")).endswith(
        "absent.toml: cannot be read (No such file or directory)."
    )
    assert "it is a folder, expected a file" in message(f"{tmp_path}{os.sep}")


def test_writing_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    assert write_atomically(path, "one") == path
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [one.name for one in path.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_atomically(tmp_path / "file.txt", "old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file.txt"]


def test_synthetic_data_fits_any_network() -> None:
    dataset = training_data(load("tiny"))
    assert dataset.train_x.shape[1] == 6
    assert dataset.classes == 4
    assert np.array_equal(dataset.train_x, training_data(load("tiny")).train_x)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('dataset = "mnits"', ["'mnits'", "did you mean 'mnist'?", "digits", SYNTHETIC]),
        (
            'dataset = "digits"',
            ["sample has 6 inputs", "images of 8x8x1", "inputs = 64 or [8, 8, 1]"],
        ),
    ],
)
def test_message_of_data_that_does_not_fit(text: str, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        training_data(parse(text + VALID))
    for word in words:
        assert word in str(caught.value)


def test_message_of_too_few_classes() -> None:
    text = VALID.replace("inputs = 6", "inputs = 64")
    with pytest.raises(ValueError, match=r"4 classes apart, but digits has 10.*at least 10"):
        training_data(parse('dataset = "digits"' + text))


def test_message_of_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist: there is no train-images.*counterflow data fetch"):
        training_data(load("mnist"), tmp_path)
