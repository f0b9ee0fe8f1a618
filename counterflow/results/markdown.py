"""Pieces of Markdown: tables, numbers, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from counterflow.results.accuracy import Summary
from counterflow.results.records import Record

MISSING = "not measured"
OLD = " †"


def grid(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first row is the head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mark(one: Record | Summary | None, text: str) -> str:
    """`text` with the mark of what is outdated."""
    return text + OLD if one is not None and one.outdated else text


def cell(one: Record | None, value: Callable[[Record], str | None]) -> str:
    """A value of `one` as text; MISSING where there is none."""
    text = None if one is None else value(one)
    return MISSING if text is None else mark(one, text)


def share(value: float | None, places: int = 2) -> str | None:
    """0.98765 as "98.77 %"."""
    return None if value is None else f"{100 * value:.{places}f} %"


def number(value: float | None) -> str | None:
    """With commas between thousands."""
    return None if value is None else f"{value:,.0f}"
