"""`counterflow compare --interlocking`: horizons of one network, what they cost and learn."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from counterflow.commands.display import percent, table
from counterflow.commands.horizons import horizon_json, label
from counterflow.commands.recovered import against_json, recovered, row_json, said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from counterflow.design.schedule.planner import Plan
    from counterflow.golden.training.compare import Numbers, Row

MOST = 4  # heads of which each has its accuracy in the table; all are in JSON


def comparison_json(
    plans: Mapping[int, Plan], found: Mapping[int, Mapping[Numbers, Sequence[Row]]]
) -> dict[str, object]:
    """Costs of each horizon; accuracies of every method, at the end and by head, by seed.

    ``found``: rows of each horizon in each kind of numbers.
    """
    return {
        "horizons": [
            {
                "interlocking": sees,
                **horizon_json(design),
                "methods": [
                    {"model": numbers, **asdict(row.method), **row_json(row)}
                    | against_json(rows, row)
                    | {"heads": [{"component": at, **row_json(one)} for at, one in _heads(row)]}
                    for numbers, rows in found[sees].items()
                    for row in rows
                ],
            }
            for sees, design in plans.items()
        ]
    }


def _heads(row: Row) -> list[tuple[int, Row]]:
    """What is behind inner components, by their numbers."""
    return sorted(row.heads.items())


def accuracy_table(
    plans: Mapping[int, Plan], found: Mapping[int, Sequence[Row]], title: str
) -> Table:
    """Mean and spread at the end, and the mean behind each inner component that has a head."""
    rows = table("losses seen", "method", "mean", "sd", "recovered", "by head, %", title=title)
    for sees, design in plans.items():
        for row in found[sees]:
            rows.add_row(
                label(sees, design),
                str(row.method),
                percent(row.mean, 2),
                f"{100 * row.sd:.2f}",
                said(recovered(found[sees], row)) if row.method.mitigation != "none" else "",
                _in_short([f"{100 * one.mean:.1f}" for _, one in _heads(row)]),
            )
    return rows


def _in_short(several: list[str]) -> str:
    """All of a few, the ends of many."""
    return " ".join(several if len(several) <= MOST else [*several[:2], "…", *several[-2:]])
