"""`counterflow host`: train a board over a serial port, and what else one asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from counterflow.commands import options
from counterflow.commands.display import Display, percent, table
from counterflow.commands.fit import folded
from counterflow.commands.verilog import default_folder
from counterflow.link import BAUD

if TYPE_CHECKING:
    from counterflow.data import Dataset
    from counterflow.host.course import Leg
    from counterflow.host.device import Device
    from counterflow.host.progress import Progress
    from counterflow.host.training import Outcome, Tally, Training
    from counterflow.planner import Plan
    from golden.checkpoint import Checkpoint
    from golden.convolution import UnitState

Command = TypeVar("Command", bound=Callable[..., Any])
PROGRESS = "host-progress.json"  # in the network's folder


@click.group()
def host() -> None:
    """Train a board over a serial port, check it, save it.

    The board has NET's bitstream (`counterflow build`), or is a simulated one, whose port
    `counterflow board-sim NET` prints.

    \b
    Examples:
        counterflow host info digits --port /dev/ttyUSB1
        counterflow host train digits --port /dev/ttyUSB1 --verify 500
        counterflow host evaluate digits --port /dev/ttyUSB1
        counterflow host checkpoint digits --port /dev/ttyUSB1 -o trained.npz
        counterflow host restore digits --port /dev/ttyUSB1 trained.npz
        counterflow host monitor digits --port /dev/ttyUSB1
    """


def port(command: Command) -> Command:
    """--port, --baud and --timeout."""
    command = click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        default=10.0,
        show_default=True,
        help="Seconds of silence after which the board counts as gone.",
    )(command)
    command = click.option(
        "--baud",
        type=options.COUNT,
        default=BAUD,
        show_default=True,
        help="Bits a second, as the bitstream was built for.",
    )(command)
    return click.option("--port", "port_name", required=True, help="Serial port of the board.")(
        command
    )


def common(command: Command) -> Command:
    """What every verb takes."""
    for one in (options.display, options.fold, options.target, port, options.network):
        command = one(command)
    return command


def _opened(
    net: str,
    port_name: str,
    baud: int,
    timeout: float,
    target_name: str | None,
    multipliers: int | None,
    memory: int | None,
    interval: int | None,
) -> tuple[Plan, Device]:
    """The plan of NET and the device at the port."""
    from counterflow.files import load

    design, _ = folded(load(net), multipliers, memory, interval, target_name)
    from counterflow.host.device import Device

    return design, Device.open(port_name, design, baud=baud, timeout=timeout)


@host.command()
@common
def info(as_json: bool, quiet: bool, **where: Any) -> None:
    """Say what board is at the port, and what it has counted."""
    display = Display(as_json=as_json, quiet=quiet)
    _, device = _opened(**where)
    with device:
        counters, about = device.counters(), device.info
    rows = table("", "", title=f"{about.name} on {about.board or 'a board'}")
    rows.add_row("hash", about.network)
    rows.add_row("protocol", f"version {about.version}")
    rows.add_row("clock, line", f"{about.frequency / 1e6:g} MHz, {about.baud:,} baud")
    rows.add_row("buffers", f"{about.buffers.packets:,} and {about.buffers.results:,} bytes")
    for name, value in asdict(counters).items():
        rows.add_row(name.replace("_", " "), _shown(value))
    display.show(rows)
    display.result({**asdict(about), **asdict(counters)})


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else " ".join(f"{one:,}" for one in value)


@host.command()
@common
@click.option("--epochs", type=options.COUNT, help="Train until so many are done [the recipe's].")
@click.option("--samples", type=options.COUNT, help="Samples an epoch [default: all].")
@click.option(
    "--evaluate",
    type=click.Choice(["each", "last", "none"]),
    default="last",
    show_default=True,
    help="After which epochs the test samples are tried.",
)
@click.option(
    "--verify", type=options.COUNT, help="Compare all weights with golden every N samples."
)
@click.option(
    "--checkpoint", type=options.NEW_FILE, help="Write the state here at each epoch's end."
)
@click.option("--resume", type=options.FILE, help="Begin with this checkpoint.")
@click.option("--progress", type=options.NEW_FILE, help=f"[default: build/NET/{PROGRESS}].")
@click.option("--fresh", is_flag=True, help="Begin anew even if a training is under way.")
@click.option("-o", "--out", type=options.NEW_FOLDER, help="Folder for host.json and host.png.")
@options.data
@options.seed
def train(
    epochs: int | None,
    samples: int | None,
    evaluate: str,
    verify: int | None,
    checkpoint: Path | None,
    resume: Path | None,
    progress: Path | None,
    fresh: bool,
    out: Path | None,
    data: Path | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    **where: Any,
) -> None:
    """Train the board, as `counterflow train` trains the golden model.

    A training that ended too early, the host killed or the cable pulled, goes on where the board
    stands when the same command is given again: the board counts what it has accepted, and a small
    file remembers what it was.

    \b
    Examples:
        counterflow host train tiny --port /dev/pts/3 --verify 50
        counterflow host train digits --port /dev/ttyUSB1 --checkpoint trained.npz
        counterflow host train digits --port /dev/ttyUSB1 --resume trained.npz --epochs 30
    """
    from counterflow.training_data import training_data

    display = Display(as_json=as_json, quiet=quiet)
    design, device = _opened(**where)
    with device:
        dataset = training_data(design.description, data)
        path = progress or default_folder(design.description.name) / PROGRESS
        asked, start = _asked(design, dataset, seed, epochs, samples, evaluate, resume)
        training = _training(design, device, dataset, asked, start, verify or 0)
        before = None if fresh else _under_way(device, path, asked)
        at = training.begin(asked, path) if before is None else training.resume(before)
        if at:
            display.note(
                f"The board has had {at:,} of {training.course.tokens:,} tokens; going on."
            )
        outcome = _run(display, training, at, asked, checkpoint)
    found = _json(outcome, device, training)
    files = [checkpoint] if checkpoint else []
    if out is not None:
        files += _write(out, found, outcome, design.description.name)
    _summary(display, outcome, device)
    display.files(files)
    display.result(found)


def _asked(
    design: Plan,
    dataset: Dataset,
    seed: int | None,
    epochs: int | None,
    samples: int | None,
    evaluate: str,
    resume: Path | None,
) -> tuple[Progress, Checkpoint | None]:
    """What the user wants trained, and the checkpoint to begin with."""
    from counterflow.host.progress import Progress
    from golden import checkpoint as checkpoints

    description = design.description
    start = checkpoints.load(resume, description, design.schedule) if resume else None
    if start and seed not in (None, start.seed):
        raise ValueError(f"the checkpoint was trained with seed {start.seed}, not {seed}")
    first = start.epoch if start else 0
    last = epochs or description.recipe.epochs
    if last <= first:
        raise ValueError(f"epochs is {last}, but must be more than the {first} that are done")
    chosen = start.seed if start else description.recipe.seed if seed is None else seed
    asked = Progress(
        network=description.hash(),
        seed=chosen,
        first_epoch=first,
        epochs=last,
        limit=samples,
        evaluate=evaluate,
        dataset=dataset.sha256,
        mark=0,
        base=0,
        resumed=str(resume) if resume else None,
    )
    return asked, start


def _training(
    design: Plan,
    device: Device,
    dataset: Dataset,
    asked: Progress,
    start: Checkpoint | None,
    verify: int,
) -> Training:
    from counterflow.host.course import course
    from counterflow.host.training import Training
    from golden.start import initial_states

    way = course(
        design.description,
        design.schedule,
        dataset,
        seed=asked.seed,
        epochs=range(asked.first_epoch, asked.epochs),
        limit=asked.limit,
        evaluate=asked.evaluate,
    )
    first = start.states if start else None
    states = first or initial_states(design.description, design.schedule, asked.seed)
    return Training(device, way, states, verify=verify)


def _under_way(device: Device, path: Path, asked: Progress) -> Progress | None:
    """The training that the board is in, if that is the one asked for; None begins anew."""
    from counterflow.host.progress import Progress

    found = Progress.load(path)
    if found is None:
        return None
    other = found.differs(asked)
    if other is None:
        return found
    if device.session.refresh().mark != found.mark:
        return None
    raise ValueError(
        f"{path}: the board is in a training with {other}; give the options that it began with to "
        "go on, or --fresh to begin anew"
    )


def _run(
    display: Display, training: Training, at: int, asked: Progress, checkpoint: Path | None
) -> Outcome:
    """Train with a bar, the loss beside it, and checkpoints at the ends of epochs."""
    from golden import checkpoint as checkpoints

    def keep(leg: Leg, states: list[UnitState]) -> None:
        state = checkpoints.Checkpoint(
            asked.network, leg.epoch + 1, asked.seed, leg.settings, states
        )
        assert checkpoint is not None
        checkpoints.save(checkpoint, state)

    with display.live("Training") as moved:
        shown, began, seen = 0.0, time.monotonic(), 0

        def report(done: int, tally: Tally) -> None:
            nonlocal shown, seen
            now = time.monotonic()
            if now - shown < 0.5:
                return
            shown, seen = now, done
            text = ""
            if tally.samples:
                text = (
                    f"epoch {tally.epoch + 1}: loss {tally.loss / tally.samples:.3f}, "
                    f"right {percent(tally.right / tally.samples)}, "
                    f"{(done - at) / max(now - began, 1e-9):,.0f} samples/s"
                )
            moved(done, training.course.tokens, text)

        return training.run(at, report=report, on_epoch=keep if checkpoint else None)


def _summary(display: Display, outcome: Outcome, device: Device) -> None:
    """A line an epoch, and what the line and the comparisons came to."""
    rows = table("epoch", "samples", "loss", "right", title=f"{device.info.name} on a board")
    for one in outcome.tallies:
        name = f"{one.epoch + 1}" + (", test" if one.tests else "")
        loss = f"{one.loss / one.samples:.4f}" if one.samples else "–"
        right = percent(one.right / one.samples if one.samples else None, 2)
        rows.add_row(name, f"{one.samples:,}", loss, right)
    display.show(rows)
    share = outcome.share(device.info.frequency, device.info.baud)
    session = device.session
    display.show(
        f"Line: {percent(share)} of its bytes were samples and labels; {session.resent} packets "
        f"sent again, {session.repeats} requests for results, {session.frames.spoilt} bytes spoilt."
    )
    if outcome.verified:
        display.show(
            f"[bold green]Equal:[/] all weights compared with the golden model's "
            f"{outcome.verified} times, 0 mismatches."
        )


def _json(outcome: Outcome, device: Device, training: Training) -> dict[str, object]:
    """What `counterflow host train --json` promises."""
    trained = [one for one in outcome.tallies if not one.tests]
    tested = [one for one in outcome.tallies if one.tests]
    last = tested[-1] if tested else None
    samples = sum(one.samples for one in trained)
    return {
        "accuracy": last.right / last.samples if last and last.samples else None,
        "loss": last.loss / last.samples if last and last.samples else None,
        "samples": samples,
        "samples_per_second": samples / outcome.seconds if outcome.seconds else 0.0,
        "seconds": outcome.seconds,
        "tokens": training.course.tokens,
        "resumed_at": outcome.resumed_at,
        "verified": outcome.verified,
        "line_share": outcome.share(device.info.frequency, device.info.baud),
        "resent": device.session.resent,
        "repeats": device.session.repeats,
        "spoilt": device.session.frames.spoilt,
        "counters": asdict(outcome.counters) if outcome.counters else None,
        "epochs": [one.to_json() for one in outcome.tallies],
    }


def _write(folder: Path, found: dict[str, object], outcome: Outcome, name: str) -> list[Path]:
    from counterflow import provenance
    from counterflow.host.figure import curves

    files = [provenance.write_json(folder / "host.json", found)]
    if outcome.losses:
        files.append(
            curves(folder / "host.png", outcome.losses, outcome.right, title=f"{name} on a board")
        )
    return files


@host.command()
@common
@options.data
def evaluate(data: Path | None, as_json: bool, quiet: bool, **where: Any) -> None:
    """Try the test samples with the weights that the board has.

    Not within a training, whose tokens the board counts: let `host train --evaluate each` do it.
    """
    from counterflow.host.course import course, test_leg
    from counterflow.host.training import Training
    from counterflow.training_data import training_data
    from golden.start import initial_states

    display = Display(as_json=as_json, quiet=quiet)
    design, device = _opened(**where)
    with device:
        dataset = training_data(design.description, data)
        _idle(device, design)
        way = course(
            design.description, design.schedule, dataset, seed=0, epochs=range(1), evaluate="none"
        )
        training = Training(device, way, initial_states(design.description, design.schedule, 0))
        leg = test_leg(0, 0, way.legs[0].settings, len(way.test))
        with display.progress("Testing the board") as moved:
            tally = training.measure(leg, lambda done, _: moved(done, len(way.test)))
    accuracy, loss = tally.right / tally.samples, tally.loss / tally.samples
    display.show(f"{tally.samples:,} samples: {percent(accuracy, 2)} right, loss {loss:.4f}.")
    display.result({"accuracy": accuracy, "loss": loss, "samples": tally.samples})


def _idle(device: Device, design: Plan) -> None:
    """ValueError unless no training would lose count, or its weights, by other tokens."""
    from counterflow.host.progress import Progress

    path = default_folder(design.description.name) / PROGRESS
    found = Progress.load(path)
    if found is None or device.session.refresh().mark != found.mark:
        return
    raise_if_under_way(device, design, found, path)


def raise_if_under_way(device: Device, design: Plan, found: Progress, path: Path) -> None:
    """ValueError where the training that `found` tells of has tokens to come."""
    from counterflow.host.device import WORD

    done = (device.rest().tokens - found.base) % WORD
    if found.tokens and done < found.tokens:
        raise ValueError(
            f"the board is in a training ({done:,} of {found.tokens:,} tokens, {path}); go on with "
            "it first, or remove that file to give it up"
        )


@host.command()
@common
@click.option("-o", "--out", type=options.NEW_FILE, required=True, help="The checkpoint's file.")
def checkpoint(out: Path, as_json: bool, quiet: bool, **where: Any) -> None:
    """Save the state of a board whose training has ended.

    For one that is under way, `host train --checkpoint` writes a checkpoint at each epoch's end,
    where the chain is empty.
    """
    from counterflow.host.progress import Progress
    from golden import checkpoint as checkpoints
    from golden.models import settings_in

    display = Display(as_json=as_json, quiet=quiet)
    design, device = _opened(**where)
    with device:
        path = default_folder(design.description.name) / PROGRESS
        found = Progress.load(path)
        if found is None or device.session.refresh().mark != found.mark:
            raise ValueError(
                f"{path}: tells of no training of this board, so that its epoch and seed are not "
                "known; let `counterflow host train --checkpoint` write checkpoints"
            )
        raise_if_under_way(device, design, found, path)
        states = device.read_back()
        settings = settings_in(design.description.recipe, found.epochs - 1)
        state = checkpoints.Checkpoint(found.network, found.epochs, found.seed, settings, states)
        checkpoints.save(out, state)
    display.files([out])
    display.result({"file": str(out), "epoch": found.epochs})


@host.command()
@common
@click.argument("file", type=options.FILE)
def restore(file: Path, as_json: bool, quiet: bool, **where: Any) -> None:
    """Load the weights of a checkpoint into the board, to evaluate it.

    To train on from there, give the checkpoint to `host train --resume`.
    """
    from golden import checkpoint as checkpoints

    display = Display(as_json=as_json, quiet=quiet)
    design, device = _opened(**where)
    with device:
        state = checkpoints.load(file, design.description, design.schedule)
        _idle(device, design)
        device.session.mark(0)
        device.empty()
        device.set(state.settings)
        device.load(state.states)
    display.show(f"{file}: {state.epoch} epochs, now on the board.")
    display.result({"file": str(file), "epoch": state.epoch})


@host.command()
@common
@click.option(
    "--every", type=click.FloatRange(min=0.05), default=1.0, show_default=True, help="Seconds."
)
@click.option("--times", type=options.COUNT, help="Stop after so many lines [default: Ctrl-C].")
def monitor(every: float, times: int | None, as_json: bool, quiet: bool, **where: Any) -> None:
    """Show what the board counts, line by line; it changes nothing.

    A port belongs to one program at a time: a training that runs shows its own progress.
    """
    display = Display(as_json=as_json, quiet=quiet)
    _, device = _opened(**where)
    with device:
        lines = 0
        while times is None or lines < times:
            now = device.counters()
            stalls, clipped = sum(now.stalls), sum(now.saturations)
            display.show(
                f"{now.tokens:>12,} tokens {now.cycles:>14,} cycles {stalls:>12,} stalls "
                f"{clipped:>10,} saturations {now.bad_samples + now.bad_labels:>4} dropped"
            )
            display.result(asdict(now))
            lines += 1
            if lines != times:
                time.sleep(every)
