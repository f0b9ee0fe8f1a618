"""The sections of the page of results."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Iterator, Mapping

from counterflow.data import SOURCES
from counterflow.files import load
from counterflow.results.accuracy import Summary
from counterflow.results.page import (
    BUSY,
    MISSING,
    OLD,
    Design,
    Results,
    cell,
    grid,
    mark,
    share,
    title_of,
)
from counterflow.results.records import Record
from counterflow.results.settings import NETWORKS, SETTINGS, WAYS, Setting, Way
from counterflow.targets import RESOURCE_NAMES

HEAD = f"""# Results

`make results` writes this page from the JSON files in [results](results), each of which says the
command, the versions, the seed and the description that it came from; do not edit it by hand.
`{MISSING}` marks what no such file has; {OLD.strip()} what was measured before the network's
description was changed."""

Pictures = Mapping[str, str]


def accuracies(results: Results, pictures: Pictures) -> Iterator[str]:
    """What training reaches, in each way."""
    yield "## Accuracy"
    yield (
        "Test accuracy after the last epoch in percent: mean ± standard deviation (number of "
        "seeds). A seed decides on initial weights, order of samples and random bits. Batch size "
        "one throughout. Integers are those of the hardware, bit for bit; `lwpv` predicts weights, "
        "`sc` compensates updates; bold is what the network's description asks for."
    )
    rows = [["", *(title_of(setting) for setting in SETTINGS)]]
    for way in WAYS:
        cells = [_accuracy(results, setting, way) for setting in SETTINGS]
        rows.append([way.title, *cells])
    rows.append(["training samples x epochs", *(_size(one) for one in SETTINGS)])
    rows.append(["test samples", *(f"{SOURCES[one.dataset].test:,}" for one in SETTINGS)])
    yield grid(rows)
    yield from (pictures[f"curves-{s.name}"] for s in SETTINGS if f"curves-{s.name}" in pictures)


def _accuracy(results: Results, setting: Setting, way: Way) -> str:
    found = results.summaries.get((setting.name, way.name))
    if found is None:
        return MISSING
    text = accuracy_text(found)
    recipe = load(setting.network).recipe
    own = way.model == "integer" and (way.scheme, way.mitigation) == (
        recipe.scheme,
        recipe.mitigation,
    )
    return mark(found, f"**{text}**" if own else text)


def accuracy_text(found: Summary) -> str:
    """Mean, standard deviation and seeds."""
    spread = "" if found.sd is None else f" ± {100 * found.sd:.2f}"
    return f"{100 * found.mean:.2f}{spread} ({len(found.runs)})"


def _size(setting: Setting) -> str:
    return f"{SOURCES[setting.dataset].train:,} x {setting.epochs}"


def hardware(results: Results, pictures: Pictures) -> Iterator[str]:
    """What the hardware takes, and how fast it trains."""
    yield "## Hardware"
    yield (
        "Utilisation: useful products over multipliers x cycles in the steady state, planned and "
        "from the counters of the simulated hardware. The hardware takes one training sample each "
        "interval; PyTorch's step is the fastest of its ways at batch size one, on one core."
    )
    designs = results.designs()
    yield grid([["", *(one.title for one in designs)], *_design_rows(designs)])
    for kind, heading in (
        ("plan", "### Delay and stash by stage"),
        ("synth", "### Resources by unit"),
    ):
        yield heading
        found = [one for network in NETWORKS for one in results.of(kind, network)]
        if not found:
            yield f"{MISSING.capitalize()}."
        for one in found:
            name = one.file.removesuffix(".json")
            if name in pictures:
                yield pictures[name]
            if kind == "synth":
                yield grid(_units(one))


def _design_rows(designs: list[Design]) -> Iterator[list[str]]:
    def row(name: str, cells: Iterator[str]) -> list[str]:
        return [name, *cells]

    def planned(text: str, name: str) -> list[str]:
        return row(text, (cell(one.planned, lambda r: f"{getattr(r, name):,}") for one in designs))

    yield planned("multipliers", "multipliers")
    yield planned("cycles a training sample, planned", "interval")
    yield row(
        "the same, measured",
        (cell(one.simulation, lambda r: number(r.result.get("interval"))) for one in designs),
    )
    yield row(
        "utilisation, planned",
        (cell(one.planned, lambda r: share(r.utilisation)) for one in designs),
    )
    yield row(
        "the same, measured",
        (
            cell(one.simulation, lambda r: share(r.result["utilisation"]["measured"]))
            for one in designs
        ),
    )
    yield row(
        "values compared with the golden model, different",
        (cell(one.simulation, _compared) for one in designs),
    )
    for name, title in RESOURCE_NAMES.items():
        if name != "multipliers":
            yield row(title, (cell(one.synthesis, _total(name)) for one in designs))
    yield row("Fmax after routing", (cell(one.synthesis, _fmax) for one in designs))
    yield row("training samples a second at Fmax", (_rate(one) for one in designs))
    yield row("PyTorch's, one core of the CPU", (_software(one) for one in designs))
    yield row("hardware over PyTorch", (_ratio(one) for one in designs))


def number(value: float | None) -> str | None:
    """With commas between thousands."""
    return None if value is None else f"{value:,.0f}"


def _compared(one: Record) -> str:
    return f"{one.result['compared']:,}, {one.result['mismatches']:,}"


def _total(name: str) -> Callable[[Record], str]:
    def text(one: Record) -> str:
        taken, there = one.result["total"][name], one.result["available"][name]
        return f"{taken:,} of {there:,} ({100 * taken / there:.0f} %)" if there else f"{taken:,}"

    return text


def _fmax(one: Record) -> str:
    fmax = one.result["fmax"]
    if fmax is not None:
        return f"{fmax:.1f} MHz"
    short = [
        f"{lack:,} {RESOURCE_NAMES[name]}" for name, lack in one.result["short"].items() if lack
    ]
    return f"does not fit: {' and '.join(short)} too many" if short else "not routed"


def _rate(one: Design) -> str:
    return MISSING if one.rate is None else mark(one.synthesis, f"{one.rate:,.0f}")


def _software(one: Design) -> str:
    return MISSING if one.software is None else mark(one.speed, f"{one.software:,.0f}")


def _ratio(one: Design) -> str:
    if one.rate is None or one.software is None:
        return MISSING
    outdated = next((r for r in (one.synthesis, one.speed) if r is not None and r.outdated), None)
    return mark(outdated, f"{one.rate / one.software:.1f}")


def _units(one: Record) -> list[list[str]]:
    """Resources of each unit, and of all, beside what the device has."""
    title = mark(one, f"{NETWORKS[one.network]}, {one.result['target']}")
    rows = [[title, *RESOURCE_NAMES.values()]]
    parts = {**one.result["units"], "all": one.result["total"], "device": one.result["available"]}
    for name, taken in parts.items():
        rows.append([name, *(f"{taken[field]:,}" for field in RESOURCE_NAMES)])
    return rows


def software(results: Results) -> Iterator[str]:
    """How fast the golden model and PyTorch train."""
    yield "## Software"
    yield (
        "Training samples a second at batch size one, one thread each: median (least to most) of "
        "interleaved rounds, in processor time."
    )
    found = [one for network in NETWORKS for one in results.of("speed", network)]
    if not found:
        yield f"{MISSING.capitalize()}."
    for one in found:
        ways = {"golden model": one.result["golden"], **one.result["torch"]}
        rows = [[mark(one, NETWORKS[one.network]), "samples a second"]]
        for name, speeds in ways.items():
            middle = statistics.median(speeds)
            rows.append([name, f"{middle:,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})"])
        yield grid(rows)
        busy = one.result["load"] > BUSY
        yield (
            f"The golden model trains {one.result['ratio']:.1f} times as fast as "
            f"{one.result['fastest']}. {len(one.result['golden'])} rounds; "
            f"{one.result['versions']}"
            + (f"; other programs ran (load {one.result['load']})." if busy else "; at rest.")
        )


def sources(results: Results) -> Iterator[str]:
    """The command behind each figure."""
    yield "## Commands"
    yield (
        "All accuracies: `make experiments`, which goes on where it was stopped; a single one, "
        "whose seeds count from 1:"
    )
    lines = []
    for setting in SETTINGS:
        for way in WAYS:
            lines.append(shlex.join(setting.command(way, 1)))
    yield "```sh\n" + "\n".join(lines) + "\n```"
    yield (
        "In float64 the page's trainings leave out the bubbles of a sequential one, in which "
        "nothing is learnt; that changes no more than the last places of sums."
    )
    yield "All else, after which `make results` collects it:"
    rows = [["file", "command", "description"]]
    for network in NETWORKS:
        for kind in ("plan", "simulate", "synth", "speed"):
            for one in results.of(kind, network):
                hashed = f"{one.provenance.get('description_hash')}"
                rows.append([one.file, f"`{one.command}`", mark(one, hashed)])
    yield grid(rows)
