"""The reference of every key of a description, from the models that read it.

``python -m counterflow.results.keys`` renews it in `PAGES`, between two marks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from counterflow.design.graph import Layer
from counterflow.design.network.complaints import accepted, bare_type
from counterflow.design.network.description import Description
from counterflow.design.network.files import write_atomically
from counterflow.design.network.layers import layers
from counterflow.results.markdown import between, grid

PAGES = [Path("docs/description.md")]
BEGIN = "<!-- from python -m counterflow.results.keys -->"
LAYERS = "an array of [layers](#layer-dense)"  # of which dense ones come first
NOTHING = "–"


@dataclass(frozen=True)
class Section:
    """The keys of a table, and where such a table stands: ``title`` is its heading."""

    title: str
    model: type[BaseModel]


def sections() -> list[Section]:
    """Every table that a description can have: its own, then those of layers."""
    found = [Section("Top level", Description)]
    for path, model, several in _inside(Description):
        found.append(Section(f"Tables `[[{path}]]`" if several else f"Table `[{path}]`", model))
    kinds: dict[type[Layer], list[str]] = {}
    for kind, layer in layers().items():
        kinds.setdefault(layer, []).append(f"`{kind}`")
    owners: dict[type[BaseModel], list[str]] = {}
    for layer, names in kinds.items():
        found.append(Section(f"Layer {' or '.join(names)}", layer))
        for path, model, _ in _inside(layer):
            owners.setdefault(model, [path]).extend(names)
    for model, (path, *names) in owners.items():
        found.append(Section(f"Table `{path}` of {' and '.join(names)}", model))
    return found


def _inside(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel], bool]]:
    """Path, model and whether there can be several, of the tables in one, but for layers."""
    for key, field in model.model_fields.items():
        inner, several = table_at(field.annotation)
        if inner is not None and inner is not Layer:
            yield f"{path}{key}", inner, several
            yield from _inside(inner, f"{path}{key}.")


def table_at(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model of the table that may stand there, if one may, and whether it is an array."""
    found = bare_type(annotation)
    several = get_origin(found) is tuple
    if several:
        found = bare_type(get_args(found)[0])
    return (found if isinstance(found, type) and issubclass(found, BaseModel) else None), several


def anchor(title: str) -> str:
    """How a link names a heading, on GitHub and on the site alike."""
    kept = (letter for letter in title.lower() if letter.isalnum() or letter in "-_ ")
    return "".join(kept).replace(" ", "-")


def keys_table(model: type[BaseModel], titles: dict[type[BaseModel], str]) -> str:
    """A row for each key: what it takes, its default, its meaning.

    ``titles``: the headings of other tables.  Raises ValueError for a key that says nothing.
    """
    rows = [["key", "takes", "default", "meaning"]]
    for key, field in model.model_fields.items():
        if not field.description:
            raise ValueError(f"{model.__name__}.{key} has no description")
        inner, several = table_at(field.annotation)
        if inner is None:
            takes = accepted(model, (key,))
        elif inner is Layer:
            takes = LAYERS
        else:
            link = f"[{titles[inner].partition(' of ')[0].lower()}](#{anchor(titles[inner])})"
            takes = f"an array of {link}" if several else f"a {link}"
        default = NOTHING
        if field.is_required():
            default = "required"
        elif inner is None and field.default is not None:
            default = f"`{json.dumps(field.default, default=str)}`"
        rows.append([f"`{key}`", takes, default, field.description])
    return grid(rows)


def reference() -> str:
    """All sections, with headings."""
    every = sections()
    titles = {one.model: one.title for one in every}
    return "\n\n".join(f"### {one.title}\n{keys_table(one.model, titles)}" for one in every)


def renewed(text: str) -> str:
    """`text` with a fresh reference between the marks; ValueError where it has none."""
    return between(text, BEGIN, reference())


def main() -> None:
    """Renew the reference in `PAGES`."""
    for path in PAGES:
        write_atomically(path, renewed(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
