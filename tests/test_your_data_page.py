"""docs/your-data.md is followed as a reader would: all blocks in their order, in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterflow.design.network.files import parse
from tests.followed import blocks, followed
from tests.kept import kept

BLOCKS = blocks("your-data")
LONG = "counterflow simulate"  # builds a simulator


def test_the_page_leads_to_a_network_that_has_learnt(tmp_path: Path) -> None:
    said = followed("your-data", tmp_path, without=[LONG])
    assert "flowers.csv: 144 training and 36 test samples of 4 elements, 3 classes" in said
    assert float(said.split()[-1]) > 0.9
    trained = kept(str(tmp_path / "build" / "flowers" / "train.json"))
    assert trained["accuracy"] > 0.9
    assert trained["provenance"]["dataset"] == "fewer.csv"


@pytest.mark.slow
def test_the_page_leads_to_hardware_that_is_equal(tmp_path: Path) -> None:
    followed("your-data", tmp_path)
    answer = kept(str(tmp_path / "build" / "flowers" / "simulate.json"))
    assert answer["equal"]
    assert answer["provenance"]["dataset"] == "flowers.csv"


def test_the_keys_on_the_page_are_all_that_there_are() -> None:
    (table,) = (text for kind, text in BLOCKS if kind == "toml")
    network = 'name = "n"\ninputs = 4\nlayers = [{ outputs = 2, activation = "none" }]\n'
    found = parse(network + table).data
    assert found is not None
    assert set(found.model_fields_set) == set(type(found).model_fields)
