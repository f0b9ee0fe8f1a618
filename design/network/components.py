"""Components: where a network is cut, and the heads that stand there.

A description names them by their sizes in layers, as "residual", or has `head` layers of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from counterflow.design.graph import Layer, Place
from counterflow.design.parts.fields import Expected
from counterflow.design.parts.horizon import Horizon
from counterflow.design.units.head import Head
from counterflow.design.units.residual import Residual

SIZES = Expected("an array of sizes, each a number of layers from 1 on, or 'residual'")


def _sizes(value: object) -> object:
    if value == "residual":
        return value
    given = tuple(value) if isinstance(value, list | tuple) else ()
    if not given or not all(type(one) is int and one >= 1 for one in given):
        raise SIZES.error()
    return given


Components = Annotated[tuple[int, ...] | Literal["residual"], BeforeValidator(_sizes), SIZES]


def cut(
    layers: Sequence[Layer], components: tuple[int, ...] | str | None, head: Sequence[Any]
) -> list[tuple[Layer, Place]]:
    """The layers with their places, and a head of the layers `head` behind each component.

    ValueError, in a sentence, where they cannot be cut so.
    """
    placed = [(layer, Place(f"layers[{at}]", str(at))) for at, layer in enumerate(layers)]
    own = [at for at, layer in enumerate(layers) if isinstance(layer, Head)]
    if components is None:
        if head:
            raise ValueError(
                "head has layers, but nothing says where heads stand; give components the sizes "
                "of the network's parts, such as [2, 2, 3]"
            )
        return placed
    if own:
        raise ValueError(
            f"components says where the network is cut, and so does layers[{own[0]}], which is a "
            "head; leave one of them out"
        )
    found: list[tuple[Layer, Place]] = []
    ends = _ends(layers, components)
    for at, one in enumerate(placed):
        found.append(one)
        if at in ends:
            number = ends.index(at) + 1
            layer = Head(kind="head", layers=tuple(head))
            found.append((layer, Place(f"the head behind layers[{at}]", f"h{number}")))
    return found


def _ends(layers: Sequence[Layer], components: tuple[int, ...] | str) -> list[int]:
    """The numbers of the layers behind which the network is cut."""
    if components == "residual":
        blocks = [at for at, layer in enumerate(layers) if isinstance(layer, Residual)]
        if not blocks:
            raise ValueError(
                "components is 'residual', one residual layer each, but there is none; give the "
                "sizes of the components in layers"
            )
        return blocks[:-1]
    sizes = [int(one) for one in components]
    if sum(sizes) != len(layers):
        raise ValueError(
            f"components is {sizes}, {sum(sizes)} layers in all, but the network has {len(layers)}"
        )
    return [end - 1 for end in accumulate(sizes[:-1])]


def horizon_of(placed: Sequence[tuple[Layer, Place]], sees: int | None, exits: bool) -> Horizon:
    """Who learns from which loss, where `sees` is what the description says of interlocking."""
    count = 1 + sum(isinstance(layer, Head) for layer, _ in placed)
    if count == 1 and (exits or sees not in (None, 1)):
        what = "exits is true" if exits else f"interlocking is {sees}"
        raise ValueError(
            f"{what}, but the network has one component, which ends in its last loss; give "
            "components the sizes of several, in layers, such as [2, 2, 3]"
        )
    if sees is not None and not 1 <= sees <= count:
        raise ValueError(
            f"interlocking is {sees}, but the network has {count} components; a body can see 1 to "
            f"{count} losses, its own and the next ones"
        )
    return Horizon(components=count, sees=count if sees is None else sees, exits=exits)
