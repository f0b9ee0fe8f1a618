"""Cases that are left to the slow suite: builds, and most of all combinations."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest


def builds(names: Iterable[str], *more: Iterable[Any]) -> list[Any]:
    """Slow cases of networks, each with its own of `more`; what shares a build is one group."""
    return [
        pytest.param(name, *own, marks=[pytest.mark.xdist_group(name), pytest.mark.slow])
        for name, *own in zip(names, *more, strict=True)
    ]


def combined(*axes: Iterable[Any], every: int) -> list[Any]:
    """All combinations, of which one in `every` is not slow; each value is in one of those.

    ValueError where a value would be in slow ones alone.
    """
    values = [list(axis) for axis in axes]
    chosen: list[tuple[int, ...]] = []
    found = []
    for places in itertools.product(*(range(len(axis)) for axis in values)):
        taken = sum(places) % every == 0
        chosen += [places] * taken
        case = [axis[place] for axis, place in zip(values, places, strict=True)]
        found.append(pytest.param(*case, marks=[pytest.mark.slow] * (not taken)))
    for axis, seen in zip(values, zip(*chosen, strict=True), strict=True):
        if set(seen) != set(range(len(axis))):
            raise ValueError(f"with one case in {every}, values of {axis} are in none")
    return found
