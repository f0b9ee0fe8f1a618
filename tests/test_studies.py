"""Tables of trainings that follow each other are those of the JSON that they name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from counterflow.design.data.sets import load
from counterflow.results import marks, studies
from counterflow.results.studies import DIGITS, FOLDER, KIND, PAGES, STUDIES, TURNED, Study

ROOT = Path(__file__).parents[1]
MADE_WHOLE = "results.md"  # from JSON: tests/test_results.py
DOCUMENTS = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != MADE_WHOLE),
]
SCORE = re.compile(r"\d ?±")


def test_every_table_says_what_its_study_found() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert marks.keys(KIND, text), f"{page} names no study"
        assert studies.renewed(text, ROOT / FOLDER) == text, "run counterflow.results.studies"


def test_every_study_stands_in_a_document_and_is_of_the_networks_as_they_are() -> None:
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert marks.keys(KIND, pages) == set(STUDIES)
    assert "changed since" not in pages


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_accuracy_with_a_deviation_comes_from_a_json(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for kind in ("compare", "study"):
        text = marks.marked(kind).sub("", text)
    left = [line for line in text.splitlines() if SCORE.search(line)]
    assert not left


def test_a_step_goes_on_with_the_weights_of_the_one_before() -> None:
    """What only is tested has the score of what was trained, on the same data."""
    short = DIGITS._replace(network="digits")
    trained = studies.scores([short], 1)
    assert studies.scores([short, short._replace(trained=False)], 1) == trained
    assert studies.scores([short, short._replace(trained=False, turned=True)], 1) != trained
    assert trained[0] > 0.9


def test_turned_images_are_turned_by_a_quarter_four_times_around() -> None:
    images = load("digits")
    turned = TURNED.dataset
    first = images.test_x[0].reshape(8, 8)
    assert (turned.test_x[0].reshape(8, 8) == np.rot90(first)).all()
    back = images
    for _ in range(4):
        back = studies._turned(back)
    assert (back.train_x == images.train_x).all()
    assert (back.train_y == images.train_y).all()


def test_gammas_are_in_every_norm() -> None:
    with_gammas = DIGITS._replace(gamma=True).description
    assert str(with_gammas.model_dump(mode="json")).count("'gamma': True") == 4


def test_networks_that_were_changed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    path = marks.path_of(KIND, "digits-resnet-gamma", ROOT / FOLDER)
    found = json.loads(path.read_text("utf-8"))
    assert studies.is_fresh(found)
    assert "changed since" not in studies.table(found, path)
    other = Study(20, {"without": [DIGITS], "with": [DIGITS]})
    monkeypatch.setitem(STUDIES, "digits-resnet-gamma", other)
    assert "changed since" in studies.table(found, path)


def test_unknown_studies_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert studies.main(["nothing"]) == 2
    assert "no study 'nothing'; there are lenet5-finetune," in capsys.readouterr().err
