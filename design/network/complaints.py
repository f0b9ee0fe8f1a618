"""What pydantic finds wrong with a description, said in one sentence: where, what, what instead."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from counterflow.design.graph import Layer
from counterflow.design.network.layers import DEFAULT, layers
from counterflow.design.parts.fields import Expected
from counterflow.design.parts.formats import Format

Location = tuple[int | str, ...]
UNIONS = (Union, types.UnionType)

# What a pattern of the description means, for people.
_PATTERNS = {
    r"^[a-z][a-z0-9-]*$": "a lower-case letter, then lower-case letters, digits and hyphens",
}
_LONGEST_TEXT = 60
_LONGEST_ARRAY = 4  # that is written out
# An unknown key comes first: a key that is missing is often one that was misspelt.
_FIRST = ("extra_forbidden", "missing")


def complaint(error: ValidationError, model: type[BaseModel]) -> str:
    """The gravest finding of `error` about a `model`, with a count of the others."""
    found = _apart(error.errors(include_url=False))
    rank = {kind: place for place, kind in enumerate(_FIRST)}
    worst = min(found, key=lambda one: rank.get(one["type"], len(rank)))
    others = len(found) - 1
    more = f" (and {others} more)" if others else ""
    return f"{_sentence(worst, model)}{more}."


def _apart(found: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without what only follows from another: an array that is too short for wrong elements."""
    inside = {one["loc"][:length] for one in found for length in range(len(one["loc"]))}
    return [one for one in found if one["type"] != "too_short" or one["loc"] not in inside]


def nearest(word: str, known: Iterable[str]) -> str:
    """A question "; did you mean ...?" where one of `known` resembles or begins with `word`."""
    known = list(known)
    longer = [one for one in known if len(word) > 2 and one.startswith(word)]
    close = difflib.get_close_matches(word, known, n=1) or longer
    return f"; did you mean {close[0]!r}?" if close else ""


def path_of(location: Location) -> str:
    """A key as it would be written: layers[1].outputs.

    What follows an index and names a kind of layer is `design.network.layers.read`'s, and left
    out.
    """
    text, before, tags = "", None, layers()
    for part in location:
        kind = isinstance(before, int) and part in tags
        before = part
        if kind:
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A value as TOML writes it, with its type where that may be the fault."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        short = value if len(value) <= _LONGEST_TEXT else value[: _LONGEST_TEXT - 3] + "..."
        return f"the text {short!r}"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        flat = len(value) <= _LONGEST_ARRAY and all(type(one) in (int, float) for one in value)
        return str(list(value))[:_LONGEST_TEXT] if flat else f"an array of {len(value)}"
    return str(value)[:_LONGEST_TEXT]


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    location, kind = error["loc"], error["type"]
    if kind == "extra_forbidden":
        keys = _keys(_model_at(model, location[:-1]))
        wrong = str(location[-1])
        close = nearest(wrong, keys) or ";"
        place = f" in {path_of(location[:-1])}" if location[:-1] else ""
        return f"unknown key {wrong!r}{place}{close} Possible are {', '.join(keys)}"
    if kind == "unknown_kind":
        wrong, kinds = error["input"]["kind"], list(layers())
        close = nearest(str(wrong), kinds)
        possible = f"{close} Possible are" if close else ", expected"
        return f"{path_of(location)}.kind is {shown(wrong)}{possible} {_one_of(kinds)}"
    if kind == "missing":
        return f"{path_of(location)} is missing, expected {accepted(model, location)}"
    if kind in ("value_error", "assertion_error"):
        return _own_words(str(error["ctx"]["error"]), location)
    expected = error["ctx"]["expected"] if kind == "unlike" else accepted(model, location)
    return f"{path_of(location)} is {shown(error['input'])}, expected {expected}"


def _own_words(text: str, location: Location) -> str:
    """A message of the description itself, with its place in front unless it says it."""
    text = text.rstrip(".")
    if location and text.startswith(f"{location[-1]} "):
        location = location[:-1]
        return f"{path_of(location)}.{text}".removeprefix(".")
    return f"{path_of(location)}: {text}" if location else text


