"""What holds for all tests: how often garbage is looked for, and an empty folder to run in."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from counterflow.cli import TRACEBACK

ALLOCATED = 300_000  # objects more than were freed; Python's own is 700


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests live until the end, and what elaborates a design allocates millions.

    To search that for garbage again and again was a twentieth of the time of the tests of units.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATED, 10, 10)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in an empty folder, so that anything left behind shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TRACEBACK, raising=False)
