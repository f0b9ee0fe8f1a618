"""The data that a command trains on: NET's own, or what the user brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands.options import Command, given

if TYPE_CHECKING:
    from rich.text import Text

    from counterflow.commands.display import Display
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description
    from counterflow.design.network.reading import Reading
    from counterflow.golden.training.checkpoint import Checkpoint, TrainedOn

PATH = click.Path(path_type=Path)
label = click.option(
    "--label",
    metavar="COLUMNS",
    help="Column of the labels in a table: its name or number, first or last; of targets to be "
    "learnt several, as in price,rent.",
)
other_data = click.option(
    "--other-data",
    is_flag=True,
    help="Let --resume go on with other data, scaled as those of the checkpoint.",
)


def data(command: Command) -> Command:
    """--data and --label."""
    text = "Data of yours to train on, a file or a folder: see docs/your-data.md."
    return click.option("--data", type=PATH, help=text)(label(command))


def dataset_for(
    display: Display,
    net: str,
    description: Description,
    path: Path | None = None,
    column: str | None = None,
    *,
    renamed: bool = False,
) -> Dataset:
    """The data to train `description` on, which was read from `net`; says what they are.

    ``path`` and ``column`` are those of --data and --label; ``renamed``: the name of the data set
    is not from NET's file.  Raises ValueError, one sentence, where there are none that fit.
    """
    from counterflow.design.data.training import training_data
    from counterflow.design.network.files import folder_of

    if path is not None and given("dataset_name"):
        raise click.UsageError(
            "--dataset and --data both name what to train on; leave one of them out."
        )
    found = training_data(
        description,
        path,
        reading=reading_with(description.data, column),
        beside=None if renamed else folder_of(net),
    )
    display.note(lines_of(found))
    return found


def lines_of(dataset: Dataset) -> Text:
    """What a data set is, in lines; names in them may have brackets, which are no markup."""
    from rich.text import Text

    return Text("\n".join((dataset.summary, *dataset.told)))


def check_other_data(*, other_data: bool, resume: Path | None) -> None:
    """UsageError where --other-data is given and nothing goes on."""
    if other_data and resume is None:
        raise click.UsageError(
            "--other-data lets --resume go on with other data; leave it out, or name a "
            "checkpoint with --resume."
        )


def going_on(display: Display, start: Checkpoint, dataset: Dataset, *, other_data: bool) -> Dataset:
    """`dataset` for a training that goes on from `start`; says so if it is scaled otherwise."""
    from counterflow.golden.training import checkpoint

    found = checkpoint.going_on(start, dataset, other_data=other_data)
    return dataset if start.data is None else scaled_as(display, start.data, found)


def scaled_as(display: Display, before: TrainedOn, dataset: Dataset) -> Dataset:
    """`dataset` with the scaling that the weights have learnt with; says so if it had another."""
    from rich.text import Text

    if not before.alike(dataset):
        display.note(Text(f"Scaled as {before}, on which the weights were trained."))
    return before.scaled(dataset)


def reading_with(reading: Reading | None, column: str | None) -> Reading | None:
    """`reading` with another column for the label, if that is given."""
    from counterflow.design.network.reading import Reading

    if column is None:
        return reading
    return (reading or Reading()).model_copy(update={"label": column})
