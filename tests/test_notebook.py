"""The example notebook runs from the first cell to the last, and is kept without its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "examples" / "tour.ipynb"


def cells() -> list[dict[str, Any]]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_the_notebook_is_kept_without_results() -> None:
    assert len(cells()) > 5
    for cell in cells():
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    text = "".join(one.get("text", "") for one in outputs)
    assert ", 0 different" in text
    assert "dense0:" in text
    pictures = [one for one in outputs if "image/png" in one.get("data", {})]
    assert len(pictures) == 4
