"""What commands keep, and what stays as it stood before them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def kept(name: str) -> Any:
    """The JSON in the file `name`, its files as the command line prints them, all of them there."""
    path = Path(name)
    found = json.loads(path.read_text(encoding="utf-8"))
    files = [path.parent / file for file in found["files"]]
    assert files[0] == path
    assert all(file.is_file() for file in files)
    return {**found, "files": [str(file) for file in files]}


def standing(path: Path) -> dict[str, object]:
    """All that the system says of a path itself, but the time of access, which looking changes."""
    found = path.lstat()
    names = (name for name in dir(found) if name.startswith("st_") and "atime" not in name)
    return {name: getattr(found, name) for name in names}
