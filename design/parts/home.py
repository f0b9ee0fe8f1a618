"""The user's home folder, or one for users who have none: of a container, of a service."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

CACHE = Path(".cache") / "counterflow"
OTHER_CACHE = "XDG_CACHE_HOME"


def home() -> Path:
    """The user's home; where there is none that can be used, a folder beside temporary files.

    The latter becomes HOME, since libraries and programs that are started keep files there, too;
    and a cache of the user's that cannot be used is none, where they would fail without a reason.
    Raises ValueError where that folder belongs to somebody else.
    """
    try:
        found = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the list of users
        found = None
    if found is None or not _usable(found):
        found = _own()
        os.environ["HOME"] = str(found)
    other = os.environ.get(OTHER_CACHE)
    if other and not (os.path.isabs(other) and _writable(Path(other))):
        del os.environ[OTHER_CACHE]
    return found


def cache() -> Path:
    """Counterflow's folder in the user's cache."""
    return home() / CACHE


def _usable(path: Path) -> bool:
    """Whether the cache is there, in which there may be data only to read, or can be made."""
    if not path.is_absolute() or not os.path.isdir(path):
        return False
    place = path / CACHE
    return os.path.isdir(place) or _writable(place)


def _writable(place: Path) -> bool:
    """Whether something can be made at `place`, in the folder nearest to it that there is."""
    while not os.path.lexists(place):
        place = place.parent
    try:  # only a try tells: root may write everywhere, but not in what is the kernel's
        with tempfile.TemporaryDirectory(dir=place):
            return True
    except OSError:
        return False


def _own() -> Path:
    path = Path(tempfile.gettempdir()) / f"counterflow-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or found.st_mode & 0o022:  # somebody may have put there what we would run
        raise ValueError(
            f"there is no home folder, and {path}, used instead, can be written to by others; "
            "set HOME to a folder of your own"
        )
    return path
