"""`counterflow synth`: what a network's hardware takes of an FPGA, and how fast it runs there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import numerals, options, outcome, places
from counterflow.commands.display import Display, percent, table
from counterflow.commands.fit import folded, refuse_unfit
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from rich.table import Table

    from counterflow.design.fpga.targets import Target
    from counterflow.design.schedule.planner import Plan
    from counterflow.design.tools.synthesis_report import SynthesisReport

ARRIVALS = 8  # registers that are shown


@click.command()
@options.network
@click.option("--target", "target_name", default="ecp5-85f", show_default=True, help="The FPGA.")
@click.option(
    "--fit", "to_fit", is_flag=True, help="Fold NET for the target, as plan --target does."
)
@click.option("--unit", help="Only this unit: intake, dense0, ..., loss.")
@click.option("--no-route", is_flag=True, help="Count cells, but do not place and route.")
@click.option(
    "--freq",
    type=numerals.MEGAHERTZ,
    help="MHz to aim at when placing and routing, lower where that is out of reach "
    "[default: the target's].",
)
@options.placement_seed
@options.placement_seeds
@options.fold
@options.output(folder="Folder for synth.json and the logs [default: build/NET].")
def synth(
    net: str,
    target_name: str,
    to_fit: bool,
    unit: str | None,
    no_route: bool,
    freq: float | None,
    seed: int,
    seeds: int,
    limits: options.Limits,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Synthesise NET for an FPGA, place and route it.

    Counts what each unit takes beside what was planned, and says the clock frequency after routing
    with the paths that limit it.  All ports are folded onto four pins, so that neither the number
    of pins nor their delay limits the result.

    The exit status is 1 where blocks differ from the plan, 2 where the design does not fit; with
    --no-route its cells are counted before that is said.

    \b
    Examples:
        counterflow synth digits --no-route
        counterflow synth tiny --target up5k
        counterflow synth digits --unit dense1 --freq 120
        counterflow synth lenet5 --fit
        counterflow synth tiny --seeds 5
    """
    from counterflow.design.fpga.needs import settled
    from counterflow.design.fpga.targets import target as named
    from counterflow.design.network.files import load, move
    from counterflow.design.tools import programs

    display = Display(as_json=as_json, quiet=quiet)
    target = named(target_name)
    fold_for = target_name if to_fit else None
    design, _ = folded(load(net), limits, fold_for)
    design = settled(design, target)
    asked = {"freq": freq is not None, **{name: options.given(name) for name in ("seed", "seeds")}}
    for name, given in asked.items():
        if no_route and given:
            raise click.UsageError(f"--{name} is for placing and routing; leave out --no-route.")
    routing = target.router is not None and not no_route
    if routing and unit is None:
        refuse_unfit(design, target)
    wanted = [programs.ROUTERS[target.router]] if routing and target.router else []
    programs.require_packages(programs.YOSYS, *wanted)
    folder = out or places.default(default_folder(design.description.name))
    with outcome.into(folder, "synth") as made:
        work = made.work()
        report = _run(
            display,
            design,
            target,
            unit,
            work,
            route=routing,
            freq=freq,
            seeds=range(seed, seed + seeds),
        )
        changes = report.changes(folder)
        for log in work.glob("*.log"):
            move(log, made.path(f"-{log.name}"))
        kept = made.keep(report.to_json(), design.description, seed=seed)
    display.show(report_table(report))
    for line in findings(report):
        display.show(line)
    if changes:
        display.show(f"Since last time: {', '.join(changes)}.")
    display.files(kept.files)
    display.result(kept.result)
    _judge(report, design)


