"""The states that a training begins with, from a file of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from counterflow.design.network.description import Description
from counterflow.design.schedule.schedule import Schedule
from counterflow.exchange.files import Stored, read
from counterflow.exchange.match import Matched, match
from counterflow.exchange.tensors import Tensor, Tensors
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.state import State


@dataclass(frozen=True)
class Loaded:
    """States with the weights of a file, and what was done to these.

    ``saturated``: values beyond their format by tensor, of them `values` in all; ``largest``: the
    largest magnitude of each of these tensors.
    """

    states: list[State]
    file: str
    sha256: str
    values: int
    saturated: dict[str, int]
    largest: dict[str, float]
    matched: Matched
    formats: dict[str, str]

    def facts(self) -> dict[str, object]:
        """What a result says of it."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "values": self.values,
            "saturated": self.saturated,
            "renamed": self.matched.renamed,
            "zeros": list(self.matched.absent),
        }

    def sentences(self) -> list[str]:
        """The same for people, beginning with the file."""
        found = [f"{self.file}: {self.values:,} weights rounded to their formats"]
        for name, count in self.saturated.items():
            found.append(
                f"{name}: {count:,} saturated; the largest is {self.largest[name]:.4g}, and its "
                f"format is {self.formats[name]}"
            )
        if self.matched.renamed:
            pairs = [f"{theirs} is {ours}" for ours, theirs in self.matched.renamed.items()]
            found.append(f"matched by shape: {', '.join(pairs)}")
        if self.matched.absent:
            found.append(f"not in the file, and zero: {', '.join(self.matched.absent)}")
        return found


def load(path: Path, description: Description, schedule: Schedule, seed: int) -> Loaded:
    """Initial states with the weights of the file `path`; all that is not there is as without it.

    Values are rounded to the nearest number of their format; velocities are zero.  Raises
    ValueError, one sentence, for what cannot be read and for names and shapes that do not match.
    """
    stored, tensors = read(path), Tensors(schedule)
    shapes = {name: values.shape for name, values in stored.tensors.items()}
    matched = match(tensors, shapes, str(path), description.name)
    _check_ones(stored, tensors, matched)
    states = initial_states(description, schedule, seed)
    saturated = {}
    for one in tensors.all:
        theirs = matched.names.get(one.name)
        if theirs is not None:
            clipped = _put(states, one, stored.tensors[theirs])
            if clipped:
                saturated[one.name] = clipped
    names = {name: matched.names[name] for name in saturated}
    return Loaded(
        states,
        path.name,
        stored.sha256,
        sum(stored.tensors[name].size for name in matched.names.values()),
        saturated,
        {name: float(np.abs(stored.tensors[theirs]).max()) for name, theirs in names.items()},
        matched,
        {name: str(tensors.by_name[name].number) for name in names},
    )


def _put(states: Sequence[State], tensor: Tensor, values: Any) -> int:
    """Round `values` into a state; how many were clipped."""
    own, clipped = tensor.rounded(values)
    there = getattr(states[tensor.index], tensor.parameter)
    setattr(states[tensor.index], tensor.parameter, own.reshape(there.shape))
    return clipped


def _check_ones(stored: Stored, tensors: Tensors, matched: Matched) -> None:
    """A norm without a gamma can take none but ones."""
    for name in tensors.ones:
        module = name.removesuffix(".weight")
        theirs = f"{matched.renamed.get(module, module)}.weight"
        values = stored.tensors.get(theirs)
        if values is not None and (values != 1).any():
            other = values[values != 1][0]
            raise ValueError(
                f"{stored.path}: {theirs} has a {other:g}, but the norm {module} has no gamma; "
                "give its layer gamma = true"
            )
