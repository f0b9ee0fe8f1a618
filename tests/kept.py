"""Reads what commands keep."""

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
