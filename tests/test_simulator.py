"""Built models are kept, and used again only where they can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterflow.sim import simulator


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The folders that were built into, one after the other."""
    folders: list[Path] = []

    def build(folder: Path, *rest: object) -> None:
        folder.mkdir(parents=True)
        (folder / "built").touch()
        folders.append(folder)

    monkeypatch.setenv("COUNTERFLOW_CACHE", str(tmp_path))
    monkeypatch.setattr(simulator, "_build", build)
    return folders


def test_equal_verilog_is_built_once(built: list[Path]) -> None:
    assert simulator.build("module a;", "a") == simulator.build("module a;", "a")
    assert len(built) == 1


def test_a_model_of_another_environment_is_not_used(
    built: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is linked to libraries there, which may be gone."""
    simulator.build("module a;", "a")
    monkeypatch.setattr(simulator, "_libraries", lambda: Path("elsewhere"))
    simulator.build("module a;", "a")
    assert len(set(built)) == 2


def test_who_waits_hears_that_a_model_is_built_and_later_that_it_was(
    built: list[Path], tmp_path: Path
) -> None:
    heard: list[str] = []
    with simulator.telling(heard.append):
        for _ in range(2):
            folder = simulator.build("module a;\nendmodule\n", "a")
    assert heard == [
        f"Building the model, 2 lines of Verilog; it stays in {folder}",
        f"The model was built before: {folder}",
    ]
    simulator.build("module b;", "b")
    assert len(heard) == 2
