"""docs/description.md has every key of a description, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from counterflow.design.graph import Layer
from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, parse
from counterflow.design.network.layers import DEFAULT, layers
from counterflow.design.parts.fields import Frozen
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.results.keys import PAGES, keys_table, renewed, sections, table_at
from tests import toy
from tests.test_documents import FENCED

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / PAGES[0]).read_text(encoding="utf-8")
EXAMPLES = [text for kind, text in FENCED.findall(PAGE) if kind == "toml"]
KEYS = {(section.title, key) for section in sections() for key in section.model.model_fields}

Used = Iterator[tuple[type[BaseModel], str]]


def used(fields: dict[str, Any], model: type[BaseModel]) -> Used:
    """The model and the key of everything that stands in a table."""
    if model is Layer:
        model = layers()[fields.get("kind", DEFAULT)]
    for key, value in fields.items():
        yield model, key
        inner, _ = table_at(model.model_fields[key].annotation)
        if inner is not None:
            for one in value if isinstance(value, list) else [value]:
                yield from used(one, inner)


def shown() -> set[tuple[str, str]]:
    """The heading and the key of each row on the page."""
    found, title = set(), ""
    for line in PAGE.splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif match := re.match(r"\| `(\w+)` \|", line):
            found.add((title, match[1]))
    return found


def test_the_page_is_as_the_models_are() -> None:
    assert renewed(PAGE) == PAGE, "run python -m counterflow.results.keys"
    assert shown() >= KEYS
    with pytest.raises(ValueError, match="there is no line"):
        renewed("a page without marks")


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.title)
def test_every_key_says_what_it_means(section: Any) -> None:
    for key, field in section.model.model_fields.items():
        assert field.description, key
        assert field.description.endswith("."), field.description


def test_every_model_of_a_description_has_a_section() -> None:
    def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for one in model.__subclasses__():
            yield from (one, *below(one))

    of_product = {one for one in below(Frozen) if one.__module__.startswith("counterflow.")}
    assert {one.model for one in sections()} == {
        one for one in of_product if not one.__subclasses__()
    }


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: str(tomllib.loads(text)["name"]))
def test_every_example_is_a_network_that_can_be_planned(text: str) -> None:
    assert plan(parse(text)).schedule.interval > 0


def test_every_key_that_is_shown_is_accepted() -> None:
    """Each stands in an example, all of which are read."""
    tried = {pair for text in EXAMPLES for pair in used(tomllib.loads(text), Description)}
    lacking = [
        f"{section.title}: {key}"
        for section in sections()
        for key in section.model.model_fields
        if (section.model, key) not in tried
    ]
    assert not lacking


def test_a_key_that_is_not_shown_is_refused() -> None:
    with pytest.raises(DescriptionError, match="unknown key 'speed' in fold"):
        parse(f"{EXAMPLES[0]}\n[fold]\nspeed = 3\n")


def test_a_row_has_limits_default_and_meaning_of_its_field() -> None:
    class Table(Frozen):
        size: int = Field(default=2, ge=1, le=7, description="How large.")
        there: bool = Field(description="Whether.")

    assert keys_table(Table, {}).splitlines()[2:] == [
        "| `size` | an integer from 1 to 7 | `2` | How large. |",
        "| `there` | true or false | required | Whether. |",
    ]


def test_a_key_without_a_meaning_is_no_row() -> None:
    class Table(Frozen):
        size: int = 2

    with pytest.raises(ValueError, match=r"Table\.size has no description"):
        keys_table(Table, {})


def test_a_new_kind_of_layer_is_shown() -> None:
    toy.register()
    try:
        assert "Layer `halve`" in [section.title for section in sections()]
    finally:
        toy.forget()


@pytest.mark.parametrize(
    "row",
    re.findall(
        r"^\| `([su]\d+\.\d+)` \| (-?\d+) to (\d+) \| (\S+) to (\S+) \| 2\^-(\d+) \|",
        PAGE,
        re.MULTILINE,
    ),
)
def test_formats_are_what_the_page_says(row: tuple[str, ...]) -> None:
    name, *limits, step = row
    one = Format.parse(name)
    least, most, low, high = map(float, limits)
    assert (one.min, one.max, one.frac) == (least, most, int(step))
    assert (one.value(one.min), one.value(one.max)) == (low, high)