def _run(
    display: Display,
    design: Plan,
    target: Target,
    unit: str | None,
    scratch: Path,
    *,
    route: bool,
    freq: float | None,
    seeds: Sequence[int],
) -> SynthesisReport:
    """Elaborate, synthesise, pack, place, route, with the time of each stage."""
    from dataclasses import replace

    from counterflow.design.fpga.estimate import estimate
    from counterflow.design.tools import placements, synthesis
    from counterflow.design.tools.synthesis_report import SynthesisReport
    from counterflow.hw.tops.pins import TOP, pinned_verilog

    seconds: dict[str, float] = {}
    frequency = freq or target.frequency
    with display.stages() as stage:
        begun = time.monotonic()

        def enter(name: str, detail: str = "") -> None:
            """Show a stage, and count the time since the last look for it."""
            nonlocal begun
            now = time.monotonic()
            seconds[name] = seconds.get(name, 0.0) + now - begun
            begun = now
            stage(name, detail)

        stage("elaborate", "")
        text, units = pinned_verilog(design, unit)
        enter("elaborate")
        stage("synthesise", "")
        taken = synthesis.synthesise(
            text,
            TOP,
            units,
            target,
            scratch,
            lambda line: enter("synthesise", synthesis.stages(line) or ""),
        )
        enter("synthesise")
        everything = estimate(design, target.family)
        report = SynthesisReport(
            network=design.description.name,
            unit=unit,
            target=target,
            taken=taken,
            planned={name: everything[name] for name in units.values() if name in everything},
            seed=seeds[0],
            frequency=frequency,
            seconds=seconds,
        )
        if not route or report.unfit():
            return report
        on_line = placements.followed(seeds, enter)
        placed = placements.place(target, scratch, seeds, on_line, frequency=frequency)
    return replace(report, placements=placed)


def report_table(report: SynthesisReport) -> Table:
    """What each unit takes, with what was planned behind it, and what the target has."""
    from counterflow.design.fpga.targets import names_on

    names = names_on(report.target.has)
    unit = "" if report.unit is None else f", {report.unit} alone"
    rows = table(
        "unit",
        *names.values(),
        title=f"{report.network}{unit} on {report.target.name} ({report.target.part})",
    )
    rows.show_footer = True
    for name, taken in report.taken.items():
        planned = report.planned.get(name)
        cells = []
        for field in names:
            amount = getattr(taken, field)
            meant = getattr(planned, field, None)
            text = f"{amount:,}"
            cells.append(text if meant in (None, amount) else f"[red]{text}, planned {meant:,}[/]")
        rows.add_row(name, *cells)
    rows.add_section()
    rows.add_row("all", *(f"{getattr(report.total, field):,}" for field in names))
    rows.columns[0].footer = "of the target's"
    for index, field in enumerate(names, start=1):
        there = getattr(report.target.has, field)
        share = getattr(report.total, field) / there if there else None
        rows.columns[index].footer = percent(share)
    return rows


def findings(report: SynthesisReport) -> list[str]:
    """The frequency and its limits in words."""
    from rich.markup import escape

    if report.routed is None:
        return []
    routed = report.routed
    lines = [f"[bold]{routed.fmax:.2f} MHz[/] after routing with {report.placements}, limited by"]
    if routed.aimed not in (None, report.frequency):
        lines[0] = (
            f"{report.frequency:g} MHz are out of reach; aimed at {routed.aimed:.1f}: {lines[0]}"
        )
    lines += [
        f"  {path.start} to {path.end}: {path.delay:.2f} ns ({path.logic:.2f} logic in "
        f"{path.levels} levels, {path.routing:.2f} routing)"
        for path in routed.paths
    ]
    latest = list(routed.arrivals.items())[:ARRIVALS]
    lines += [f"Latest inputs: {', '.join(f'{name} {time:.1f} ns' for name, time in latest)}."]
    return [lines[0], *map(escape, lines[1:])]


def _judge(report: SynthesisReport, design: Plan) -> None:
    """End the command where the design does not fit or is not as planned."""
    unfit = report.unfit()
    if unfit:
        raise ValueError(f"{unfit}. {advice(design, report)}")
    surprises = report.surprises()
    if surprises:
        raise click.ClickException(f"Blocks differ from the plan: {'; '.join(surprises)}.")


def advice(design: Plan, report: SynthesisReport) -> str:
    """What would make `design` fit, in a sentence."""
    from counterflow.design.fit.advice import of_synthesis

    return of_synthesis(design, report.target, report.short, alone=report.unit is not None)
