"""The page of results: Markdown with tables and plots, all of it from the JSON beside it.

What was not measured is said to be so; what was measured of an earlier description is marked.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

from counterflow.design.data.sets import SOURCES
from counterflow.design.network.files import load
from counterflow.results.accuracy import Summary
from counterflow.results.gathered import Results, title_of
from counterflow.results.hardware import hardware
from counterflow.results.markdown import MISSING, OLD, grid, mark
from counterflow.results.settings import NETWORKS, SETTINGS, WAYS, Setting, Way

BUSY = 1.5  # mean number of running programs above which a speed was not measured at rest

HEAD = f"""# Results

`make results` writes this page from the JSON files in [results](results), each of which says the
command, the versions, the seed and the description that it came from; do not edit it by hand.
`{MISSING}` marks what no such file has; {OLD.strip()} what was measured before the network's
description, or the delays of its stages, were changed."""


def page(results: Results, drawn: Mapping[str, Path]) -> str:
    """The whole page; pictures are named relative to the folder above that of the JSON."""
    place = results.folder.name
    pictures = {name: f"![{name}]({place}/{path.name})" for name, path in drawn.items()}
    parts = [
        HEAD,
        *accuracies(results, pictures),
        *hardware(results, pictures),
        *software(results),
        *sources(results),
    ]
    return "\n\n".join(parts) + "\n"


def accuracies(results: Results, pictures: Mapping[str, str]) -> Iterator[str]:
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
