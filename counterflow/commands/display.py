"""What a command shows: results on standard output, progress on standard error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import options
from counterflow.design.parts.telling import telling

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID
    from rich.table import Table

OnProgress = Callable[[int, int], None]
OnText = Callable[[int, int, str], None]
OnStage = Callable[[str, str], None]

_BARS = "▁▂▃▄▅▆▇█"


class Bar:
    """A bar that is moved by calling it with (done, total); `say` puts a line above it."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def __call__(self, done: int, total: int) -> None:
        self._bars.update(self._task, completed=done, total=total)

    def say(self, text: str) -> None:
        """What happens while nothing is counted."""
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


class Display:
    """With `as_json` only JSON goes to standard output; with `quiet` nothing else goes anywhere."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def show(self, *what: RenderableType) -> None:
        """Tables and text of the result."""
        _print(self._console(stderr=self.as_json), *what)

    def note(self, what: RenderableType) -> None:
        """What happens now, or why there is no result; never part of one."""
        _print(self._console(stderr=True), what)

    def warn(self, what: str | None) -> None:
        """What is amiss with a result, on standard error even if nothing else is wanted there."""
        if what is not None:
            click.echo(f"Warning: {what}", err=True)

    def result(self, content: Mapping[str, object]) -> None:
        """The result for scripts, which says what made it even where no network did."""
        if self.as_json:
            from counterflow.design.network.provenance import as_json, origin

            made = {} if "provenance" in content else {"provenance": origin(options.command_line())}
            click.echo(as_json({**content, **made}), nl=False)

    def files(self, files: Sequence[Path]) -> None:
        """Where the files are."""
        from rich.text import Text

        if files:  # whose names may have brackets, which are no markup
            self.show(Text("Files: " + ", ".join(str(file) for file in files)))

    @contextmanager
    def progress(self, label: str, *, in_bytes: bool = False) -> Iterator[Bar]:
        """A bar with the time left, above which stands what is told meanwhile."""
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn() if in_bytes else MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console(stderr=True), disable=self.quiet) as bars:
            bar = Bar(bars, bars.add_task(label, total=None))
            with telling(bar.say):
                yield bar

    @contextmanager
    def live(self, label: str) -> Iterator[OnText]:
        """As `progress`, called with (done, total, a line that tells how it goes)."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            TextColumn("{task.percentage:.0f} %, left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        with Progress(*columns, console=self._console(stderr=True), disable=self.quiet) as bar:
            task = bar.add_task(label, total=None, text="")
            yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)

    @contextmanager
    def stages(self) -> Iterator[OnStage]:
        """A line for each stage of a long job with the time it took; called with (name, detail)."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
        )
        with Progress(*columns, console=self._console(stderr=True), disable=self.quiet) as lines:
            tasks: dict[str, TaskID] = {}

            def show(name: str, detail: str) -> None:
                if name not in tasks:
                    for task in tasks.values():
                        lines.update(task, completed=1, detail="")
                    tasks[name] = lines.add_task(name, total=1, detail=detail)
                elif detail:
                    lines.update(tasks[name], detail=detail)

            yield show
            for task in tasks.values():
                lines.update(task, completed=1, detail="")

    def _console(self, *, stderr: bool) -> Console:
        from rich.console import Console

        class Plain(Console):
            """A console that leaves it to the command line what the end of a pipe means."""

            def on_broken_pipe(self) -> None:
                raise BrokenPipeError

        return Plain(stderr=stderr, quiet=self.quiet)


def _print(console: Console, *what: RenderableType) -> None:
    """Print all of it: a table that is too wide has its headers broken, and never is cut."""
    from rich.table import Table

    for one in what:
        if isinstance(one, Table):
            if _width(console, one) > console.width:
                for column in one.columns:
                    column.header = str(column.header).replace(" ", "\n")
            console.width = max(console.width, _width(console, one))
    console.print(*what, highlight=False, soft_wrap=True)


def _width(console: Console, one: Table) -> int:
    """Characters that a table takes where it may take as many as it likes."""
    options = console.options.update(max_width=10**6)
    return one.__rich_measure__(console, options).maximum


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table whose columns, but the first, are set right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return made


def percent(share: float | None, places: int = 1) -> str:
    """0.987 as "98.7 %"; a dash for None."""
    return "–" if share is None else f"{100 * share:.{places}f} %"


def spark(values: Sequence[float]) -> str:
    """A curve in one line of text, from the smallest value to the largest; × where it is none."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    step = (high - low) / (len(_BARS) - 1) or 1.0
    bars = {value: _BARS[round((value - low) / step)] for value in finite}
    return "".join(bars.get(value, "×") for value in values)
