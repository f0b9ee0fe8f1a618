"""The table of compared simulations is that of the JSON that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from counterflow.design.network.files import load
from counterflow.results import equalities
from counterflow.results.equalities import BEGIN, PAGE, renewed
from counterflow.results.settings import FOLDER

ROOT = Path(__file__).parents[1]

FOUND = {
    "compared": 1_234_567,
    "mismatches": 0,
    "cycles": 9_000,
    "seconds": 4.5,
    "files": ["somewhere"],
    "provenance": {
        "network": "tiny",
        "description_hash": load("tiny").hash(),
        "command": "counterflow simulate tiny --samples 12 -o somewhere --quiet",
    },
}


def test_the_document_says_what_was_compared() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert renewed(text, ROOT / FOLDER) == text, "run python -m counterflow.results.equalities"


def test_nothing_that_was_kept_differs_and_networks_are_as_they_are() -> None:
    paths = sorted((ROOT / FOLDER).glob("equal-*.json"))
    assert paths
    for path in paths:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert (found["mismatches"], found["first_divergence"]) == (0, None)
        network = found["provenance"]["network"]
        assert load(network).hash() == found["provenance"]["description_hash"], path.name


def test_what_a_simulation_left_is_kept_and_stands_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    PAGE.write_text(f"Before\n{BEGIN}\nold\n<!-- end -->\nbehind\n", encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "simulate.json").write_text(json.dumps(FOUND), encoding="utf-8")
    equalities.main(["tiny=out"])
    text = PAGE.read_text(encoding="utf-8")
    assert (
        "| `counterflow simulate tiny --samples 12`, [JSON](results/equal-tiny.json) | 1,234,567 "
        "| 0 | 9,000 | 2,000 |" in text
    )
    assert text.startswith("Before\n")
    assert text.endswith("<!-- end -->\nbehind\n")
    kept = json.loads((FOLDER / "equal-tiny.json").read_text(encoding="utf-8"))
    assert "files" not in kept
    other = {**FOUND["provenance"], "description_hash": "another"}  # type: ignore[dict-item]
    text = json.dumps({**FOUND, "provenance": other})
    (FOLDER / "equal-tiny.json").write_text(text, encoding="utf-8")
    assert "(network changed)" in equalities.table()
