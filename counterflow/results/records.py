"""The JSON of everything but accuracy: one measurement a file, with what it takes to make it again.

A simulation or synthesis leaves its JSON in a folder below ``build/results``, from where `collect`
takes it; a plan needs no such run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from counterflow.design.network.description import Description
from counterflow.design.network.files import load, load_file, to_toml
from counterflow.design.network.provenance import provenance, write_json
from counterflow.design.schedule.planner import plan
from counterflow.results.settings import described

MADE = Path("build/results")
"""Where folders of simulations and syntheses are looked for."""

COLLECTED = ("simulate", "synth")  # whose JSON bears their name
KINDS = ("plan", "speed", *COLLECTED)


@dataclass(frozen=True)
class Record:
    """One measurement, or plan, of a network.

    ``interval``, ``multipliers`` and ``utilisation`` are as planned for what was measured, whose
    ``description`` is TOML; ``result`` is what the command gave.
    """

    kind: str
    network: str
    provenance: Mapping[str, Any]
    description: str
    interval: int
    multipliers: int
    utilisation: float
    result: Mapping[str, Any]

    @cached_property
    def outdated(self) -> bool:
        """Whether the network has changed since, in more than how it is folded."""
        then = described(self.description)
        if then is None:
            return True
        return load(self.network).model_copy(update={"fold": then.fold}) != then

    @property
    def command(self) -> str:
        return str(self.provenance.get("command", ""))

    @property
    def file(self) -> str:
        """Name of the file that holds it."""
        target = self.result.get("target")
        return "-".join([self.kind, self.network, *([str(target)] if target else [])]) + ".json"


def record(
    kind: str, description: Description, about: Mapping[str, Any], result: Mapping[str, Any]
) -> Record:
    """`result` of `description` with the provenance `about`."""
    schedule = plan(description).schedule
    return Record(
        kind=kind,
        network=description.name,
        provenance=about,
        description=to_toml(description),
        interval=schedule.interval,
        multipliers=schedule.multipliers,
        utilisation=schedule.utilisation,
        result=result,
    )


def keep(folder: Path, one: Record) -> Path:
    """Write `one` into `folder`, in the place of an older one."""
    return write_json(folder / one.file, asdict(one))


def read(folder: Path) -> list[Record]:
    """All records in `folder`; ValueError if a file cannot be understood."""
    found = []
    for kind in KINDS:
        for path in sorted(folder.glob(f"{kind}-*.json")):
            try:
                found.append(Record(**json.loads(path.read_text(encoding="utf-8"))))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path}: is no JSON of a {kind} ({error}).") from error
    return found


def collect(made: Path, folder: Path, networks: Mapping[str, object]) -> list[Path]:
    """Keep what the folders in `made` hold of `networks`, and the plans of these."""
    found = [one for one in _finished(made) if one.network in networks]
    found += [planned(load(network)) for network in networks]
    return [keep(folder, one) for one in found]


def _finished(made: Path) -> Iterator[Record]:
    """Measurements of whole networks below `made`."""
    for kind in COLLECTED:
        for path in sorted(made.glob(f"*/{kind}.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            about = content.pop("provenance")
            del content["files"]
            if content.get("unit") is None:
                yield record(kind, load_file(path.with_suffix(".toml")), about, content)


def planned(description: Description) -> Record:
    """Delay and memory of every stage."""
    design = plan(description)
    units = [
        {
            "name": unit.name,
            "delay": unit.delay,
            "cycles": unit.cycles,
            "multipliers": unit.multipliers,
            "memory_bits": unit.memory_bits,
            "stash_bits": unit.stash,
        }
        for unit in design.units
    ]
    command = ["counterflow", "plan", description.name]
    about = provenance(description, seed=description.recipe.seed, command=command)
    return record("plan", description, about, {"units": units})
