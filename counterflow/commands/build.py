"""`counterflow build`: a bitstream that trains a network on a board."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import numerals, options, outcome, places
from counterflow.commands.display import Display, table
from counterflow.commands.fit import folded
from counterflow.commands.synth import advice, findings
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from rich.table import Table

    from counterflow.boards.flow import OverfullError
    from counterflow.boards.report import BuildReport
    from counterflow.boards.table import Board
    from counterflow.commands.outcome import Outcome
    from counterflow.design.network.description import Description
    from counterflow.design.schedule.planner import Plan


@click.command()
@options.network
@click.option("--board", "board_name", required=True, help="The board: see `counterflow boards`.")
@click.option(
    "--freq",
    type=numerals.Real(0, 10_000, above=True),
    help="Clock in MHz [default: the board's].",
)
@click.option(
    "--baud",
    type=numerals.BAUD,
    help="Rate of the serial line to the host in bits a second [default: the board's].",
)
@click.option(
    "--fit", "to_fit", is_flag=True, help="Fold NET anew for the board, as plan --target does."
)
@options.placement_seed
@options.placement_seeds
@options.fold
@options.output(folder="Folder for bitstream, sources and logs [default: build/NET/BOARD].")
def build(
    net: str,
    board_name: str,
    freq: float | None,
    baud: int | None,
    to_fit: bool,
    seed: int,
    seeds: int,
    limits: options.Limits,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Make a bitstream that trains NET on a board.

    Plans, generates Verilog, synthesises, places, routes and packs, all with programs from the
    Python package index; for a Xilinx board it leaves sources, constraints and a script for Vivado
    instead.  NET is folded as it says itself where that fits the board, else anew.

    The exit status is 1 where timing is missed or blocks differ from the plan, 2 where the design
    does not fit; there is no bitstream then.

    \b
    Examples:
        counterflow build digits --board ulx3s-85f
        counterflow build digits-8bit --board icebreaker
        counterflow build tiny --board orangecrab-85f --freq 80
    """
    from counterflow.boards.flow import programs_for
    from counterflow.boards.table import board as named
    from counterflow.design.network.files import load
    from counterflow.design.tools import programs

    display = Display(as_json=as_json, quiet=quiet)
    board = named(board_name)
    programs.require_packages(programs.BOARD_PINS, *programs_for(board))
    design = planned(load(net), board, limits, to_fit=to_fit)
    folder = out or places.default(default_folder(design.description.name) / board.name)
    with outcome.into(folder, "build") as made:
        work = made.work()
        report, seconds = _run(display, design, board, work, freq, baud, range(seed, seed + seeds))
        _keep(work, made, report)
        content = {**report.to_json(), "seconds": seconds}
        kept = made.keep(content, design.description, seed=seed)
    display.show(report_table(report))
    for line in [*findings(report.found), *_outlook(report)]:
        display.show(line)
    display.files(kept.files)
    display.result(kept.result)
    _judge(report)


def planned(
    description: Description,
    board: Board,
    limits: options.Limits,
    *,
    to_fit: bool,
) -> Plan:
    """`description` folded as it says itself where that fits the board, else for the board.

    ValueError, one or two sentences with advice, where nothing fits.
    """
    from counterflow.boards.fits import LINK, own_fold
    from counterflow.design.fpga.needs import settled

    design = None
    if not to_fit and limits == options.Limits():
        design = own_fold(description, board.fpga)
    if design is None:
        design = folded(description, limits, board.fpga.name)[0]
    return settled(design, board.fpga, LINK.block_rams)


