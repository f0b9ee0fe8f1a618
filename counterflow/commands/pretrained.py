"""Weights that a training begins with, perhaps tried before it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from counterflow.commands.measures import measures_json, said_of

if TYPE_CHECKING:
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description
    from counterflow.exchange.weights import Loaded
    from counterflow.golden.units.state import State


class Begun(NamedTuple):
    """What a training begins with: states, what is said of them, and the same for scripts."""

    states: list[State]
    lines: list[str]
    facts: dict[str, object]


def read(description: Description, weights: Path, seed: int | None) -> Loaded:
    """The weights in a file."""
    from counterflow.design.schedule.planner import plan

    schedule = plan(description).schedule  # before what takes long to import
    from counterflow.exchange.weights import load

    chosen = description.recipe.seed if seed is None else seed
    return load(weights, description, schedule, chosen)


def tried(description: Description, dataset: Dataset, weights: Path, seed: int | None) -> Begun:
    """The weights in a file, tried on the test samples."""
    found = read(description, weights, seed)
    from counterflow.design.schedule.planner import plan
    from counterflow.golden.training.epochs import test

    schedule = plan(description).schedule
    before = test(description, schedule, dataset, found.states)
    lines = [f"{one}." for one in found.sentences()]
    if before is None:
        return Begun(found.states, lines, {**found.facts(), "loss": None, "accuracy": None})
    lines.append(f"Before training: {said_of(before)}.")
    about = {"loss": before.test_loss, **measures_json(before)}
    return Begun(found.states, lines, found.facts() | about)
