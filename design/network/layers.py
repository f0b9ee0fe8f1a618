"""Layers by their kind, and how what stands in a description becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, SerializeAsAny, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from counterflow.design.graph import Layer
from counterflow.design.units import KINDS

DEFAULT = "dense"  # the kind of a layer that names none
CUSTOM = ("unlike", "unknown_kind")  # errors that pydantic does not know


def layers() -> dict[str, type[Layer]]:
    """The class of the layers of each kind."""
    return {
        name: layer
        for kind in KINDS.values()
        for layer in kind.layers
        for name in get_args(layer.model_fields["kind"].annotation)
    }


def read(value: Any) -> Any:
    """A table as the layer whose kind it names; other values as they are.

    What is wrong with it is raised at places that begin with its kind.
    """
    if not isinstance(value, Mapping):
        return value
    known, kind = layers(), value.get("kind", DEFAULT)
    if not isinstance(kind, str) or kind not in known:
        raise PydanticCustomError("unknown_kind", "there is no such kind of layer")
    try:
        return known[kind].model_validate(value, context={"layer": read})
    except ValidationError as error:
        raise _inside(kind, error) from None


def _inside(kind: str, error: ValidationError) -> ValidationError:
    """`error` about a layer, with its kind in front of each place."""
    found: list[InitErrorDetails] = []
    for one in error.errors(include_url=False):
        kinds: Any = one["type"]
        if kinds in CUSTOM:
            kinds = PydanticCustomError(kinds, one["msg"], one.get("ctx"))
        found.append(
            InitErrorDetails(
                type=kinds, loc=(kind, *one["loc"]), input=one["input"], ctx=one.get("ctx", {})
            )
        )
    return ValidationError.from_exception_data(error.title, found)


AnyLayer = Annotated[SerializeAsAny[Layer], BeforeValidator(read)]