def _run(
    display: Display,
    design: Plan,
    board: Board,
    scratch: Path,
    freq: float | None,
    baud: int | None,
    seeds: Sequence[int],
) -> tuple[BuildReport, dict[str, float]]:
    """The report, and the seconds of each stage."""
    from counterflow.boards import flow
    from counterflow.boards.top import source

    seconds: dict[str, float] = {}
    asked, rate = freq or board.frequency, baud or board.baud
    with display.stages() as stage:
        begun, current = time.monotonic(), "elaborate"

        def enter(name: str, detail: str) -> None:
            """Show a stage; the time since the last call was that of the stage before."""
            nonlocal begun, current
            now = time.monotonic()
            seconds[current] = seconds.get(current, 0.0) + now - begun
            begun, current = now, name
            stage(name, detail)

        stage("elaborate", "")
        text = source(board, design, frequency=asked, baud=rate)
        enter("synthesise", "")
        try:
            report = flow.build(
                board, design, text, scratch, enter, asked=asked, baud=rate, seeds=seeds
            )
        except flow.OverfullError as error:
            raise ValueError(_too_full(design, board, error)) from None
        enter(current, "")
    return report, seconds


def _too_full(design: Plan, board: Board, error: OverfullError) -> str:
    """What is short after packing, and the planner's advice."""
    from counterflow.boards.fits import others
    from counterflow.design.fit.fitting import UnfitError, fit, takes
    from counterflow.design.fpga.needs import needs

    lack, target = error.needed - error.there, board.fpga
    try:
        # Logic is planned with as roughly as this plan turned out to be counted.
        share = min(1.0, needs(design, target.family).total.luts / error.needed)
        found = fit(design.description, target, luts=share, rough=1.0).needs
        advice = f"Folded with --fit it takes {takes(found)}."
    except UnfitError:
        advice = others(design.description, board)
    return (
        f"{design.description.name} does not fit {board.name}: packed with the host link it needs "
        f"{error.needed:,} {error.kind} of {error.there:,} ({lack:,} too many). {advice}"
    )


def _keep(work: Path, made: Outcome, report: BuildReport) -> None:
    """Of what programs left in `work` keep what a board or another program wants, and the logs."""
    from counterflow.design.network.files import move

    name = report.found.network
    products = [f"{name}.bit", f"{name}.bin", f"{name}.dfu"]
    for one in [*products, "top.v", "top.lpf", "top.pcf", "top.xdc", "top.tcl"]:
        if (work / one).exists():
            move(work / one, made.scratch / one)
    for log in work.glob("*.log"):
        move(log, made.path(f"-{log.name}"))


def report_table(report: BuildReport) -> Table:
    """What was planned, what synthesis took, and what there is."""
    from counterflow.boards.report import AROUND
    from counterflow.design.fpga.targets import RESOURCE_NAMES

    found, target = report.found, report.board.fpga
    rows = table(
        "",
        *("planned", "network", "with link", "there are"),
        title=f"{found.network} on {report.board.title} ({target.part})",
    )
    planned = report.planned
    around = found.taken[AROUND]
    for name, words in RESOURCE_NAMES.items():
        whole, there = getattr(found.total, name), getattr(target.has, name)
        if not (whole or there):
            continue
        plan = {"multipliers": "{:,}", "block_rams": "{:,}", "luts": "about {:,}"}.get(name, "–")
        rows.add_row(
            words,
            plan.format(getattr(planned, name)),
            f"{whole - getattr(around, name):,}",
            f"{whole:,}",
            f"{there:,}",
        )
    return rows


def _outlook(report: BuildReport) -> list[str]:
    """The speed, and what comes next."""
    found = report.found
    speed = (
        f"At {found.frequency:g} MHz it trains on {report.samples_per_second:,.0f} samples a "
        f"second where the host keeps up (a sample every {report.design.schedule.interval:,} "
        "cycles)."
    )
    if found.routed is None:
        return [speed, "Vivado makes the bitstream: see the first line of top.tcl."]
    if report.late() is not None or found.unfit():
        return []
    return [speed]


def _judge(report: BuildReport) -> None:
    """End the command where there is no bitstream, or one that is not as planned."""
    unfit = report.found.unfit()
    if unfit:
        raise ValueError(f"{unfit}. {advice(report.design, report.found)}")
    surprises = report.found.surprises()
    if surprises:
        raise click.ClickException(f"Blocks differ from the plan: {'; '.join(surprises)}.")
    late = report.late()
    if late:
        raise click.ClickException(late)
