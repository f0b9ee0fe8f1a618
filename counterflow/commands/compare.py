"""`counterflow compare`: what stale weights cost and what mitigation brings back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import brought, numerals, options, outcome, places
from counterflow.commands.compare_horizons import accuracy_table, comparison_json
from counterflow.commands.display import Display, percent, table
from counterflow.commands.horizons import horizons_table, under
from counterflow.commands.recovered import against_json, recovered, row_json, said
from counterflow.commands.verilog import default_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from counterflow.design.network.description import Description
    from counterflow.golden.training.compare import Numbers, Row

MODELS: dict[str, tuple[Numbers, ...]] = {
    "integer": ("integer",),
    "float": ("float",),
    "both": ("integer", "float"),
}
NUMBERS: dict[Numbers, str] = {"integer": "integers", "float": "float64"}
NAMES = {
    ("sequential", "none"): "sequential, no delay",
    ("pipelined", "none"): "pipelined, plain",
    ("pipelined", "lwpv"): "pipelined, lwpv",
    ("pipelined", "sc"): "pipelined, sc",
    ("pipelined", "lwpv+sc"): "pipelined, lwpv+sc",
    ("hybrid", "none"): "pipelined, then sequential",
}


@click.command()
@options.network
@click.option(
    "--seeds", type=numerals.SEEDS, default=5, show_default=True, help="Seeds, counted from --seed."
)
@click.option("--epochs", type=numerals.EPOCHS, help="Epochs to train [default: the recipe's].")
@click.option("--samples", type=numerals.SAMPLES, help="Samples an epoch [default: all].")
@click.option(
    "--model",
    type=click.Choice(["integer", "float", "both"]),
    default="integer",
    show_default=True,
    help="The hardware's integers, float64 under the same schedule, or one beside the other.",
)
@click.option(
    "--hybrid",
    type=numerals.SAMPLES,
    help="Also train pipelined for so many samples, then sequentially [default: the recipe's].",
)
@click.option(
    "--placement",
    callback=options.numbers("layers"),
    metavar="LAYERS",
    help="Pipeline registers only behind these layers with weights, as in 2,4 (with --model float) "
    "[default: the recipe's].",
)
@options.interlocking
@brought.data
@options.seed
@options.output(folder="Folder for compare.json and the description [default: build/NET].")
def compare(
    net: str,
    seeds: int,
    epochs: int | None,
    samples: int | None,
    model: str,
    hybrid: int | None,
    placement: tuple[int, ...] | None,
    horizons: tuple[int, ...] | None,
    data: Path | None,
    label: str | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    out: Path | None,
) -> None:
    """Train NET with and without what makes up for stale weights.

    Each seed gives every method the same initial weights and the same order of samples. "Recovered"
    is the share of what plain pipelining loses against sequential training that a mitigation brings
    back, with the interval that holds it in 95 of 100 cases; a dash where chance may be all that is
    lost, as of a single seed. The deeper the network and the higher its momentum, the more there is
    to lose.

    Of squared errors the share of the targets' variance that is explained (R2) takes the place of
    accuracy.

    With --interlocking, horizons of a network that is cut into components are trained side by side:
    sequentially, pipelined, and pipelined with prediction and compensation.

    \b
    Examples:
        counterflow compare deep-digits
        counterflow compare digits --seeds 3 --epochs 5 --hybrid 4000
        counterflow compare deep-digits --model float --placement 4,8
        counterflow compare digits-resnet --model both --seeds 10
        counterflow compare deep-digits-local --interlocking 1,4
    """
    from counterflow.design.network.files import load
    from counterflow.design.schedule.planner import plan
    from counterflow.design.schedule.standstill import check_moves

    display = Display(as_json=as_json, quiet=quiet)
    description = options.with_recipe(load(net), placement=placement)
    if model != "float" and description.recipe.float_only:
        raise ValueError(description.recipe.float_only)
    dataset = brought.dataset_for(display, net, description, data, label)
    first = description.recipe.seed if seed is None else seed
    several = under_horizons(description, horizons, hybrid, placement)
    for one in several.values():  # refuses what cannot be, before what takes long to import
        schedule = plan(one).schedule
        if model != "float":
            check_moves(one, schedule)

    def trained(sees: int | None) -> dict[Numbers, list[Row]]:
        """The rows of one of them in each kind of numbers."""
        from counterflow.golden.training import compare as trainings

        after = hybrid or description.recipe.sequential_after
        methods = trainings.methods_with_hybrid(after)
        what = "" if sees is None else f", {sees} losses seen"
        tables: dict[Numbers, list[Row]] = {}
        for numbers in MODELS[model]:
            with display.progress(f"Trainings, {NUMBERS[numbers]}{what}") as on_progress:
                tables[numbers] = trainings.compare_mitigations(
                    several[sees],
                    dataset,
                    seeds=range(first, first + seeds),
                    methods=methods if sees is None else trainings.PLAIN_AND_MITIGATED,
                    epochs=epochs,
                    limit=samples,
                    model=numbers,
                    on_progress=on_progress,
                )
        return tables

    title = _title(description, seeds)
    shown: list[Table] = []
    with outcome.into(out or places.default(default_folder(description.name)), "compare") as made:
        if horizons is None:
            tables = trained(None)
            answer = compare_json(tables)
            for numbers, rows in tables.items():
                shown.append(compare_table(rows, f"{title}, {NUMBERS[numbers]}"))
        else:
            plans = {sees: plan(several[sees]) for sees in horizons}
            found = {sees: trained(sees) for sees in horizons}
            answer = comparison_json(plans, found)
            shown.append(horizons_table(plans, description.name))
            for numbers in MODELS[model]:
                by_horizon = {sees: one[numbers] for sees, one in found.items()}
                shown.append(accuracy_table(plans, by_horizon, f"{title}, {NUMBERS[numbers]}"))
        kept = made.keep(answer, description, seed=first, dataset=dataset)
    display.show(*shown)
    display.files(kept.files)
    display.result(kept.result)


def under_horizons(
    description: Description,
    horizons: tuple[int, ...] | None,
    hybrid: int | None,
    placement: tuple[int, ...] | None,
) -> dict[int | None, Description]:
    """`description` with each of these horizons; itself, under None, where there are none."""
    if horizons is None:
        return {None: description}
    if hybrid is not None or placement is not None:
        raise click.UsageError("--interlocking compares neither --hybrid nor --placement.")
    return dict(under(description, horizons).items())


def _title(description: Description, seeds: int) -> str:
    from counterflow.design.network.grouping import stale_share

    what = "accuracy" if description.judged else "share of the variance explained (R2)"
    title = f"{description.name}: {what} on the test set, {seeds} seeds"
    placement = description.recipe.placement
    if placement is None:
        return title
    share = percent(stale_share(description, placement), 1)
    return f"{title}; registers behind {', '.join(map(str, placement))}, {share} of weights stale"


def compare_json(tables: Mapping[Numbers, Sequence[Row]]) -> dict[str, object]:
    """Accuracies of every method in every kind of numbers, one for each seed; what they tell."""
    return {
        "methods": [
            {
                "model": numbers,
                **asdict(row.method),
                **row_json(row),
                **against_json(rows, row),
            }
            for numbers, rows in tables.items()
            for row in rows
        ]
    }


def compare_table(rows: Sequence[Row], title: str) -> Table:
    """Mean, spread and every seed's accuracy."""
    made = table("method", "mean", "sd", "recovered", "each seed, %", title=title)
    for row in rows:
        key = (row.method.way, row.method.mitigation)
        mitigated = row.method.way == "hybrid" or row.method.mitigation != "none"
        made.add_row(
            NAMES.get(key, str(row.method)),
            percent(row.mean, 2),
            f"{100 * row.sd:.2f}",
            said(recovered(rows, row)) if mitigated else "",
            " ".join(f"{100 * one:.1f}" for one in row.accuracies),
        )
    return made
