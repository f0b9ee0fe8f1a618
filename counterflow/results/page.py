"""The page of results: Markdown with tables and plots, all of it from the JSON beside it.

What was not measured is said to be so; what was measured of an earlier description is marked.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from counterflow.results import accuracy, plots, records
from counterflow.results.accuracy import Summary, summary
from counterflow.results.records import Record
from counterflow.results.settings import DATASETS, NETWORKS, SETTINGS, WAYS, Setting

MISSING = "not measured"
OLD = " †"
BUSY = 1.5  # mean number of running programs above which a speed was not measured at rest


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
        speeds: list[float] = self.speed.result["torch"][self.speed.result["fastest"]]
        return statistics.median(speeds)


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
            routed: list[Record | None] = [*self.of("synth", network)]
            for synthesis in routed or [None]:
                design = Design(network, plan, None, synthesis, speed)
                fold = None if design.planned is None else design.planned.fold
                same = [one for one in self.of("simulate", network) if one.fold == fold]
                design.simulation = next(iter(same), None)
                found.append(design)
        return found


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


def page(results: Results, drawn: Mapping[str, Path]) -> str:
    """The whole page; pictures are named relative to the folder above that of the JSON."""
    from counterflow.results import sections

    place = results.folder.name
    pictures = {name: f"![{name}]({place}/{path.name})" for name, path in drawn.items()}
    parts = [
        sections.HEAD,
        *sections.accuracies(results, pictures),
        *sections.hardware(results, pictures),
        *sections.software(results),
        *sections.sources(results),
    ]
    return "\n\n".join(parts) + "\n"


def grid(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is the head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mark(one: Record | Summary | None, text: str) -> str:
    """`text` with the mark of what is outdated."""
    return text + OLD if one is not None and one.outdated else text


def cell(one: Record | None, value: Callable[[Record], str | None]) -> str:
    """A value of `one` as text; MISSING where there is none."""
    text = None if one is None else value(one)
    return MISSING if text is None else mark(one, text)


def share(value: float | None, places: int = 2) -> str | None:
    """0.98765 as "98.77 %"."""
    return None if value is None else f"{100 * value:.{places}f} %"