def accepted(model: type[BaseModel], location: Location) -> str:
    """What may stand at `location` of a `model`, in words."""
    annotation: Any = model
    limits: Sequence[Any] = ()
    for part in location:
        if isinstance(part, int):
            annotation, limits = get_args(bare_type(annotation))[0], ()
        elif (tagged := _tagged(annotation, part)) is not None:
            annotation, limits = tagged, ()
        else:
            field = _field(bare_type(annotation), part)
            annotation, limits = field.annotation, field.metadata
    return _words(annotation, limits)


def _tagged(annotation: Any, tag: str) -> Any:
    """The layer of the kind that `tag` names where a layer stands, else None."""
    bare = bare_type(annotation)
    if isinstance(bare, type) and issubclass(bare, Layer):
        return layers().get(tag)
    return None


def _field(model: Any, key: str) -> FieldInfo:
    fields: dict[str, FieldInfo] = model.model_fields
    return fields[key]


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    annotation: Any = model
    for part in location:
        bare = bare_type(annotation)
        if isinstance(part, int):
            annotation = get_args(bare)[0]
        else:
            annotation = _tagged(annotation, part) or _field(bare, part).annotation
    found: type[BaseModel] = bare_type(annotation)
    return found


def bare_type(annotation: Any) -> Any:
    """An annotation without Annotated and without "or None"."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in UNIONS:
        rest = [one for one in get_args(annotation) if one is not type(None)]
        return bare_type(rest[0])
    return annotation


def _said(annotation: Any) -> tuple[Any, ...]:
    """What Annotated says of an annotation "or None"."""
    if get_origin(annotation) in UNIONS:
        return tuple(found for one in get_args(annotation) for found in _said(one))
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


def _keys(model: type[BaseModel]) -> list[str]:
    """Keys of a table; of a layer that names no kind, those of the kind that it has then."""
    model = layers()[DEFAULT] if model is Layer else model
    return list(model.model_fields)


def _words(annotation: Any, limits: Sequence[Any]) -> str:
    for one in (*limits, *_said(annotation)):
        if isinstance(one, Expected):
            return one.words
    bare = bare_type(annotation)
    if get_origin(bare) is Literal:
        return _one_of(get_args(bare))
    if get_origin(bare) is tuple:
        element = get_args(bare)[0]
        least = _limit(limits, "min_length")
        amount = f"at least {least} " if least else ""
        return f"an array of {amount}{_plural(element)}"
    if not isinstance(bare, type):
        return "another type of value"
    if issubclass(bare, Enum):
        return _one_of([one.value for one in bare])
    if issubclass(bare, BaseModel):
        return f"a table with the keys {', '.join(_keys(bare))}"
    if issubclass(bare, Format):
        return "a number format such as 's20.18' or 'u8.4'"
    if bare is bool:
        return "true or false"
    if bare is int:
        return "an integer" + _range(limits, whole=True)
    if bare is float:
        return "a number" + _range(limits, whole=False)
    if bare is str:
        return _text(limits)
    return f"a {bare.__name__}"


def _plural(element: Any) -> str:
    bare = bare_type(element)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return f"tables with the keys {', '.join(_keys(bare))}"
    return "integers" if bare is int else f"{getattr(bare, '__name__', 'value')}s"


def _one_of(values: Sequence[object]) -> str:
    *firsts, last = [repr(value) for value in values]
    return f"{', '.join(firsts)} or {last}" if firsts else last


def _text(limits: Sequence[Any]) -> str:
    pattern, longest = _limit(limits, "pattern"), _limit(limits, "max_length")
    words = f" ({_PATTERNS.get(pattern, pattern)})" if pattern else ""
    return f"text{words}" + (f" of at most {longest} characters" if longest else "")


def _range(limits: Sequence[Any], *, whole: bool) -> str:
    low, high = _limit(limits, "ge"), _limit(limits, "le")
    above, below = _limit(limits, "gt"), _limit(limits, "lt")
    if whole and below is not None:
        high, below = below - 1, None
    if low is not None and high is not None:
        return f" from {low} to {high}"
    parts = [
        f"{sign} {bound}"
        for sign, bound in (
            ("of at least", low),
            ("above", above),
            ("of at most", high),
            ("below", below),
        )
        if bound is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def _limit(limits: Sequence[Any], name: str) -> Any:
    """The bound `name` among a field's constraints, which may be grouped."""
    for one in limits:
        parts = list(one) if isinstance(one, annotated_types.GroupedMetadata) else [one]
        for part in parts:
            value = getattr(part, name, None)
            if value is not None:
                return value
    return None
