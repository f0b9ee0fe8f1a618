"""Pages followed as a reader would: all their commands and programs, in order, in one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.test_documents import FENCED

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each block of a page of docs/, named without ending."""
    return FENCED.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))


def followed(page: str, folder: Path, *, without: Sequence[str] = ()) -> str:
    """What the blocks of a page print in `folder`; all must end well.

    Lines that begin with one of `without` are left out.
    """
    said = ""
    shell = f'counterflow() {{ "{sys.executable}" -m counterflow "$@"; }}\nset -e\n'
    for kind, text in blocks(page):
        lines = [line for line in text.splitlines() if not line.startswith(tuple(without))]
        program = "\n".join(lines) + "\n"
        if kind == "sh":
            program = program.replace("python - ", f'"{sys.executable}" - ')
            command = ["bash", "-c", shell + program]
        elif kind == "python":
            command = [sys.executable, "-c", program]
        else:
            continue
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    return said
