"""All that the page of results is made of, as read from the JSON files, and the plots of it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path

from counterflow.results import accuracy, plots, records
from counterflow.results.accuracy import Summary, summary
from counterflow.results.records import Record
from counterflow.results.settings import DATASETS, NETWORKS, SETTINGS, WAYS, Setting, described


@dataclass
class Design:
    """A network of the page with one synthesis of it, or none: a column of the hardware's table."""

    network: str
    plan: Record | None = None
    simulation: Record | None = None
    synthesis: Record | None = None
    speed: Record | None = None

    @property
    def title(self) -> str:
        name = NETWORKS[self.network]
        return name if self.synthesis is None else f"{name}, {self.synthesis.result['target']}"

    @property
    def planned(self) -> Record | None:
        """What was planned for that synthesis."""
        return self.synthesis or self.plan

    @property
    def rate(self) -> float | None:
        """Training samples a second at the clock frequency reached."""
        fmax = None if self.synthesis is None else self.synthesis.result["fmax"]
        if fmax is None or self.synthesis is None:
            return None
        return float(fmax) * 1e6 / self.synthesis.interval

    @property
    def software(self) -> float | None:
        """Samples a second of PyTorch's fastest step."""
        if self.speed is None:
            return None
        return float(statistics.median(self.speed.result["torch"][self.speed.result["fastest"]]))


@dataclass
class Results:
    """All that the JSON files in `folder` hold."""

    folder: Path
    records: list[Record]
    summaries: dict[tuple[str, str], Summary] = field(default_factory=dict)

    def of(self, kind: str, network: str) -> list[Record]:
        """Records of one kind and network."""
        return [one for one in self.records if (one.kind, one.network) == (kind, network)]

    def designs(self) -> list[Design]:
        """The columns of the hardware's table."""
        found = []
        for network in NETWORKS:
            plan, speed = (next(iter(self.of(one, network)), None) for one in ("plan", "speed"))
            syntheses: list[Record | None] = [*self.of("synth", network)]
            for synthesis in syntheses or [None]:
                design = Design(network, plan, None, synthesis, speed)
                same = [one for one in self.of("simulate", network) if _alike(one, design.planned)]
                design.simulation = next(iter(same), None)
                found.append(design)
        return found


def _alike(one: Record, other: Record | None) -> bool:
    """Whether both are of the same design."""
    return other is not None and described(one.description) == described(other.description)


def read(folder: Path) -> Results:
    """The JSON files in `folder`; ValueError if one cannot be understood."""
    results = Results(folder, records.read(folder))
    for setting in SETTINGS:
        runs = accuracy.read(folder, setting)
        for way in WAYS:
            found = summary(runs, setting, way)
            if found is not None:
                results.summaries[setting.name, way.name] = found
    return results


def write_plots(results: Results) -> dict[str, Path]:
    """Draw what there is; the files by the names that `page` asks for."""
    folder, drawn = results.folder, {}
    for setting in SETTINGS:
        name = f"curves-{setting.name}"
        pairs = ((way, results.summaries.get((setting.name, way.name))) for way in WAYS)
        found = [(way.name, way.title, one) for way, one in pairs if one is not None]
        if found:
            drawn[name] = plots.curves(folder / f"{name}.png", title_of(setting), found)
    for one in results.records:
        name = one.file.removesuffix(".json")
        if one.network not in NETWORKS:
            continue
        if one.kind == "plan":
            title = f"{NETWORKS[one.network]}: delay and stash by stage"
            drawn[name] = plots.stages(folder / f"{name}.png", title, one)
        elif one.kind == "synth":
            title = f"{NETWORKS[one.network]} on {one.result['target']} ({one.result['part']})"
            drawn[name] = plots.resources(folder / f"{name}.png", title, one)
    return drawn


def title_of(setting: Setting) -> str:
    """The network and what it is trained on."""
    return f"{NETWORKS[setting.network]} on {DATASETS[setting.dataset]}"
