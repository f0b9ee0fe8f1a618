"""A description with the formats that are proposed for it, as far as they can work together."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from counterflow.design.choice.homes import NETWORK
from counterflow.design.choice.propose import Choice, shared_fraction
from counterflow.design.network.description import Description
from counterflow.design.network.files import parse, to_toml
from counterflow.design.schedule.planner import plan

STEP = re.compile(r"\.?(\w+)|\[(\d+)\]")
PAIR = ("weight", "velocity")
MORE = 12  # fraction bits that a weight and velocity may need beyond what was proposed


@dataclass(frozen=True)
class Proposal:
    """`description` with the formats of ``choices``; ``left``: others, and why they are refused."""

    description: Description
    choices: tuple[Choice, ...]
    left: tuple[tuple[Choice, str], ...] = ()


def applied(description: Description, choices: Sequence[Choice]) -> Proposal:
    """As many of `choices` as the description takes; where all do, all.

    Weights and velocities get more fraction bits where an update would else drop too many.  What is
    refused even so is found by halves, the formats of values first.
    """
    fields = _fields(description)
    wanted = [one for one in choices if _place(fields, one) is not None]
    nowhere = [
        (one, "its layer is made by the network, which has no formats of its own")
        for one in choices
        if one not in wanted
    ]
    values = [[one] for one in wanted if one.home.role not in PAIR]
    pairs = _pairs(wanted)
    groups = _enough(description, values, pairs)
    if groups is not None:
        taken = [one for group in groups for one in group]
        made = _with(description, taken)
        assert isinstance(made, Description)
        return Proposal(made, tuple(taken), tuple(nowhere))
    taking = _Taking(description)
    taking.take([*values, *pairs])
    return Proposal(taking.now, tuple(taking.taken), (*nowhere, *taking.left))


Group = list[Choice]
"""What can be taken alone: the format of a value, or of a weight and of its velocity."""


def _pairs(choices: Sequence[Choice]) -> list[Group]:
    places = dict.fromkeys(one.home.where for one in choices if one.home.role in PAIR)
    return [
        [one for one in choices if one.home.where == where and one.home.role in PAIR]
        for where in places
    ]


def _finer(pair: Group, more: int) -> Group:
    """A weight and its velocity with so many fraction bits more."""
    if not more:
        return pair
    why = f" It takes {more} more, so that the update drops no more bits than it can."
    return [shared_fraction(one, one.format.frac + more, why) for one in pair]


def _enough(
    description: Description, values: list[Group], pairs: list[Group]
) -> list[Group] | None:
    """All groups, each pair with as few more fraction bits as make all work; None if none do."""

    def tried(mores: Sequence[int]) -> list[Group] | None:
        groups = [*values, *(_finer(*one) for one in zip(pairs, mores, strict=True))]
        made = _with(description, [one for group in groups for one in group])
        return groups if isinstance(made, Description) else None

    same = ([more] * len(pairs) for more in range(MORE + 1 if pairs else 1))
    mores = next((one for one in same if tried(one)), None)
    if mores is None:
        return None
    for at, most in enumerate(mores):
        fewer = ([*mores[:at], less, *mores[at + 1 :]] for less in range(most))
        mores = next((one for one in fewer if tried(one)), mores)
    return tried(mores)


class _Taking:
    """A description `now` that takes what it can: ``taken``, and ``left`` with the reasons."""

    def __init__(self, description: Description) -> None:
        self.now = description
        self.taken: list[Choice] = []
        self.left: list[tuple[Choice, str]] = []

    def take(self, groups: list[Group]) -> None:
        """Take all groups, or else each half of them; of one that is refused, say why."""
        if len(groups) == 1 and groups[0][0].home.role in PAIR:
            groups = _enough(self.now, [], groups) or groups
        every = [one for group in groups for one in group]
        found = _with(self.now, every)
        if isinstance(found, Description):
            self.now = found
            self.taken += every
        elif len(groups) == 1:
            self.left += [(one, found) for one in every]
        else:
            self.take(groups[: len(groups) // 2])
            self.take(groups[len(groups) // 2 :])


def _fields(description: Description) -> dict[str, Any]:
    return tomllib.loads(to_toml(description))


def _with(description: Description, choices: Sequence[Choice]) -> Description | str:
    """The description with these formats, or in which sentence it is refused."""
    import tomli_w

    fields = _fields(description)
    for one in choices:
        place = _place(fields, one)
        if one.changes and place is not None:
            place[one.home.role] = str(one.format)
    try:
        made = parse(tomli_w.dumps(fields), description.name)
        plan(made)
    except ValueError as error:
        return str(error)
    return made


def _place(fields: dict[str, Any], choice: Choice) -> dict[str, Any] | None:
    """The table of formats in which the choice stands; None where there is none."""
    if choice.home.where == NETWORK:
        found: dict[str, Any] = fields["formats"]
        return found
    here: Any = fields
    for name, index in STEP.findall(choice.home.where):
        try:
            here = here[int(index)] if index else here[name]
        except (KeyError, IndexError, TypeError):
            return None
    if not isinstance(here, dict):
        return None
    table: dict[str, Any] = here.setdefault("formats", {})
    return table
