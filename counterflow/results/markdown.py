"""Pieces of Markdown: tables, numbers, and what is said where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from counterflow.results.accuracy import Summary
from counterflow.results.records import Record

MISSING = "not measured"
OLD = " †"
END = "<!-- end -->"


def between(text: str, begin: str, fresh: str) -> str:
    """`text` with `fresh` between each mark `begin` and the next `END`; ValueError without any."""
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.DOTALL)
    if not marked.search(text):
        raise ValueError(f"there is no line {begin!r} that says where the table goes")
    return marked.sub(lambda _match: f"{begin}\n{fresh}\n{END}", text)


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
