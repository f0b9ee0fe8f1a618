"""`counterflow import`: a network of somebody else as a description and weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import options, places
from counterflow.commands.display import Display, percent

if TYPE_CHECKING:
    from counterflow.exchange.imported.network import Imported
    from counterflow.exchange.imported.trial import Trial

LONGEST = 40  # characters of a network's name


@click.command("import")
@click.argument("model", type=options.FILE)
@click.option("--name", help="Name of the network [default: that of the file].")
@click.option(
    "--dataset",
    "dataset_name",
    help="Data set to train on: its samples choose formats, and tell what rounding costs.",
)
@options.data
@click.option(
    "-o", "--out", type=options.NEW_FOLDER, help="Folder for NAME.toml and NAME.safetensors."
)
@options.display
def import_model(
    model: Path,
    name: str | None,
    dataset_name: str | None,
    data: Path | None,
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
        counterflow train mine/model.toml --weights mine/model.safetensors
    """
    from counterflow.exchange.imported.network import read_pieces
    from counterflow.exchange.imported.source import read

    display = Display(as_json=as_json, quiet=quiet)
    if data is not None and dataset_name is None:
        raise click.UsageError("--data is the folder of a data set; name it with --dataset.")
    called = name or named(model)
    folder = out or places.default(Path("build") / called)
    pieces = read_pieces(read(model))
    trial = None
    if dataset_name is None:
        imported = pieces.imported(called, "synthetic")
    else:
        from counterflow.design.data.training import training_data
        from counterflow.exchange.imported.trial import calibrated, tried

        first = pieces.imported(called, dataset_name)
        dataset = training_data(first.description, data)
        imported = calibrated(pieces, called, dataset)
        trial = tried(pieces, imported, dataset)
    files = imported.write(folder)
    display.show("\n".join(lines(imported, trial)))
    display.files(files)
    display.result(
        {
            "network": imported.description.name,
            "description_hash": imported.description.hash(),
            "parameters": imported.description.parameters,
            "notes": list(imported.notes),
            "test_samples": None if trial is None else trial.samples,
            "accuracy_float": None if trial is None else trial.floats,
            "accuracy": None if trial is None else trial.integers,
            "files": [str(file) for file in files],
        }
    )


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
        found.append(
            f"{trial.samples:,} test samples, no training: {percent(trial.integers, 2)} right in "
            f"integers, {percent(trial.floats, 2)} in floats."
        )
    return found
