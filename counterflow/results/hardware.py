"""The page's section of the hardware: what it takes, and how fast it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from counterflow.design.fpga.targets import RESOURCE_NAMES
from counterflow.results.gathered import Design, Results
from counterflow.results.markdown import MISSING, cell, grid, mark, number, share
from counterflow.results.records import Record
from counterflow.results.settings import NETWORKS


def hardware(results: Results, pictures: Mapping[str, str]) -> Iterator[str]:
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
