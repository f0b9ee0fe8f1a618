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
MORE = 12  # fraction bits that a weight and velocity may need beyond what was proposed


@dataclass(frozen=True)
class Proposal:
    """`description` with the formats of ``choices``, each as it is there, and ``why`` some are not.

    ``left``: choices that could not be taken, and why not.
    """

    description: Description
    choices: tuple[Choice, ...]
    left: tuple[tuple[Choice, str], ...] = ()


def applied(description: Description, choices: Sequence[Choice]) -> Proposal:
    """As many of `choices` as the description takes; where all do, all.

    What is refused together is tried one after the other, the formats of values first; weights with
    velocities get more fraction bits where an update would else drop too many.
    """
    wanted = [one for one in choices if _place(_fields(description), one) is not None]
    nowhere = [
        (one, "its layer is made by the network, which has no formats of its own")
        for one in choices
        if one not in wanted
    ]
    groups = _groups(wanted)
    whole = _with(description, wanted)
    if isinstance(whole, Description):
        return Proposal(whole, tuple(wanted), tuple(nowhere))
    taken: list[Choice] = []
    left, now = list(nowhere), description
    for group in groups:
        found = _first_that_works(now, group)
        if isinstance(found, str):
            left += [(one, found) for one in group]
        else:
            now, group = found
            taken += group
    return Proposal(now, tuple(taken), tuple(left))


def _groups(choices: Sequence[Choice]) -> list[list[Choice]]:
    """What can be taken alone: each value's format, then each weight's with its velocity."""
    alone = [[one] for one in choices if one.home.role not in ("weight", "velocity")]
    layers = dict.fromkeys(one.home.where for one in choices)
    pairs = [
        [one for one in choices if one.home.where == where and one.home.role in PAIR]
        for where in layers
    ]
    return [*alone, *(pair for pair in pairs if pair)]


PAIR = ("weight", "velocity")


def _first_that_works(
    now: Description, group: list[Choice]
) -> tuple[Description, list[Choice]] | str:
    """`now` with the group, perhaps with more fraction bits, or why that is refused."""
    refusal = ""
    pair = group[0].home.role in PAIR
    for more in range(MORE + 1 if pair else 1):
        frac = group[0].format.frac + more
        why = f" The update needs {more} more." if more else ""
        tried = [shared_fraction(one, frac, why) for one in group] if more else group
        found = _with(now, tried)
        if isinstance(found, Description):
            return found, tried
        refusal = refusal or found
    return refusal


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
