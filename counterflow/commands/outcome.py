"""What a command leaves in a folder: files of one run, of which the JSON says what made them.

All files of a command bear its name, so that commands share a folder and none replaces another's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterflow.commands import options

if TYPE_CHECKING:
    from counterflow.design.data.sets import Dataset
    from counterflow.design.network.description import Description

SCRATCH = ".counterflow-made-"  # how folders begin that have files until all are there
LOOKED_UP = (".surfer/mappings",)  # folders within, in which other programs look for files
FAILED = "-failed.log"  # how the log of a run ends that came to nothing


def stated(
    content: Mapping[str, Any],
    description: Description,
    *,
    seed: int | None = None,
    dataset: Dataset | None = None,
) -> dict[str, Any]:
    """`content` with its ``provenance``; the seed is the recipe's unless another one is given."""
    from counterflow.design.network.provenance import provenance

    facts = provenance(
        description,
        seed=description.recipe.seed if seed is None else seed,
        command=options.command_line(),
        data=None if dataset is None else dataset.identity,
    )
    return {**content, "provenance": facts}


@dataclass(frozen=True)
class Kept:
    """The files of a run, its JSON first, and that for standard output."""

    files: list[Path]
    result: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a run of the command `name` makes, in `scratch` until `keep` puts it into `folder`."""

    folder: Path
    name: str
    scratch: Path

    def path(self, ending: str) -> Path:
        """Where to make the file of that ending, as in ``simulate`` and ``-slots.png``."""
        return self.scratch / f"{self.name}{ending}"

    def work(self) -> Path:
        """A folder for what programs leave behind, of which nothing is kept."""
        made = self.scratch / "work"
        made.mkdir()
        return made

    def keep(
        self,
        content: Mapping[str, Any],
        description: Description,
        *,
        seed: int | None = None,
        dataset: Dataset | None = None,
    ) -> Kept:
        """Put all files that were made into the folder, with `description` and a JSON of `content`.

        They take the place of those of the command's last run there, whatever that had made.
        Nothing is touched before all is written; then the old JSON goes first and the new one comes
        last, so that however this ends no JSON stands beside files of another run.
        """
        from counterflow.design.data.places import placed
        from counterflow.design.network.files import move, place_of, to_toml, write_atomically
        from counterflow.design.network.provenance import write_json

        write_atomically(self.path(".toml"), to_toml(placed(description, self.folder)))
        places = [self.scratch, *(self.scratch / one for one in LOOKED_UP)]
        made = [one for place in places if place.is_dir() for one in place.iterdir()]
        names = sorted(str(one.relative_to(self.scratch)) for one in made if one.is_file())
        first = self.path(".json").name
        facts = stated(content, description, seed=seed, dataset=dataset)
        write_json(self.path(".json"), {**facts, "files": [first, *names]})
        for name in (first, *names):  # nothing has changed yet if one of them cannot be replaced
            self.check(name)
        stale = {*self._of_last_run(), f"{self.name}{FAILED}"} - set(names)
        for name in (first, *sorted(stale)):
            place_of(self.folder / name).unlink(missing_ok=True)
        files = [move(self.scratch / name, self.folder / name) for name in (*names, first)]
        files = [files[-1], *files[:-1]]
        return Kept(files, {**facts, "files": [str(file) for file in files]})

    def check(self, name: str) -> None:
        """OSError or ValueError where the file `name` of the folder cannot or may not be replaced.

        What the command reads it may replace only if that is of its own last run.
        """
        from counterflow.design.network.files import place_of

        place_of(self.folder / name)
        if name not in self._of_last_run():
            options.check_apart(self.folder / name)

    def _of_last_run(self) -> set[str]:
        """Names of what the JSON in the folder says that it was made with."""
        import json

        try:
            found = json.loads((self.folder / f"{self.name}.json").read_text(encoding="utf-8"))
            names = [str(name) for name in found["files"]]
        except (OSError, ValueError, KeyError, TypeError):
            return set()
        own = [name for name in names if os.path.dirname(name) in ("", *LOOKED_UP)]
        return {name for name in own if (self.folder / name).is_file()}


@contextlib.contextmanager
def into(folder: Path, name: str) -> Iterator[Outcome]:
    """A run of the command `name` that leaves its files in `folder`, which nobody else uses.

    ValueError, before any work, where another process uses the folder.  Of a run that fails with a
    log the log is kept, and the error says where.
    """
    from counterflow.design.parts.locks import InUseError, in_use
    from counterflow.design.tools.logged import LoggedError

    doing = shlex.join(options.command_line())
    with contextlib.ExitStack() as stack:
        try:
            locked = stack.enter_context(in_use(folder, doing))
        except InUseError as error:
            raise ValueError(
                f"{error}; wait for its end, or name another folder with --out"
            ) from None
        for left in folder.glob(f"{SCRATCH}*") if locked else ():  # of runs that were killed
            shutil.rmtree(left, ignore_errors=True)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder))
        made = Outcome(folder, name, Path(scratch))
        for ending in (".json", ".toml"):  # which all have; of others only their end will tell
            made.check(f"{name}{ending}")
        try:
            yield made
        except LoggedError as error:
            error.log = _kept(error.log, folder / f"{name}{FAILED}", Path(scratch))
            raise
        except OSError as error:  # the user knows the file by where it was to be
            if isinstance(error.filename, str) and Path(error.filename).is_relative_to(scratch):
                error.filename = str(folder / Path(error.filename).name)
            raise


def _kept(log: Path | None, path: Path, scratch: Path) -> Path | None:
    """Where the log of an error is to be found once `scratch` is gone."""
    from counterflow.design.network.files import move

    if log is None or not log.is_relative_to(scratch):
        return log
    try:
        return move(log, path)
    except OSError:  # a full disk, as a rule
        return None
