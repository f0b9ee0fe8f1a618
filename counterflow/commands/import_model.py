"""`counterflow import`: a network of somebody else as a description and weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import brought, options, outcome, places
from counterflow.commands.display import Display, percent

if TYPE_CHECKING:
    from counterflow.exchange.imported.columns import Columns
    from counterflow.exchange.imported.network import Imported, Trial

LOSSES, TARGETS = ("softmax", "mse", "bce"), ("label", "input", "data")  # of descriptions
COLUMNS = ("raw", "standard", "scaled")  # of `counterflow.exchange.imported.columns`
LONGEST = 40  # characters of a network's name


@click.command("import")
@click.argument("model", type=options.FILE)
@click.option("--name", help="Name of the network [default: that of the file].")
@click.option(
    "--dataset",
    "dataset_name",
    help="Data set to train on: its samples choose formats, and tell what rounding costs.",
)
@click.option(
    "--loss",
    type=click.Choice(LOSSES),
    default="softmax",
    help="What it is to learn from then on: classes, numbers, or chances.",
)
@click.option(
    "--targets",
    type=click.Choice(TARGETS),
    help="What its outputs shall be, as in a description: input for an autoencoder.",
)
@brought.data
@click.option(
    "--columns",
    type=click.Choice(COLUMNS),
    default="raw",
    show_default=True,
    help="What MODEL takes of a table: its columns as they stand in the file, these with mean 0 "
    "and deviation 1, or as a network here gets them, 0..1.",
)
@click.option(
    "-o",
    "--out",
    type=options.NEW_FOLDER,
    help="Folder for NAME.toml, NAME.safetensors, NAME.json [default: build/NAME].",
)
@options.display
def import_model(
    model: Path,
    name: str | None,
    dataset_name: str | None,
    loss: str,
    targets: str | None,
    data: Path | None,
    label: str | None,
    columns: Columns,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a description and weights of MODEL, an ONNX file.

    Weights get formats that hold them. Activations get formats that hold what 500 training samples
    of the data set make of them; without one, room for 64. Where MODEL has an operator that no
    layer of a description is, the first one is named.

    \b
    Examples:
        counterflow import model.onnx -o mine
        counterflow import model.onnx --dataset mnist -o mine
        counterflow import model.onnx --data flowers.csv --columns standard -o mine
        counterflow import autoencoder.onnx --dataset digits --loss mse --targets input -o mine
        counterflow train mine/model.toml --weights mine/model.safetensors
    """
    from counterflow.design.data.places import place_from
    from counterflow.exchange.files import write_values
    from counterflow.exchange.imported.network import Learnt, read_pieces
    from counterflow.exchange.imported.source import read

    if columns != "raw" and dataset_name is None and data is None:
        raise click.UsageError("--columns is about samples; bring some with --data or --dataset.")
    display = Display(as_json=as_json, quiet=quiet)
    called = name or named(model)
    pieces = replace(read_pieces(read(model)), learnt=Learnt(loss, targets, label))
    folder = out or places.default(Path("build") / called)
    own = "synthetic" if data is None else place_from(folder, data)
    imported = pieces.imported(called, dataset_name or own)
    dataset = trial = None
    if dataset_name is not None or data is not None:
        from counterflow.exchange.imported.columns import of_columns
        from counterflow.exchange.imported.trial import calibrated, tried

        dataset = brought.dataset_for(display, "", imported.description, data, label)
        pieces = of_columns(pieces, imported.description, dataset, columns)
        imported = calibrated(pieces, imported, dataset)
        trial = tried(pieces, imported, dataset)
    with outcome.into(folder, called) as made:
        write_values(made.path(".safetensors"), imported.weights)
        kept = made.keep(facts(imported, trial), imported.description, dataset=dataset)
    display.show("\n".join(lines(imported, trial)))
    display.files(kept.files)
    display.result(kept.result)


def facts(imported: Imported, trial: Trial | None) -> dict[str, object]:
    """What was made, for scripts."""
    return {
        "parameters": imported.description.parameters,
        "notes": list(imported.notes),
        "test_samples": None if trial is None else trial.samples,
        **_shares(trial, "accuracy", judged=True),
        **_shares(trial, "explained", judged=False),
    }


def _shares(trial: Trial | None, name: str, *, judged: bool) -> dict[str, float | None]:
    """Those of a trial, if this is what they are of."""
    if trial is None or trial.judged is not judged:
        return {f"{name}_float": None, name: None}
    return {f"{name}_float": trial.floats, name: trial.integers}


def named(model: Path) -> str:
    """A name that a description may have, of that of a file."""
    found = re.sub(r"[^a-z0-9]+", "-", model.stem.lower()).strip("-")
    return (found if found[:1].isalpha() else f"net-{found}".strip("-"))[:LONGEST]


def lines(imported: Imported, trial: Trial | None) -> list[str]:
    """What was made, for people."""
    description = imported.description
    formats = [unit.outputs[0].x for unit in description.graph.units if unit.outputs]
    wide = sorted({str(one) for one in formats})
    found = [
        f"{description.name}: {description.parameters:,} parameters in {len(description.weighted)} "
        f"layers with weights; activations in {', '.join(wide)}.",
        *(f"{note}." for note in imported.notes),
    ]
    if trial is not None:
        what = "right" if trial.judged else "of the targets' variance explained (R2)"
        found.append(
            f"{trial.samples:,} test samples, no training: {percent(trial.integers, 2)} {what} in "
            f"integers, {percent(trial.floats, 2)} in floats."
        )
    return found
