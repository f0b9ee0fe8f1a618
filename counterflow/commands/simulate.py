"""`counterflow simulate`: the generated hardware trains and is held to the golden model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import brought, numerals, options, outcome, places
from counterflow.commands.display import Display, percent, table
from counterflow.commands.fit import folded
from counterflow.commands.pretrained import read
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from rich.table import Table

    from counterflow.commands.outcome import Outcome
    from counterflow.design.data.sets import Dataset
    from counterflow.design.schedule.planner import Plan
    from counterflow.golden.units.state import State
    from counterflow.sim.bench.reports import LongRunReport, SimulationReport

SAMPLES = 200


@click.command()
@options.network
@click.option(
    "--samples",
    type=numerals.SAMPLES,
    help=f"Samples to train on [default: {SAMPLES}; with --long all of an epoch, and at most as "
    "many to test on].",
)
@click.option("--long", is_flag=True, help="Whole epochs, compared at the end of each.")
@click.option("--epochs", type=numerals.EPOCHS, help="Epochs of --long [default: the recipe's].")
@click.option(
    "--jobs",
    type=numerals.JOBS,
    help="Simulations that share the epochs of --long, each on a processor of its own and, but for "
    "the first, begun with golden's weights [default: 1, without a break].",
)
@click.option(
    "--simulator",
    type=click.Choice(["verilator", "icarus"]),
    default="verilator",
    show_default=True,
    help="Who simulates the Verilog.",
)
@click.option(
    "--harsh",
    is_flag=True,
    help="Go on with stalled streams, spoilt samples, mixed kinds of tokens, changed settings, a "
    "reset and a power cycle, with block memories at their worst.",
)
@click.option("--waves", is_flag=True, help="Leave waveforms in the output folder.")
@click.option(
    "--trace",
    is_flag=True,
    help="Leave all slots for trace viewers, too: Perfetto (-trace.json) and Konata (.kanata).",
)
@options.weights
@options.target
@options.fold
@brought.data
@options.seed
@options.output(folder="Folder for results and figures [default: build/NET].")
def simulate(
    net: str,
    samples: int | None,
    long: bool,
    epochs: int | None,
    jobs: int | None,
    simulator: str,
    harsh: bool,
    waves: bool,
    trace: bool,
    weights: Path | None,
    target_name: str | None,
    limits: options.Limits,
    data: Path | None,
    label: str | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Train NET in simulated hardware, compared with golden.

    Every stream and every weight memory's write port is compared in every clock cycle, all weights
    and counters at the end. The report says what a run exercised; --harsh exercises all of it. With
    --long the simulator runs free, some hundred times as fast, and all weights are compared at the
    end of every epoch; --jobs simulates several epochs at a time. The exit status is 0 only where
    something was compared and all of it was equal.

    \b
    Examples:
        counterflow simulate digits --samples 100
        counterflow simulate tiny --harsh
        counterflow simulate tiny --waves --trace -o out
        counterflow simulate digits --long --jobs 2
        counterflow simulate lenet5-finetune --weights pretrained.safetensors --samples 20
    """
    from counterflow.design.network.files import load
    from counterflow.design.tools import programs

    if epochs is not None and not long:
        raise click.UsageError("--epochs needs --long: without it a run is part of one epoch.")
    if jobs is not None and not long:
        raise click.UsageError("--jobs needs --long: they share its epochs.")
    if long and trace:
        raise click.UsageError(
            "--trace shows slots of runs compared in every cycle, without --long."
        )
    if long and (waves or simulator != "verilator"):
        raise click.UsageError("--long runs in Verilator and leaves no waveforms.")
    if long and harsh:
        raise click.UsageError("--harsh compares every cycle, --long does not; choose one of them.")
    display = Display(as_json=as_json, quiet=quiet)
    design, _ = folded(load(net), limits, target_name)
    dataset = brought.dataset_for(display, net, design.description, data, label)
    programs.require(simulator)
    places.cache()
    chosen = design.description.recipe.seed if seed is None else seed
    begun = None if weights is None else read(design.description, weights, seed)
    if begun is not None:
        display.show("\n".join(f"{one}." for one in begun.sentences()))
    states = () if begun is None else begun.states
    folder = out or places.default(default_folder(design.description.name))
    report: SimulationReport | LongRunReport
    with outcome.into(folder, "simulate") as made:
        if long:
            report = epoch_by_epoch(
                *(display, design, dataset, chosen, epochs, samples),
                jobs=jobs or 1,
                states=states,
            )
        else:
            report = cycle_by_cycle(
                *(display, design, dataset, chosen, samples or SAMPLES),
                simulator,
                waves=made.scratch if waves else None,
                harsh=harsh,
                log=made.path(".log"),
                all_slots=trace,
                states=states,
                kept=True,
            )
        draw(made, report, design)
        if trace:
            write_traces(made, report, design)
        if waves:
            write_view(made.scratch, design, kept=made.folder)
        facts = report.to_json() | ({} if begun is None else {"weights": begun.facts()})
        kept = made.keep(facts, design.description, seed=chosen, dataset=dataset)
    display.show(report_table(report, design))
    if (heads := by_head(report)) is not None:
        display.show(heads)
    display.show(verdict(report))
    if said := exercises(report, harsh=harsh):
        display.show(said)
    display.files(kept.files)
    display.result(kept.result)
    if not report.equal:
        click.get_current_context().exit(1)


