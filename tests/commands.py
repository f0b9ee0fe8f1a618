"""The command line in a test: run in an empty folder, told what it must do or refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from counterflow.cli import main

TINY = """
name = "mine"
dataset = "synthetic"
inputs = 6
layers = [{ outputs = 5 }, { outputs = 4, activation = "none" }]
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def succeed(*arguments: str) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def read(*arguments: str) -> Any:
    """What a command prints with --json, which must be all of its standard output."""
    return json.loads(succeed(*arguments, "--json").stdout)


def refuse(*arguments: str) -> str:
    """What a command says that must refuse its input, leaving nothing behind."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    said = result.stderr.split("Error: ")[-1].strip()
    assert "\n" not in said
    assert 0 < said.count(". ") + said.endswith(("?", ".")) <= 2
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert after == before
    return said
