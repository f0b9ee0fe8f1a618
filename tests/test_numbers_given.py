"""Numbers and words that users give: finite, bounded, matched whole, and never without effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from pydantic import BaseModel

from counterflow.cli import main
from counterflow.commands.numerals import Real, Whole
from counterflow.design.data.digits import DIGITS
from counterflow.design.data.sets import Dataset, load, synthetic
from counterflow.design.data.training import training_data
from counterflow.design.network import files
from counterflow.design.network.complaints import _limit, bare_type
from counterflow.design.network.description import Description, Fold
from counterflow.design.network.files import DescriptionError, parse
from counterflow.design.network.layers import layers
from counterflow.design.parts.formats import Format
from counterflow.design.parts.recipe import RateDrop, Recipe, Reference
from counterflow.fusesoc import core_file
from tests.commands import TINY
from tests.commands import refuse as told

pytestmark = pytest.mark.usefixtures("elsewhere")


def refuse(*arguments: str) -> str:
    """As `told`, and not even a folder is left."""
    said = told(*arguments)
    assert list(Path().iterdir()) == []
    return said


# Options


def options() -> Iterator[tuple[str, click.Parameter]]:
    left: list[tuple[str, click.Command]] = [("", main)]
    while left:
        words, command = left.pop()
        if isinstance(command, click.Group):
            left += [(f"{words} {name}", one) for name, one in command.commands.items()]
        yield from ((f"{words} {one.opts[0]}", one) for one in command.params)


NUMBERS = {
    name: one
    for name, one in options()
    if isinstance(one.type, click.types.IntParamType | click.types.FloatParamType)
}
NEVER = (
    *("nan", "inf", "-inf", "infinity", "1e400", "1e999999", "-1", "1_000", " 5", "5 ", "5\n"),
    *("\uff15", "\u0665", "0x10", "", "five", "1" * 5000, "5,0", "1e", "+"),
)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_finite_bounded_and_ascii(name: str) -> None:
    kind = NUMBERS[name].type
    assert isinstance(kind, Whole | Real)
    assert None not in (kind.min, kind.max)
    for text in (*NEVER, *(["0.5"] if isinstance(kind, Whole) else []), "9" * 30):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)
    assert kind.convert("5", None, None) == 5
    assert kind.convert("5" if isinstance(kind, Whole) else "5.0e0", None, None) == 5


TEXTS = [
    name
    for name, one in options()
    if not isinstance(one.type, click.Path | click.types.BoolParamType | click.Choice)
    and isinstance(one, click.Option)
    and name.split()[0] in ("plan", "train", "verilog", "compare", "build", "board-sim")
]


@pytest.mark.parametrize("name", TEXTS)
def test_an_error_repeats_no_more_of_a_text_than_a_line_holds(name: str) -> None:
    *command, option = name.split()
    board = ["--board", "none"] if command == ["build"] and option != "--board" else []
    assert len(refuse(*command, "tiny", *board, f"{option}={'9' * 5000}")) < 800


def test_there_are_such_options() -> None:
    assert {" plan --freq", " synth --freq", " host train --timeout", " train --epochs"} <= set(
        NUMBERS
    )


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1", "1e400", "\uff11e-3", " 0.1", "0_1"])
def test_a_rate_of_faults(text: str) -> None:
    assert "faults" in refuse("board-sim", "tiny", "--faults", text)


@pytest.mark.parametrize("text", ["1,\uff14", "1_0", "1, 4", "1,4\n", "", "1,,4", "nan"])
def test_lists_of_numbers(text: str) -> None:
    assert "is no list of" in refuse("plan", "deep-digits-local", "--interlocking", text)
    assert "is no list of" in refuse("compare", "deep-digits", "--placement", text)


# Words


FORMATS = ("s20.18\n", " s20.18", "s\uff12\uff10.18", "s20.\u0661\u0668", "S20.18", "s20.18x")
NAMES = (
    "resnet20\n",
    "resnet\uff12\uff10",
    "vgg11-w\u0664",
    "resnet20-local\n",
    "resnet\u0662-local",
)


@pytest.mark.parametrize("text", [*FORMATS, f"s{'2' * 5000}.18"])
def test_formats_are_matched_whole(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number format"):
        Format.parse(text)


@pytest.mark.parametrize("text", [*NAMES, f"resnet{'2' * 5000}"])
def test_names_are_matched_whole(text: str) -> None:
    assert files.generated(text) is None
    with pytest.raises(DescriptionError, match="no network") as caught:
        files.load(text)
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize("text", ["x\\n", "\uff58", "a\u0661", " a", "A"])
def test_the_name_of_a_description_is_matched_whole(text: str) -> None:
    with pytest.raises(DescriptionError, match="name is the text"):
        parse(TINY.replace("mine", text))


@pytest.mark.parametrize("text", ["a:b:c:1\n", "a:b:\u0663:1", "a:b:c:\uff11"])
def test_the_name_of_a_core_is_matched_whole(text: str) -> None:
    with pytest.raises(ValueError, match="is no name of a core"):
        core_file(vlnv=text, module="m", stem="m", about="")


# Descriptions


def test_a_byte_order_mark_is_no_fault() -> None:
    Path("mine.toml").write_bytes(b"\xef\xbb\xbf" + TINY.encode())
    assert files.load("mine.toml") == parse(TINY)


def models() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {
        one.__name__: one for one in (Description, Fold, Recipe, Reference, RateDrop)
    }
    return found | {f"layer {name}": kind for name, kind in layers().items()}


# By the words of `INPUTS`, by the components there are, by the powers of two that are taken.
ELSEWHERE = {"inputs", "interlocking", "gradient_clip"}


@pytest.mark.parametrize("name", models())
def test_every_number_of_a_description_is_bounded(name: str) -> None:
    for key, field in models()[name].model_fields.items():
        if bare_type(field.annotation) in (int, float) and key not in ELSEWHERE:
            limits = {limit: _limit(field.metadata, limit) for limit in ("ge", "gt", "le", "lt")}
            assert limits["ge"] is not None or limits["gt"] is not None, key
            assert limits["le"] is not None or limits["lt"] is not None, key


@pytest.mark.parametrize("key", ["recipe.epochs", "fold.memory", "recipe.sequential_after"])
def test_too_many_is_said_with_what_is_possible(key: str) -> None:
    table, name = key.split(".")
    with pytest.raises(DescriptionError, match=rf"{key} is 1{'0' * 30}, expected an integer from"):
        parse(f"{TINY}[{table}]\n{name} = 1{'0' * 30}")


@pytest.mark.parametrize("text", ["interlocking = 1" + "0" * 30, "interlocking = -1"])
def test_horizons_are_bounded(text: str) -> None:
    with pytest.raises(DescriptionError, match="interlocking"):
        parse(text + TINY)


# Data


def changed(**changes: Any) -> Dataset:
    return dataclasses.replace(synthetic(6, 4, 20, 1), **changes)


LABELS = synthetic(6, 4, 20, 1).train_y
FAULTS: dict[str, tuple[Callable[[], Dataset], str]] = {
    "float labels": (lambda: changed(train_y=LABELS * 0.7), "train_y has the type float64"),
    "truths": (lambda: changed(test_y=LABELS > 0), "test_y has the type bool"),
    "a label too large": (lambda: changed(train_y=LABELS + 9), r"train_y\[0\] is \d+, expected"),
    "a label below 0": (lambda: changed(test_y=LABELS.astype(int) - 9), "expected 0..3"),
    "too few labels": (lambda: changed(test_y=LABELS[1:]), "a label for each of 20"),
    "other images": (lambda: changed(train_x=np.zeros((20, 5), np.uint8)), "images of 6 elements"),
    "nothing to train on": (
        lambda: changed(train_x=np.zeros((0, 6), np.uint8), train_y=LABELS[:0]),
        "no training images",
    ),
}


@pytest.mark.parametrize(("make", "words"), FAULTS.values(), ids=FAULTS)
def test_data_that_would_be_taken_for_others(make: Callable[[], Dataset], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_data_without_a_test_half_are_possible() -> None:
    assert len(changed(test_x=np.zeros((0, 6), np.uint8), test_y=LABELS[:0]).test_x) == 0


# Without effect


def test_a_folder_that_is_not_read_is_refused(tmp_path: Path) -> None:
    for command in ("train", "simulate", "compare"):
        for net in ("tiny", "digits"):
            said = refuse(command, net, "--data", str(tmp_path))
            assert f"{tmp_path}: has nothing in it that is understood" in said
    with pytest.raises(ValueError, match="has nothing in it that is understood"):
        training_data(files.load("tiny"), tmp_path)
    with pytest.raises(ValueError, match="leave out the folder"):
        load("digits", tmp_path)
    with pytest.raises(ValueError, match="leave out the folder"):
        DIGITS.read(tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("synth tiny --no-route --freq 50", "--freq is for placing and routing"),
        ("synth tiny --no-route --seed 1", "--seed is for placing and routing"),
        ("plan deep-digits-local --interlocking 1,4 --freq 50", "leave out --freq"),
        ("plan tiny --targets --freq 50", "leave out --freq"),
        ("simulate tiny --epochs 2", "--epochs needs --long"),
        ("train tiny --batch 4", "batch 4 needs scheme"),
        ("verilog tiny --vlnv a:b:c:1", "--vlnv needs --bus axi"),
    ],
)
def test_an_option_without_effect_is_refused(line: str, words: str) -> None:
    assert words in refuse(*line.split())
