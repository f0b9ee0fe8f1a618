"""`counterflow host train`: a board over its serial port, from wherever it stands."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from counterflow.commands import brought, numerals, options, outcome, places
from counterflow.commands.display import Display
from counterflow.commands.host_port import PROGRESS, common, opened, tokens_done
from counterflow.commands.host_report import draw, said_of, summary, to_json
from counterflow.commands.pretrained import tried
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from counterflow.design.data.sets import Dataset
    from counterflow.design.schedule.planner import Plan
    from counterflow.golden.training.checkpoint import Checkpoint
    from counterflow.golden.units.state import State
    from counterflow.host.course import Leg
    from counterflow.host.device import Device
    from counterflow.host.outcome import Outcome
    from counterflow.host.progress import Progress
    from counterflow.host.tally import Tally
    from counterflow.host.training import Training


@click.command()
@common
@click.option("--epochs", type=numerals.EPOCHS, help="Train until so many are done [the recipe's].")
@click.option("--samples", type=numerals.SAMPLES, help="Samples an epoch [default: all].")
@click.option(
    "--evaluate",
    type=click.Choice(["each", "last", "none"]),
    default="last",
    show_default=True,
    help="After which epochs the test samples are tried.",
)
@click.option(
    "--verify", type=numerals.SAMPLES, help="Compare all weights with golden every N samples."
)
@click.option(
    "--checkpoint", type=options.NEW_FILE, help="Write the state here at each epoch's end."
)
@click.option("--resume", type=options.FILE, help="Begin with this checkpoint.")
@brought.other_data
@options.weights
@click.option("--progress", type=options.NEW_FILE, help=f"[default: build/NET/{PROGRESS}].")
@click.option("--fresh", is_flag=True, help="Begin anew even if a training is under way.")
@click.option(
    "-o",
    "--out",
    type=options.NEW_FOLDER,
    help="Folder for host.json and host.png [default: build/NET].",
)
@brought.data
@options.seed
def train(
    epochs: int | None,
    samples: int | None,
    evaluate: str,
    verify: int | None,
    checkpoint: Path | None,
    resume: Path | None,
    other_data: bool,
    weights: Path | None,
    progress: Path | None,
    fresh: bool,
    out: Path | None,
    data: Path | None,
    label: str | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    **where: Any,
) -> None:
    """Train the board, as `counterflow train` trains the golden model.

    A training that ended too early, the host killed or the cable pulled, goes on where the board
    stands when the same command is given again: the board counts what it has accepted, and a small
    file remembers what it was, another one what the board has said.

    \b
    Examples:
        counterflow host train tiny --port /dev/pts/3 --verify 50
        counterflow host train digits --port /dev/ttyUSB1 --checkpoint trained.npz
        counterflow host train digits --port /dev/ttyUSB1 --resume trained.npz --epochs 30
        counterflow host train digits --port /dev/ttyUSB1 --weights pretrained.safetensors
    """

    from counterflow.design.schedule.standstill import check_moves
    from counterflow.golden.training.checkpoint import load

    if weights and resume:
        raise click.UsageError("--resume has weights already; leave it out, or --weights.")
    brought.check_other_data(other_data=other_data, resume=resume)
    options.check_apart(checkpoint, but="resume")
    options.check_apart(progress)
    display = Display(as_json=as_json, quiet=quiet)
    design, device = opened(**where, progress=progress)
    with device, ExitStack() as stack:
        dataset = brought.dataset_for(display, where["net"], design.description, data, label)
        usual = default_folder(design.description.name)
        path = progress or places.default(usual) / PROGRESS
        made = stack.enter_context(outcome.into(out or places.default(usual), "host"))
        start = None
        if resume is not None:
            start = load(resume, design.description, design.schedule, other_data=other_data)
            dataset = brought.going_on(display, start, dataset, other_data=other_data)
        else:
            check_moves(design.description, design.schedule)
        asked = _asked(design, dataset, seed, epochs, samples, evaluate, resume, start)
        begun = None if weights is None else tried(design.description, dataset, weights, seed)
        if begun is not None:
            display.show("\n".join(begun.lines))
            asked = replace(asked, weights=str(begun.facts["sha256"]))
        given = begun or start
        states = None if given is None else given.states
        training = _training(design, device, dataset, asked, states, verify or 0)
        before = None if fresh else _under_way(device, path, asked)
        at = training.begin(asked, path) if before is None else training.resume(before)
        if at:
            display.note(
                f"The board has had {at:,} of {training.course.tokens:,} tokens; going on."
            )
        found = _run(display, training, at, asked, checkpoint)
        draw(made, found, design.description.name)
        kept = made.keep(
            to_json(found, device, training),
            design.description,
            seed=asked.seed,
            dataset=dataset,
        )
    summary(display, found, device)
    display.files([*([checkpoint] if checkpoint else []), *kept.files])
    display.result(kept.result)


def _asked(
    design: Plan,
    dataset: Dataset,
    seed: int | None,
    epochs: int | None,
    samples: int | None,
    evaluate: str,
    resume: Path | None,
    start: Checkpoint | None,
) -> Progress:
    """What the user wants trained, from the checkpoint `start` of the file `resume` on."""
    from counterflow.golden.training.checkpoint import TrainedOn
    from counterflow.host.progress import Progress

    description = design.description
    if start and seed not in (None, start.seed):
        raise ValueError(f"the checkpoint was trained with seed {start.seed}, not {seed}")
    first = start.epoch if start else 0
    last = epochs or description.recipe.epochs
    if last <= first:
        raise ValueError(f"epochs is {last}, but must be more than the {first} that are done")
    chosen = start.seed if start else description.recipe.seed if seed is None else seed
    return Progress(
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
        data=asdict(TrainedOn.of(description, dataset)),
    )


def _training(
    design: Plan,
    device: Device,
    dataset: Dataset,
    asked: Progress,
    begun: list[State] | None,
    verify: int,
) -> Training:
    from counterflow.golden.training.start import initial_states
    from counterflow.host.course import course
    from counterflow.host.training import Training

    way = course(
        design.description,
        design.schedule,
        dataset,
        seed=asked.seed,
        epochs=range(asked.first_epoch, asked.epochs),
        limit=asked.limit,
        evaluate=asked.evaluate,
    )
    states = begun or initial_states(design.description, design.schedule, asked.seed)
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
    done = tokens_done(device, found)
    if done is None:
        return None
    if done >= found.tokens:
        raise ValueError(
            f"{path}: the board has ended a training with {other}; --fresh begins anew"
        )
    raise ValueError(
        f"{path}: the board is in a training with {other}; give the options that it began with to "
        "go on, or --fresh to begin anew"
    )


def _run(
    display: Display, training: Training, at: int, asked: Progress, checkpoint: Path | None
) -> Outcome:
    """Train with a bar, the loss beside it, and checkpoints at the ends of epochs."""
    from counterflow.golden.training import checkpoint as checkpoints

    def keep(leg: Leg, states: list[State]) -> None:
        state = checkpoints.Checkpoint(
            asked.network, leg.epoch + 1, asked.seed, leg.settings, states, data=asked.trained_on
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
                    f"epoch {tally.epoch + 1}: {said_of(tally)}, "
                    f"{(done - at) / max(now - began, 1e-9):,.0f} samples/s"
                )
            moved(done, training.course.tokens, text)

        return training.run(at, report=report, on_epoch=keep if checkpoint else None)