def cycle_by_cycle(
    display: Display,
    design: Plan,
    dataset: Dataset,
    seed: int,
    samples: int,
    simulator: str = "verilator",
    *,
    waves: Path | None = None,
    harsh: bool = False,
    log: Path | None = None,
    all_slots: bool = False,
    states: Sequence[State] = (),
    kept: bool = False,
) -> SimulationReport:
    """Run the comparison of every cycle with a progress bar; waveforms go into `waves`."""
    from counterflow.sim.simulate import simulate as run

    with display.progress("Hardware, every cycle compared") as bar:
        return run(
            design,
            dataset,
            seed=seed,
            samples=min(samples, len(dataset.train_x)),
            log=log,
            waves=waves,
            simulator=simulator,
            harsh=harsh,
            all_slots=all_slots,
            states=states,
            kept=kept,
            on_progress=bar,
        )


def epoch_by_epoch(
    display: Display,
    design: Plan,
    dataset: Dataset,
    seed: int,
    epochs: int | None,
    limit: int | None,
    *,
    jobs: int = 1,
    states: Sequence[State] = (),
) -> LongRunReport:
    """Run whole epochs without Python in the cycle, with a progress bar."""
    from counterflow.hw.tops.verilog import to_verilog
    from counterflow.sim.compiled.long_run import long_run
    from counterflow.sim.generated import kept_verilog

    with display.progress("Hardware, every epoch compared") as bar:
        return long_run(
            design,
            dataset,
            seed=seed,
            epochs=epochs or design.description.recipe.epochs,
            limit=limit,
            jobs=jobs,
            states=states,
            verilog=kept_verilog("chain", design, lambda: to_verilog(design)),
            on_progress=bar,
        )


def draw(made: Outcome, report: SimulationReport | LongRunReport, design: Plan) -> None:
    """The figures of a run that was compared in every cycle: how it learnt, and its slots."""
    from counterflow import figures
    from counterflow.sim.bench.reports import SimulationReport

    if not isinstance(report, SimulationReport):
        return
    name = design.description.name
    if report.losses:
        figures.training_curves(made.path(".png"), report, title=name)
    if report.slots:
        title = f"{name}: what each stage works on, as simulated"
        figures.slot_diagram(made.path("-slots.png"), report.slots, title=title)


def write_traces(made: Outcome, report: SimulationReport | LongRunReport, design: Plan) -> None:
    """The slots of a run that was compared in every cycle, for trace viewers."""
    from counterflow import traces
    from counterflow.sim.bench.reports import SimulationReport

    if isinstance(report, SimulationReport) and report.slots:
        title = f"{design.description.name}, cycles as microseconds"
        traces.chrome(made.path("-trace.json"), report.slots, title=title)
        traces.konata(made.path(".kanata"), report.slots)


def write_view(folder: Path, design: Plan, *, kept: Path) -> None:
    """What GTKWave and Surfer should show of the waveforms in `folder`, beside these.

    All of it will stand in the folder `kept`.
    """
    from counterflow import gtkwave, surfer
    from counterflow.waves import waves_in

    waves = waves_in(folder)
    if waves is not None:
        paths = folder / "simulate.gtkw", folder / "simulate-kinds.txt"
        gtkwave.write(*paths, waves, design, folder=kept.absolute())
        surfer.write(folder / "simulate.sucl", folder / surfer.MAPPINGS, waves, design)


def report_table(report: SimulationReport | LongRunReport, design: Plan) -> Table:
    """What was planned beside what was measured."""
    from counterflow.sim.bench.reports import SimulationReport

    measured: int | None = None
    if isinstance(report, SimulationReport):
        measured = report.interval
    rows = table("", "planned", "measured", title=f"{design.description.name} in hardware")
    rows.add_row(
        "cycles a sample, steady state",
        f"{design.schedule.interval:,}",
        "–" if measured is None else f"{measured:,}",
    )
    rows.add_row(
        "multipliers busy, steady state",
        percent(report.utilisation_planned, 2),
        percent(report.utilisation_measured, 2),
    )
    rows.add_row("samples", "", f"{report.samples:,}")
    rows.add_row("cycles", "", f"{report.cycles:,}")
    rows.add_row("cycles a second", "", f"{report.cycles / max(report.seconds, 1e-9):,.0f}")
    return rows


def by_head(report: SimulationReport | LongRunReport) -> Table | None:
    """What each head says after the last epoch of a long run; None where there are no heads."""
    from counterflow.commands.train import head_table
    from counterflow.sim.bench.reports import SimulationReport

    if isinstance(report, SimulationReport) or not any(report.heads):
        return None
    return head_table(report.heads[-1], report.test_losses[-1], report.accuracy[-1])


def exercises(report: SimulationReport | LongRunReport, *, harsh: bool) -> str:
    """What a run exercised beyond training, and what not; nothing of a long run."""
    from counterflow.sim.bench.reports import SimulationReport

    if not isinstance(report, SimulationReport):
        return ""
    done = [what for what, was in report.exercised.items() if was]
    left = [what for what, was in report.exercised.items() if not was]
    said = f"Exercised: training, {report.counters} counters"
    said += "".join(f", {what}" for what in done) + "."
    remedy = "" if harsh else " (--harsh)"
    return f"{said} Not exercised: {', '.join(left)}{remedy}." if left else said


def verdict(report: SimulationReport | LongRunReport) -> str:
    """How much was compared and what came of it."""
    where = f"{report.compared:,} values over {report.cycles:,} cycles compared"
    if report.equal:
        return f"[bold green]Equal:[/] {where}, 0 mismatches."
    if report.compared == 0:
        return "[bold red]Nothing was compared.[/]"
    from rich.markup import escape

    first = escape(report.first_divergence or "not located")
    return f"[bold red]Different:[/] {where}, {report.mismatches:,} mismatches. First: {first}"
