"""Tables and claims about trainings in the documents are those of the JSON that they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from counterflow.design.network.files import load
from counterflow.results import marks
from counterflow.results.comparisons import FOLDER, KIND, PAGES, renewed

ROOT = Path(__file__).parents[1]


def estimate(mean: float, low: float, high: float) -> dict[str, Any]:
    return {"n": 3, "mean": mean, "interval": [low, high]}


def method(scheme: str, mitigation: str, mean: float, **more: Any) -> dict[str, Any]:
    return {
        "model": "integer",
        "scheme": scheme,
        "mitigation": mitigation,
        "mean": mean,
        "sd": 0.01,
        "accuracies": [mean] * 3,
        "gain": estimate(0, 0, 0),
        "recovered": None,
        **more,
    }


FOUND = {
    "provenance": {
        "network": "tiny",
        "description_hash": load("tiny").hash(),
        "command": "counterflow compare tiny --seeds 3 -o somewhere --quiet",
    },
    "methods": [
        method("sequential", "none", 0.9, gain=estimate(0.1, 0.05, 0.15)),
        method("pipelined", "none", 0.8),
        method("pipelined", "lwpv+sc", 0.875, recovered=estimate(0.75, 0.5, 1.0)),
    ],
}


def written(folder: Path, **changes: Any) -> Path:
    marks.path_of(KIND, "net", folder).write_text(
        json.dumps({**FOUND, **changes}), encoding="utf-8"
    )
    return folder


def test_every_document_says_what_its_results_say() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert marks.keys(KIND, text), f"{page} names no result"
        assert renewed(text, ROOT / FOLDER) == text, "run python -m counterflow.results.comparisons"


def test_every_result_stands_in_a_document_and_is_of_the_network_as_it_is() -> None:
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    named = marks.keys(KIND, pages)
    kept = {path.stem.removeprefix("compare-") for path in (ROOT / FOLDER).glob("compare-*.json")}
    assert kept == named
    assert "has been changed since" not in pages


def test_a_table_has_accuracies_and_what_made_them(tmp_path: Path) -> None:
    text = renewed("<!-- compare net -->old<!-- end -->", written(tmp_path))
    assert "| sequential, no delay | 90.00 ± 1.00 | 10.00 (5.00 to 15.00) |  |" in text
    assert "| both (lwpv+sc) | 87.50 ± 1.00 | 0.00 (0.00 to 0.00) | 75 % (50 to 100) |" in text
    assert (
        "`counterflow compare tiny --seeds 3`, n = 3 seeds; [JSON](results/compare-net.json)."
        in text
    )
    assert "old" not in text
    assert renewed(text, tmp_path) == text


def test_a_claim_has_its_number_of_seeds_and_interval(tmp_path: Path) -> None:
    marks = "<!-- compare net loss -->?<!-- end --> and <!-- compare net recovered -->?<!-- end -->"
    text = renewed(marks, written(tmp_path))
    assert "10.0 (5.0 to 15.0) points of accuracy (n = 3, 95 % interval)" in text
    assert "75 % (50 to 100)" in text


def test_what_is_within_noise_is_called_that(tmp_path: Path) -> None:
    several = [{**one, "recovered": None} for one in FOUND["methods"]]
    text = renewed(
        "<!-- compare net recovered -->?<!-- end -->", written(tmp_path, methods=several)
    )
    assert "nothing that could be told from noise" in text


def test_a_share_that_could_be_anything_is_left_out(tmp_path: Path) -> None:
    vague = method("pipelined", "lwpv+sc", 0.9, recovered=estimate(-0.1, -14, 2.5))
    text = renewed(
        "<!-- compare net --><!-- end -->",
        written(tmp_path, methods=[*FOUND["methods"][:2], vague]),
    )
    assert "| both (lwpv+sc) | 90.00 ± 1.00 | 0.00 (0.00 to 0.00) | – |" in text


def test_a_network_that_has_changed_is_said_to_have(tmp_path: Path) -> None:
    about = {**FOUND["provenance"], "description_hash": "another"}
    text = renewed("<!-- compare net --><!-- end -->", written(tmp_path, provenance=about))
    assert "The network has been changed since." in text


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("<!-- compare nothing --><!-- end -->", "a mark names nothing, but there is no"),
        ("<!-- compare net glory --><!-- end -->", "'glory'; there are loss, recovered, ways"),
    ],
)
def test_a_mark_that_asks_in_vain_is_named(tmp_path: Path, mark: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        renewed(mark, written(tmp_path))
