"""What a method brings back of what plain pipelining loses, as far as the seeds can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterflow.golden.training.compare import Row
    from counterflow.golden.training.paired import Estimate


def row_json(row: Row) -> dict[str, object]:
    """Accuracies of one method, or shares of the variance explained, one for each seed."""
    name = "explained" if row.explained else "accuracies"
    return {"mean": row.mean, "sd": row.sd, name: list(row.accuracies)}


def against_json(rows: Sequence[Row], row: Row) -> dict[str, object]:
    """What `row` has gained over plain pipelining, and its share of what sequential training has.

    Each with ``n``, ``mean`` and ``interval``; the share is None where that is no more than noise.
    """
    from counterflow.golden.training.paired import gain

    share = recovered(rows, row)
    return {
        "gain": gain(row.accuracies, _plain(rows).accuracies).to_json(),
        "recovered": None if share is None else share.to_json(),
    }


def recovered(rows: Sequence[Row], row: Row) -> Estimate | None:
    """Share of what plain pipelining loses that `row` brings back; None within noise."""
    from counterflow.golden.training.paired import share

    best = next(one for one in rows if one.method.way == "sequential")
    return share(row.accuracies, _plain(rows).accuracies, best.accuracies)


def _plain(rows: Sequence[Row]) -> Row:
    ways = {(one.method.way, one.method.mitigation): one for one in rows}
    return ways[("pipelined", "none")]


def said(share: Estimate | None) -> str:
    """75 % (52 to 98); a dash within noise."""
    if share is None or share.interval is None:
        return "–"
    return interval(share.mean, share.interval, unit=" %")


def interval(mean: float, ends: Sequence[float] | None, *, unit: str = "", places: int = 0) -> str:
    """A mean with the ends of its interval, if there is one, all in hundredths."""
    text = f"{100 * mean:.{places}f}{unit}"
    if ends is None:
        return text
    low, high = (f"{100 * end:.{places}f}" for end in ends)
    return f"{text} ({low} to {high})"
