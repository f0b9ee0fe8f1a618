"""The other verbs of `counterflow host`: look, test, save, load, watch."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from counterflow.commands import brought, numerals, options, outcome
from counterflow.commands.display import Display, table
from counterflow.commands.host_port import PROGRESS, check_ended, common, opened
from counterflow.commands.host_report import said_of
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from counterflow.design.schedule.planner import Plan
    from counterflow.host.device import Device


@click.command()
@common
def info(as_json: bool, quiet: bool, **where: Any) -> None:
    """Say what board is at the port, and what it has counted."""
    display = Display(as_json=as_json, quiet=quiet)
    design, device = opened(**where)
    with device:
        counters, about = device.counters(), device.info
    rows = table("", "", title=f"{about.name} on {about.board or 'a board'}")
    rows.add_row("hash", about.network)
    rows.add_row("protocol", f"version {about.version}")
    rows.add_row("clock, line", f"{about.frequency / 1e6:g} MHz, {about.baud:,} baud")
    if about.heads:
        rows.add_row("heads", f"{about.heads}")
    rows.add_row("buffers", f"{about.buffers.packets:,} and {about.buffers.results:,} bytes")
    for name, value in asdict(counters).items():
        rows.add_row(name.replace("_", " "), _shown(value))
    display.show(rows)
    display.result(outcome.stated({**asdict(about), **asdict(counters)}, design.description))


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else " ".join(f"{one:,}" for one in value)


@click.command()
@common
@brought.data
def evaluate(
    data: Path | None, label: str | None, as_json: bool, quiet: bool, **where: Any
) -> None:
    """Try the test samples with the weights that the board has, scaled as those they learnt from.

    Not within a training, whose tokens the board counts: let `host train --evaluate each` do it.
    """
    from counterflow.golden.training.start import initial_states
    from counterflow.host.course import course, test_leg
    from counterflow.host.progress import Progress
    from counterflow.host.training import Training

    display = Display(as_json=as_json, quiet=quiet)
    design, device = opened(**where)
    with device:
        dataset = brought.dataset_for(display, where["net"], design.description, data, label)
        under = Progress.load(_check_ended(device, design))
        if under and under.trained_on and device.session.refresh().mark == under.mark:
            dataset = brought.scaled_as(display, under.trained_on, dataset)
        way = course(
            design.description, design.schedule, dataset, seed=0, epochs=range(1), evaluate="none"
        )
        training = Training(device, way, initial_states(design.description, design.schedule, 0))
        leg = test_leg(0, 0, way.legs[0].settings, len(way.test))
        with display.progress("Testing the board") as moved:
            tally = training.measure(leg, lambda done, _: moved(done, len(way.test)))
    for number, one in tally.losses.items():
        whose = f"Head {number}" if number else f"{one.samples:,} samples"
        display.show(f"{whose}: {said_of(one)}.")
    found = {**tally.means, "samples": tally.samples, **tally.heads_json}
    display.result(outcome.stated(found, design.description, dataset=dataset))


def _check_ended(device: Device, design: Plan) -> Path:
    """ValueError where a training is under way on the board; the file that would tell of it."""
    from counterflow.host.progress import Progress

    path = default_folder(design.description.name) / PROGRESS
    found = Progress.load(path)
    if found is not None:
        check_ended(device, found, path)
    return path


@click.command()
@common
@click.option("-o", "--out", type=options.NEW_FILE, required=True, help="The checkpoint's file.")
def checkpoint(out: Path, as_json: bool, quiet: bool, **where: Any) -> None:
    """Save the state of a board whose training has ended.

    For one that is under way, `host train --checkpoint` writes a checkpoint at each epoch's end,
    where the chain is empty.
    """
    from counterflow.golden.training import checkpoint as checkpoints
    from counterflow.golden.training.models import settings_in
    from counterflow.host.progress import Progress

    display = Display(as_json=as_json, quiet=quiet)
    design, device = opened(**where)
    with device:
        path = _check_ended(device, design)
        found = Progress.load(path)
        if found is None or device.session.refresh().mark != found.mark:
            raise ValueError(
                f"{path}: tells of no training of this board, so that its epoch and seed are not "
                "known; let `counterflow host train --checkpoint` write checkpoints"
            )
        states = device.read_back()
        settings = settings_in(design.description.recipe, found.epochs - 1)
        state = checkpoints.Checkpoint(
            found.network, found.epochs, found.seed, settings, states, data=found.trained_on
        )
        checkpoints.save(out, state)
    display.files([out])
    answer = {"file": str(out), "epoch": found.epochs}
    display.result(outcome.stated(answer, design.description, seed=found.seed))


@click.command()
@common
@click.argument("file", type=options.FILE)
def restore(file: Path, as_json: bool, quiet: bool, **where: Any) -> None:
    """Load the weights of a checkpoint into the board, to evaluate it.

    To train on from there, give the checkpoint to `host train --resume`.
    """
    from counterflow.golden.training import checkpoint as checkpoints

    display = Display(as_json=as_json, quiet=quiet)
    design, device = opened(**where)
    with device:
        state = checkpoints.load(file, design.description, design.schedule)
        _check_ended(device, design)
        device.session.mark(0)
        device.empty()
        device.set(state.settings)
        device.load(state.states)
    display.show(f"{file}: {state.epoch} epochs, now on the board.")
    answer = {"file": str(file), "epoch": state.epoch}
    display.result(outcome.stated(answer, design.description, seed=state.seed))


@click.command()
@common
@click.option(
    "--every",
    type=numerals.Real(0.05, numerals.SECONDS),
    default=1.0,
    show_default=True,
    help="Seconds.",
)
@click.option("--times", type=numerals.COUNT, help="Stop after so many lines [default: Ctrl-C].")
def monitor(every: float, times: int | None, as_json: bool, quiet: bool, **where: Any) -> None:
    """Show what the board counts, line by line; it changes nothing.

    A port belongs to one program at a time: a training that runs shows its own progress.
    """
    display = Display(as_json=as_json, quiet=quiet)
    design, device = opened(**where)
    with device:
        lines = 0
        while times is None or lines < times:
            now = device.counters()
            stalls, clipped = sum(now.stalls), sum(now.saturations)
            display.show(
                f"{now.tokens:>12,} tokens {now.cycles:>14,} cycles {stalls:>12,} stalls "
                f"{clipped:>10,} saturations {now.bad_samples + now.bad_labels:>4} dropped"
            )
            display.result(outcome.stated(asdict(now), design.description))
            lines += 1
            if lines != times:
                time.sleep(every)
