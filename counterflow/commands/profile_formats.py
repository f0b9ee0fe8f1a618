"""`counterflow profile`: ranges, saturation and rounding by layer and role; formats that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import brought, numerals, options, outcome, places
from counterflow.commands.display import Display
from counterflow.commands.profile_report import learnt_table, profile_json, ranges_table, reasons
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from counterflow.commands.display import OnProgress
    from counterflow.design.choice.apply import Proposal
    from counterflow.design.choice.homes import Home
    from counterflow.design.choice.propose import Choice
    from counterflow.design.choice.tally import Tally
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description
    from counterflow.golden.profiling.run import Profile
    from counterflow.golden.training.epochs import TrainingResult

SAMPLES = 1000  # an epoch, unless told otherwise


@click.command()
@options.network
@click.option("--epochs", type=numerals.EPOCHS, help="Epochs to train [default: the recipe's].")
@click.option(
    "--samples", type=numerals.SAMPLES, default=SAMPLES, show_default=True, help="Samples an epoch."
)
@click.option("--write", type=options.NEW_FILE, help="Write the description with the formats here.")
@options.dataset
@brought.data
@options.seed
@options.output(
    folder="Folder for profile.json, profile.png and descriptions [default: build/NET]."
)
def profile(
    net: str,
    epochs: int | None,
    samples: int,
    write: Path | None,
    dataset_name: str | None,
    data: Path | None,
    label: str | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Measure what NET's numbers need, and propose formats.

    NET is trained in float64 and in integers, as `counterflow train` does, and the beginning of
    every epoch is watched: the range of the values of each layer and role, which share of them
    saturates, which share of them and of the updates is rounded to zero. From the ranges follow
    formats, with which NET is trained once more.

    \b
    Examples:
        counterflow profile digits
        counterflow profile digits --write digits-profiled.toml
        counterflow profile mine.toml --data flowers.csv --label species --epochs 5
    """
    from counterflow.design.network.files import load, write_atomically

    options.check_apart(write)
    display = Display(as_json=as_json, quiet=quiet)
    description = options.with_dataset(load(net), dataset_name)
    if description.recipe.float_only:
        raise ValueError(description.recipe.float_only)
    renamed = dataset_name is not None
    dataset = brought.dataset_for(display, net, description, data, label, renamed=renamed)
    with outcome.into(out or places.default(default_folder(description.name)), "profile") as made:
        profiled = measured(
            display, description, dataset, seed=seed, epochs=epochs, samples=samples
        )
        found, proposal = profiled.found, profiled.proposal
        with display.progress("Formats proposed") as on_progress:
            again = _trained(proposal.description, dataset, seed, epochs, samples, on_progress)
        _draw(made.path(".png"), description, found, proposal)
        answer = profile_json(description, found, proposal, again)
        kept = made.keep(answer, description, seed=seed, dataset=dataset)
    if write is not None:
        write_atomically(write, written(proposal.description, net, write, renamed=renamed))
    display.show(ranges_table(description, found, proposal), reasons(proposal))
    display.show(learnt_table(description, found, proposal, again))
    display.warn(kept.result["warning"])
    display.files([*([] if write is None else [write]), *kept.files])
    display.result(kept.result)


@dataclass(frozen=True)
class Profiled:
    """What was counted in both models, and the formats that follow."""

    found: Profile
    proposal: Proposal

    @property
    def integers(self) -> Mapping[Home, Tally]:
        """What was counted in the integer model, by layer and role."""
        return self.found.integers

    @property
    def floats(self) -> Mapping[Home, Tally]:
        """What was counted in float64, by layer and role."""
        return self.found.floats

    @property
    def choices(self) -> Sequence[Choice]:
        """The format proposed for each layer and role, and why."""
        return self.proposal.choices

    @property
    def description(self) -> Description:
        """The network with these formats."""
        return self.proposal.description


def measured(
    display: Display,
    description: Description,
    dataset: Dataset,
    *,
    seed: int | None,
    epochs: int | None,
    samples: int,
) -> Profiled:
    """Train in both models and count."""
    from counterflow.design.choice.apply import applied
    from counterflow.design.choice.propose import choices
    from counterflow.design.schedule.planner import plan
    from counterflow.golden.profiling.run import profile as counted

    with display.progress("Float64 and integers") as on_progress:
        found = counted(
            description,
            plan(description).schedule,
            dataset,
            seed=seed,
            epochs=epochs,
            limit=samples,
            on_progress=on_progress,
        )
    proposal = applied(description, choices(description, found.floats))
    made = proposal.description.found_in(description.beside)  # its data are where they were
    return Profiled(found, replace(proposal, description=made))


def _trained(
    description: Description,
    dataset: Dataset,
    seed: int | None,
    epochs: int | None,
    samples: int,
    on_progress: OnProgress,
) -> TrainingResult:
    """The training with other formats, watched by nobody."""
    from counterflow.design.schedule.planner import plan
    from counterflow.golden.training.epochs import train

    return train(
        description,
        plan(description).schedule,
        dataset,
        seed=seed,
        epochs=epochs,
        limit=samples,
        on_progress=on_progress,
    )


def _draw(path: Path, description: Description, found: Profile, proposal: Proposal) -> None:
    from counterflow.profile_figure import ranges

    formats = {one.home: one.format for one in proposal.choices if one.changes}
    ranges(path, description, found.integers, found.floats, formats)


def written(description: Description, net: str, path: Path, *, renamed: bool) -> str:
    """The TOML text for the file `path`, in which a path of data is one from there."""
    from counterflow.design.data.places import with_data
    from counterflow.design.data.training import MADE
    from counterflow.design.network.files import folder_of, to_toml

    folder = None if renamed or description.dataset in MADE else folder_of(net)
    if folder is not None and (folder / description.dataset).exists():
        description = with_data(description, path.parent, folder / description.dataset)
    return to_toml(description)
