"""`counterflow demo`: the whole path once, from a TOML file to hardware that trains."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from counterflow.commands import brought, numerals, options, outcome, places
from counterflow.commands.display import Display, percent, table
from counterflow.commands.measures import said_of
from counterflow.commands.plan import plan_table
from counterflow.commands.simulate import cycle_by_cycle, draw, epoch_by_epoch, verdict
from counterflow.commands.train import epoch_table, golden_training, train_json

if TYPE_CHECKING:
    from rich.table import Table

    from counterflow.commands.outcome import Outcome
    from counterflow.design.data.sets import Dataset
    from counterflow.design.schedule.planner import Plan
    from counterflow.golden.training.epochs import TrainingResult
    from counterflow.sim.bench.reports import LongRunReport, SimulationReport


@click.command()
@click.option("--net", default="digits", show_default=True, help="Another network to show.")
@click.option("--epochs", type=numerals.EPOCHS, help="Epochs of golden [default: the recipe's].")
@click.option("--samples", type=numerals.SAMPLES, help="Samples in hardware [default: an epoch].")
@click.option("--long", is_flag=True, help="The other epochs in hardware, too.")
@options.seed
@options.output(folder="Folder for everything that is made [default: build/demo].")
def demo(
    net: str,
    epochs: int | None,
    samples: int | None,
    long: bool,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Show everything once, in less than three minutes.

    Trains the 8x8 digits with the golden model, generates the hardware, lets it train on the same
    samples in Verilator, and compares the two in every clock cycle.

    \b
    Examples:
        counterflow demo -o out
        counterflow demo --long
    """
    from counterflow.design.network.files import load
    from counterflow.design.schedule.planner import plan as planned
    from counterflow.design.tools import programs

    display, began = Display(as_json=as_json, quiet=quiet), perf_counter()
    programs.require("verilator")
    places.cache()
    folder, description = out or places.default(Path("build") / "demo"), load(net)
    dataset = brought.dataset_for(display, net, description)
    design = planned(description)
    chosen = description.recipe.seed if seed is None else seed

    with outcome.into(folder, "demo") as made:
        training, report, whole = _shown(
            display, made, design, dataset, chosen, epochs, samples, long=long
        )
        answer = {**report.to_json(), "training": train_json(training)}
        if whole is not None:
            answer["long"] = whole.to_json()
        _draw(made, design, training, report, whole)
        kept = made.keep(answer, description, seed=chosen, dataset=dataset)
    display.show(_report(design, training, report, perf_counter() - began))
    display.show(verdict(report))
    if whole is not None:
        display.show(verdict(whole))
    display.files(kept.files)
    display.result(kept.result)
    if not (report.equal and (whole is None or whole.equal)):
        click.get_current_context().exit(1)


def _shown(
    display: Display,
    made: Outcome,
    design: Plan,
    dataset: Dataset,
    seed: int,
    epochs: int | None,
    samples: int | None,
    *,
    long: bool,
) -> tuple[TrainingResult, SimulationReport, LongRunReport | None]:
    """What golden came to, the hardware beside it, and with `long` all epochs of that."""
    from counterflow.design.network.files import write_atomically

    description = design.description
    display.note(f"\n[bold]1  The plan[/] for {description.name}, folded onto multipliers")
    display.show(plan_table(design))
    display.note(
        "[bold]2  The golden model[/] trains: integers in Python, every bit as in hardware"
    )
    training = golden_training(display, description, dataset, seed, epochs)
    display.show(epoch_table(training.epochs, description.name))
    display.note("[bold]3  The hardware[/]: from the same description to Verilog")
    from counterflow.hw.tops.verilog import to_verilog

    verilog = write_atomically(made.path(".v"), to_verilog(design))
    display.note(f"{made.folder / verilog.name}: {verilog.stat().st_size:,} bytes\n")
    display.note("[bold]4  The hardware trains[/] in Verilator, on the same samples")
    count = samples or len(dataset.train_x)
    report = cycle_by_cycle(display, design, dataset, seed, count, log=made.path(".log"))
    if not long:
        return training, report, None
    display.note("[bold]5  The whole training[/] in hardware, compared after every epoch")
    limit = None if samples is None else min(samples, len(dataset.train_x))
    whole = epoch_by_epoch(display, design, dataset, seed, len(training.epochs), limit)
    return training, report, whole


def _report(
    design: Plan, training: TrainingResult, report: SimulationReport, seconds: float
) -> Table:
    last = training.epochs[-1]
    measured = "–" if report.interval is None else f"{report.interval:,}"
    rows = table("", "", title="Report")
    for name, text in (
        (f"test set after {len(training.epochs)} epochs, golden", said_of(last)),
        ("samples that the hardware has trained on", f"{report.samples:,}"),
        ("cycles a sample, planned", f"{design.schedule.interval:,}"),
        ("cycles a sample, measured", measured),
        ("multipliers busy, planned", percent(report.utilisation_planned, 2)),
        ("multipliers busy, measured", percent(report.utilisation_measured, 2)),
        ("cycles compared", f"{report.cycles:,}"),
        ("values compared", f"{report.compared:,}"),
        ("mismatches", f"{report.mismatches:,}"),
        ("seconds in all", f"{seconds:.0f}"),
    ):
        rows.add_row(name, text)
    return rows


def _draw(
    made: Outcome,
    design: Plan,
    training: TrainingResult,
    report: SimulationReport,
    whole: LongRunReport | None,
) -> None:
    """The figures of plan and simulation; the curves of both models are in one."""
    from counterflow import figures

    draw(made, report, design)
    figures.training_curves(
        made.path(".png"),
        report,
        training.epochs,
        () if whole is None else whole.accuracy,
        title=design.description.name,
    )
    figures.delays(made.path("-stages.png"), design)
