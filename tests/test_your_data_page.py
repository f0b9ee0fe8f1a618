"""docs/your-data.md is followed as a reader would: all blocks in their order, in one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from counterflow.design.network.files import parse
from tests.kept import kept
from tests.test_documents import FENCED

ROOT = Path(__file__).parents[1]
BLOCKS = FENCED.findall((ROOT / "docs" / "your-data.md").read_text(encoding="utf-8"))
LONG = "counterflow simulate"  # builds a simulator


def followed(folder: Path, *, everything: bool) -> str:
    """What the commands and programs of the page print, all of which must end well."""
    said = ""
    shell = f'counterflow() {{ "{sys.executable}" -m counterflow "$@"; }}\nset -e\n'
    for kind, text in BLOCKS:
        lines = [line for line in text.splitlines() if everything or not line.startswith(LONG)]
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


def test_the_page_leads_to_a_network_that_has_learnt(tmp_path: Path) -> None:
    said = followed(tmp_path, everything=False)
    assert "flowers.csv: 144 training and 36 test samples of 4 elements, 3 classes" in said
    assert "clusters: 240 training and 60 test samples" in said
    assert float(said.split()[-1]) > 0.9
    trained = kept(str(tmp_path / "build" / "flowers" / "train.json"))
    assert trained["accuracy"] > 0.9
    assert trained["provenance"]["dataset"] == "fewer.csv"


@pytest.mark.slow
def test_the_page_leads_to_hardware_that_is_equal(tmp_path: Path) -> None:
    followed(tmp_path, everything=True)
    answer = kept(str(tmp_path / "build" / "flowers" / "simulate.json"))
    assert answer["equal"]
    assert answer["provenance"]["dataset"] == "flowers.csv"


def test_the_keys_on_the_page_are_all_that_there_are() -> None:
    (table,) = (text for kind, text in BLOCKS if kind == "toml")
    network = 'name = "n"\ninputs = 4\nlayers = [{ outputs = 2, activation = "none" }]\n'
    found = parse(network + table).data
    assert found is not None
    assert set(found.model_fields_set) == set(type(found).model_fields)
