"""`counterflow train`: the golden model, which predicts the hardware bit for bit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import brought, frozen, numerals, options, outcome, places
from counterflow.commands.display import Display, percent, spark, table
from counterflow.commands.fit import folded
from counterflow.commands.measures import columns, measures_json
from counterflow.commands.pretrained import Begun, tried
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from counterflow.commands.outcome import Kept, Outcome
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description
    from counterflow.golden.training.epochs import Epoch, Head, TrainingResult
    from counterflow.golden.training.measures import Roc
    from counterflow.golden.units.state import State

SCHEMES = ("pipelined", "sequential", "fill-and-drain")
MITIGATIONS = ("none", "lwpv", "lwpw", "sc", "lwpv+sc", "lwpw+sc", "stash")


@click.command()
@options.network
@click.option(
    "--epochs", type=numerals.EPOCHS, help="Train until so many are done [default: the recipe's]."
)
@click.option("--samples", type=numerals.SAMPLES, help="Samples an epoch [default: all].")
@click.option("--scheme", type=click.Choice(SCHEMES), help="Which tokens make up an epoch.")
@click.option("--batch", type=numerals.BATCH, help="Samples between two drains (fill-and-drain).")
@click.option("--mitigation", type=click.Choice(MITIGATIONS), help="What makes up for staleness.")
@click.option(
    "--model",
    type=click.Choice(["integer", "float"]),
    default="integer",
    show_default=True,
    help="The hardware's integers, or float64 under the same schedule.",
)
@click.option("--checkpoint", type=options.NEW_FILE, help="Write the trained state here.")
@click.option("--resume", type=options.FILE, help="Go on from this checkpoint.")
@brought.other_data
@options.weights
@frozen.option
@options.dataset
@options.target
@brought.data
@options.seed
@options.output(folder="Folder for train.json, train.png, the description [default: build/NET].")
def train(
    net: str,
    epochs: int | None,
    samples: int | None,
    scheme: str | None,
    batch: int | None,
    mitigation: str | None,
    model: str,
    checkpoint: Path | None,
    resume: Path | None,
    other_data: bool,
    weights: Path | None,
    frozen_layers: str | None,
    dataset_name: str | None,
    target_name: str | None,
    data: Path | None,
    label: str | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Train NET with the golden model.

    The options on scheme and mitigation change the recipe. Accuracy and loss (in nats) are those of
    the test samples after the last epoch; of squared errors the root of their mean (RMSE) and the
    share of the targets' variance that is explained (R2), of a class held out how well its losses
    tell it (AUC, the area under the ROC curve). Weights from a file are rounded to the formats of
    NET; how the test samples do with them before any training is told first. Layers that are
    --frozen keep them, and the description that is left behind says so.

    \b
    Examples:
        counterflow train digits
        counterflow train digits --mitigation none --epochs 5 --seed 7
        counterflow train digits --checkpoint half.npz --epochs 10
        counterflow train digits --resume half.npz
        counterflow train lenet5 --dataset fashion-mnist
        counterflow train mine.toml --data flowers.csv --label species
        counterflow train lenet5 --weights pretrained.safetensors
        counterflow train lenet5 --weights pretrained.safetensors --frozen 3
    """
    from counterflow.design.network.files import load

    if model == "float" and (checkpoint or resume):
        raise click.UsageError("a checkpoint holds the integer model; leave out --model float.")
    if weights and (resume or model == "float"):
        other = "--resume has weights already" if resume else "--model float takes no weights"
        raise click.UsageError(f"{other}; leave it out, or --weights.")
    brought.check_other_data(other_data=other_data, resume=resume)
    options.check_apart(checkpoint, but="resume")
    display = Display(as_json=as_json, quiet=quiet)
    network = frozen.with_frozen(options.with_dataset(load(net), dataset_name), frozen_layers)
    description = options.with_recipe(network, scheme=scheme, batch=batch, mitigation=mitigation)
    if target_name is not None:  # delays follow from the fold
        description = folded(description, options.Limits(), target_name)[0].description
    renamed = dataset_name is not None
    dataset = brought.dataset_for(display, net, description, data, label, renamed=renamed)
    begun = None if weights is None else tried(description, dataset, weights, seed)
    if begun is not None:
        display.show("\n".join(begun.lines))
    elif resume is None and (unlearnt := kept_at_random(description)):
        display.note(unlearnt)
    with outcome.into(out or places.default(default_folder(description.name)), "train") as made:
        result = golden_training(
            display,
            description,
            dataset,
            seed,
            epochs,
            samples,
            model=model,
            checkpoint=checkpoint,
            resume=resume,
            other_data=other_data,
            states=None if begun is None else begun.states,
        )
        kept = _keep(made, result, description, dataset, seed, begun)
    display.show(epoch_table(result.epochs, description.name))
    if result.roc is not None:
        display.show(said_of_roc(result.roc, description.held_out))
    if result.linear is not None:
        display.show(f"A linear fit to the same samples: RMSE {result.linear:.4f} of the test.")
    display.warn(kept.result["warning"])
    if result.epochs[-1].heads:
        last = result.epochs[-1]
        display.show(head_table(last.heads, last.test_loss, last.test_accuracy))
    display.files([*([] if checkpoint is None else [checkpoint]), *kept.files])
    display.result(kept.result)


