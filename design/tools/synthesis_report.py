"""What a synthesis found: the values that the command line prints, keeps and compares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from counterflow.design.fpga.estimate import Estimate
from counterflow.design.fpga.targets import ALL_NAMES, Resources, Target, total
from counterflow.design.tools.placements import Placements
from counterflow.design.tools.routing import Routed

FILE = "synth.json"


@dataclass(frozen=True)
class SynthesisReport:
    """Outcome of a synthesis for `target`, with `placements` where it was placed and routed.

    ``seed``: the first that was tried.  ``taken`` and ``planned`` go by unit; what is in no unit is
    taken but not planned.  ``seconds`` go by stage.
    """

    network: str
    unit: str | None
    target: Target
    taken: Mapping[str, Resources]
    planned: Mapping[str, Estimate]
    seed: int
    frequency: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    placements: Placements | None = None

    @property
    def routed(self) -> Routed | None:
        """The placement that is kept: the fastest."""
        return None if self.placements is None else self.placements.routed[self.placements.best]

    @property
    def total(self) -> Resources:
        return total(self.taken.values())

    @property
    def short(self) -> Resources:
        """By how much the target is too small; zeros where the design fits."""
        pairs = zip(self.total, self.target.has, strict=True)
        return Resources(*(max(0, needed - there) for needed, there in pairs))

    def unfit(self) -> str | None:
        """One sentence of what is short, or None where nothing is."""
        missing = [
            f"{needed:,} {ALL_NAMES[name]} of {there:,} ({lack:,} too many)"
            for name, needed, there, lack in zip(
                Resources._fields, self.total, self.target.has, self.short, strict=True
            )
            if lack
        ]
        if not missing:
            return None
        what = self.network if self.unit is None else f"{self.unit} of {self.network}"
        return f"{what} does not fit {self.target.name}: it needs {' and '.join(missing)}"

    def surprises(self) -> list[str]:
        """Where the blocks made are not those planned: a fault of the plan or of synthesis.

        What the target has none of becomes logic, whatever was planned.
        """
        found = []
        for unit, planned in self.planned.items():
            for name in filter(partial(getattr, self.target.has), planned._fields):
                made, meant = getattr(self.taken[unit], name), getattr(planned, name)
                if made != meant:
                    found.append(f"{unit} takes {made} {ALL_NAMES[name]}, planned {meant}")
        return found

    def to_json(self) -> dict[str, Any]:
        """The keys that `counterflow synth --json` promises."""
        routed, placed = self.routed, self.placements
        return {
            "network": self.network,
            "unit": self.unit,
            "target": self.target.name,
            "part": self.target.part,
            "seed": self.seed if self.placements is None else self.placements.best,
            "frequency": self.frequency,
            "units": {name: taken.amounts for name, taken in self.taken.items()},
            "planned": {name: planned.amounts for name, planned in self.planned.items()},
            "total": self.total.amounts,
            "available": self.target.has.amounts,
            "short": self.short.amounts,
            "aimed": None if routed is None else routed.aimed,
            "fmax": None if routed is None else routed.fmax,
            "fmax_by_seed": _by_seed(placed.frequencies if placed else {}),
            "failed_seeds": _by_seed(placed.failed if placed else {}),
            "critical_paths": [] if routed is None else [p._asdict() for p in routed.paths],
            "arrivals": {} if routed is None else dict(routed.arrivals),
            "cells": {} if routed is None else dict(routed.cells),
            "seconds": dict(self.seconds),
        }

    def changes(self, folder: Path) -> list[str]:
        """What is more or less than in the last result in `folder`, if that is comparable."""
        try:
            old = json.loads((folder / FILE).read_text(encoding="utf-8"))
            same = all(old[key] == value for key, value in self._identity().items())
            before = Resources(**old["total"])
            speed = old["fmax"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        if not same:
            return []
        found = [
            f"{now - then:+,} {ALL_NAMES[name]}"
            for name, now, then in zip(Resources._fields, self.total, before, strict=True)
            if now != then
        ]
        if self.routed is not None and speed is not None and self.routed.fmax != speed:
            found.append(f"{self.routed.fmax - speed:+.2f} MHz")
        return found

    def _identity(self) -> dict[str, object]:
        return {"network": self.network, "unit": self.unit, "target": self.target.name}


def _by_seed(found: Mapping[int, Any]) -> dict[str, Any]:
    """As JSON has keys."""
    return {str(seed): value for seed, value in sorted(found.items())}
