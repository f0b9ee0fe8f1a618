"""Which module of a file of weights is which unit of a network.

By their names, if the file has modules of the names of all units.  Else each unit gets the module
of its shape; of several of the same shape, the first unit gets the first by name, numbers in names
counted as numbers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from counterflow.exchange.tensors import Tensors

Shapes = dict[str, tuple[int, ...]]
"""Shapes by the names of tensors, or by leaves in a module."""


class Matched(NamedTuple):
    """The name in the file of each tensor of the network; ``absent``: biases that it lacks.

    ``renamed``: units that have another name there.
    """

    names: dict[str, str]
    absent: tuple[str, ...]
    renamed: dict[str, str]


def match(tensors: Tensors, found: Shapes, where: str, network: str) -> Matched:
    """`found` brought together with what `network` needs.

    Raises ValueError, one sentence that begins with `where`, for a name or shape that does not
    match.
    """
    wanted = {name: one.shape for name, one in tensors.by_name.items()}
    known = set(wanted) | set(tensors.ones)
    modules, renamed = _modules(found), {}
    if not set(_modules(wanted)) <= set(modules):
        renamed = _by_shape(tensors, found, where, network)
    named = {name: _renamed(name, renamed) for name in known}
    absent = tuple(
        name
        for name in wanted
        if name.endswith(".bias") and named[name] not in found and _split(named[name])[0] in modules
    )
    for name, shape in wanted.items():
        theirs = named[name]
        if name in absent:
            continue
        if theirs not in found:
            raise ValueError(
                f"{where} has no {theirs} {list(shape)}, which {network} needs; it has "
                f"{_listed(found)}"
            )
        if found[theirs] != shape:
            raise ValueError(
                f"{where}: {theirs} has the shape {list(found[theirs])}, but that of {network} "
                f"has {list(shape)}"
            )
    extra = sorted(set(found) - set(named.values()))
    if extra:
        raise ValueError(
            f"{where} has {extra[0]} {list(found[extra[0]])}, for which {network} has no place; "
            f"it needs {_listed(wanted)}"
        )
    return Matched({name: named[name] for name in wanted if name not in absent}, absent, renamed)


def _renamed(name: str, renamed: Mapping[str, str]) -> str:
    module, leaf = _split(name)
    theirs = renamed.get(module, module)
    return f"{theirs}.{leaf}" if theirs else leaf


def _by_shape(tensors: Tensors, found: Shapes, where: str, network: str) -> dict[str, str]:
    """The module of the file for each unit."""
    theirs: dict[tuple[int, ...], list[str]] = defaultdict(list)
    modules = _modules(found)
    for name in sorted(modules, key=_natural):
        theirs[_signature(modules[name])].append(name)
    units = _modules({name: one.shape for name, one in tensors.by_name.items()})
    result = {}
    for unit, leaves in units.items():
        alike = theirs[_signature(leaves)]
        if not alike:
            first = next(one for one in tensors.all if one.module == unit)
            raise ValueError(
                f"{where} has no tensor {first.name}, nor another of its shape "
                f"{list(first.shape)} that is left, which {network} needs; it has {_listed(found)}"
            )
        result[unit] = alike.pop(0)
    return result


def _modules(shapes: Shapes) -> dict[str, Shapes]:
    """Shapes by module and leaf, in the order in which they come."""
    result: dict[str, Shapes] = defaultdict(dict)
    for name, shape in shapes.items():
        module, leaf = _split(name)
        result[module][leaf] = shape
    return dict(result)


def _split(name: str) -> tuple[str, str]:
    module, _, leaf = name.rpartition(".")
    return module, leaf


def _signature(leaves: Shapes) -> tuple[int, ...]:
    """What tells modules apart: the shape of the weight, or of a norm's statistics or bias."""
    for leaf in ("running_mean", "weight", "bias"):
        if leaf in leaves:
            return leaves[leaf]
    return (-1,)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``layer.10`` behind ``layer.9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _listed(shapes: Shapes, most: int = 8) -> str:
    names = [f"{name} {list(shape)}" for name, shape in list(shapes.items())[:most]]
    more = len(shapes) - most
    return (", ".join(names) or "no tensor") + (f" and {more} more" if more > 0 else "")
