"""Other versions of Python that are installed here."""

from __future__ import annotations

import os
import shutil
import subprocess

# Interpreters with Counterflow's packages, beside those on the path; separated as the path is.
VARIABLE = "COUNTERFLOW_PYTHONS"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def interpreters(packages: str) -> list[str]:
    """Other interpreters that have the `packages`; each runs the checkout's own Counterflow."""
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    there = [shutil.which(name) for name in (*named, *(f"python{v}" for v in VERSIONS)) if name]
    return [one for one in dict.fromkeys(filter(None, there)) if _has(one, packages)]


def _has(python: str, packages: str) -> bool:
    asked = [python, "-c", f"import {packages}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0
