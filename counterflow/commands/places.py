"""Places for output, tried before any work is done for them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click

from counterflow.surroundings import undisturbed


class Writable(click.Path):
    """A path where something can be written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        text = os.fspath(value)
        if not text or (text.endswith(os.sep) and not self.dir_okay):  # as of an unset variable
            self.fail(f"{text!r} is no name of a {'folder' if self.dir_okay else 'file'}.")
        if text == "-":
            self.fail("'-' is no file here, and nothing goes to standard output; name one, or ./-.")
        path = Path(super().convert(value, param, ctx))  # type: ignore[arg-type]
        try:
            return tried(path, folder=self.dir_okay)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def default(path: Path) -> Path:
    """The folder `path` that a command uses unless told another, tried as well."""
    try:
        return tried(path, folder=True)
    except ValueError as error:
        raise ValueError(f"{error}; name another folder with --out") from None


def cache() -> None:
    """Try where simulations are built; ValueError, which says what to do, where none can be."""
    from counterflow.sim.simulator import cache_folder

    try:
        tried(cache_folder(), folder=True)
    except ValueError as error:
        remedy = "" if "COUNTERFLOW_CACHE" in str(error) else "; set COUNTERFLOW_CACHE to another"
        raise ValueError(f"{error}{remedy}") from None


def tried(path: Path, *, folder: bool) -> Path:
    """`path`, where a file or with `folder` a folder can be made; ValueError where none can.

    Only a try tells: a disk may be full, a file system read-only or one of the kernel's, a name
    too long.  What the try makes has a name of its own, so that commands side by side do not meet,
    and nothing of it is left.
    """
    from counterflow.design.network.files import place_of

    try:
        there = _last_there(path if folder else path.parent)
        if not there.is_dir():
            kind = "a file" if there.is_file() else "no folder"
            raise ValueError(f"{path} cannot be made: {there} is {kind}")
        place = Path(os.path.realpath(path)) if folder else place_of(path)
        there = _last_there(place if folder else place.parent)
        with (
            undisturbed(),
            tempfile.TemporaryDirectory(prefix=".counterflow-", dir=there) as scratch,
        ):
            made = scratch / place.relative_to(there)
            (made if folder else made.parent).mkdir(parents=True, exist_ok=True)
            if not folder:
                made.touch()
        links = [one for one in (path, *path.parents) if one.is_symlink()]
        return path if all(one.exists() for one in links) else place  # mkdir wants the latter
    except OSError as error:
        if error.filename == str(path):
            said = str(error.strerror)  # by us, as what it is, or by the system
            why = f": it {said}" if "expected" in said else f" ({said})"
            raise ValueError(f"{path} cannot be written{why}") from error
        reason = f"nothing can be written there ({error.strerror})"
        raise ValueError(f"{path} cannot be made: {reason}") from error


def _last_there(path: Path) -> Path:
    """`path`, or the folder nearest to it that there is."""
    return next(one for one in (path, *path.parents) if one.exists())