def golden_training(
    display: Display,
    description: Description,
    dataset: Dataset,
    seed: int | None,
    epochs: int | None = None,
    samples: int | None = None,
    *,
    model: str = "integer",
    checkpoint: Path | None = None,
    resume: Path | None = None,
    other_data: bool = False,
    states: list[State] | None = None,
) -> TrainingResult:
    """A whole training with a progress bar; `checkpoint` is written after every epoch."""
    from counterflow.design.schedule.planner import plan

    schedule = plan(description).schedule  # before what takes long to import
    from counterflow.golden.training import checkpoint as checkpoints
    from counterflow.golden.training.epochs import train as run

    def keep(epoch: Epoch, state: checkpoints.Checkpoint | None) -> None:
        if checkpoint is not None and state is not None:
            checkpoints.save(checkpoint, state)

    before = None
    if resume is not None:
        before = checkpoints.load(resume, description, schedule, other_data=other_data)
        dataset = brought.going_on(display, before, dataset, other_data=other_data)
    with display.progress("Golden model") as on_progress:
        return run(
            description,
            schedule,
            dataset,
            seed=seed,
            epochs=epochs,
            limit=samples,
            model="float" if model == "float" else "integer",
            resume=before,
            other_data=other_data,
            states=states,
            on_progress=on_progress,
            on_epoch=keep,
        )


def train_json(result: TrainingResult) -> dict[str, object]:
    """The keys that `counterflow train --json` promises, and every epoch."""
    from counterflow.golden.training.moved import diverged, standing

    last = result.epochs[-1]
    return {
        **measures_json(last),
        "loss": last.test_loss,
        "samples": sum(one.samples for one in result.epochs),
        "samples_per_second": result.samples_per_second,
        "moved": dict(result.moved),
        "warning": diverged([one.loss for one in result.epochs]) or standing(result.moved),
        "epochs": [asdict(one) for one in result.epochs],
        **({} if result.roc is None else {"held_out": result.roc.to_json()}),
        **({} if result.linear is None else {"rmse_linear": result.linear}),
    }


def epoch_table(epochs: Sequence[Epoch], name: str) -> Table:
    """Loss and what it says by epoch, with loss and accuracy as curves of text on top."""
    title = f"{name}: loss {spark([one.loss for one in epochs])}"
    accuracies = [one.accuracy for one in epochs if one.accuracy is not None]
    if accuracies:
        title += f" accuracy {spark(accuracies)}"
    more = columns(epochs)
    trained, tested = ([name for name in more if end in name] for end in ("train", "test"))
    rows = table("epoch", "loss, train", *trained, "loss, test", *tested, title=title)
    for at, one in enumerate(epochs):
        rows.add_row(
            f"{one.epoch + 1}",
            f"{one.loss:.4f}",
            *(more[name][at] for name in trained),
            "–" if one.test_loss is None else f"{one.test_loss:.4f}",
            *(more[name][at] for name in tested),
        )
    return rows


def kept_at_random(description: Description) -> str | None:
    """What is frozen in a training that begins with no weights of a file, if anything is."""
    names = ", ".join(unit.name for unit in description.weighted if unit.frozen)
    said = f"Frozen with random weights: {names}, as neither --weights nor --resume brings others."
    return said if names else None


def said_of_roc(found: Roc, held_out: int | None) -> str:
    """How well a class that was held out is told."""
    return (
        f"Class {held_out}, held out: AUC {found.auc:.4f} of {found.strange:,} samples of it "
        f"against {found.usual:,} test samples of the others, by their losses."
    )


def head_table(heads: Sequence[Head], loss: float | None, accuracy: float | None) -> Table:
    """What each head says of the test samples after the last epoch: accuracy by depth.

    Behind the last component `loss` and `accuracy` are those of the network.
    """
    rows = table("scores behind component", "loss, test", "accuracy, test", title="By depth")
    for head in heads:
        rows.add_row(str(head.component), f"{head.loss:.4f}", percent(head.accuracy, 2))
    rows.add_row("the last", "–" if loss is None else f"{loss:.4f}", percent(accuracy, 2))
    return rows


def _keep(
    made: Outcome,
    result: TrainingResult,
    description: Description,
    dataset: Dataset,
    seed: int | None,
    begun: Begun | None,
) -> Kept:
    from counterflow import figures
    from counterflow.design.network.ends import LOSSES

    if result.checkpoint is not None:  # a resumed training keeps the seed it began with
        seed = result.checkpoint.seed
    unit = LOSSES[description.loss].unit_of
    figures.learning_curve(made.path(".png"), result.epochs, title=description.name, unit=unit)
    if result.roc is not None:
        figures.roc_curve(made.path("-roc.png"), result.roc, title=description.name)
    content = train_json(result) | ({} if begun is None else {"weights": begun.facts})
    return made.keep(content, description, seed=seed, dataset=dataset)
