"""Where data lie, as a description that is written into another folder says it."""

from __future__ import annotations

import os
from pathlib import Path

from counterflow.design.data.training import MADE
from counterflow.design.network.description import Description


def place_from(folder: Path, data: Path) -> str:
    """The path of `data` for the ``dataset`` of a TOML file in `folder`.

    Relative where both can be moved together: where the data lie in that folder or below it, and
    where both are in the current one.  Else absolute.
    """
    there, here, now = (Path(os.path.realpath(one)) for one in (data, folder, Path.cwd()))
    if not (there.is_relative_to(here) or (there.is_relative_to(now) and here.is_relative_to(now))):
        return str(there)
    found = os.path.relpath(there, here)
    bare = os.sep not in found and "." not in found  # as names of sets are, too
    return os.path.join(os.curdir, found) if bare else found


def placed(description: Description, folder: Path) -> Description:
    """`description` for a TOML file in `folder`: its data are found from there, too.

    The same where the name of the data set is that of a file already, seen from `folder` or from
    the current one, since it names the hardware as all of a description does.
    """
    name, beside = description.dataset, description.beside
    if name in MADE or beside is None or not (beside / name).exists():
        return description
    if (folder / name).exists() or Path(name).exists():
        return description
    return with_data(description, folder, beside / name)


def with_data(description: Description, folder: Path, data: Path) -> Description:
    """`description` for a TOML file in `folder`, trained on the data at the path `data`."""
    made = description.model_copy(update={"dataset": place_from(folder, data)})
    return made.found_in(folder)
