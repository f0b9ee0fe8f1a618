"""docs/first-network.md is followed as a reader would, and says what then happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.followed import ROOT, followed
from tests.kept import kept

PAGE = (ROOT / "docs" / "first-network.md").read_text(encoding="utf-8")
LONG = ("counterflow simulate", "counterflow verilog")


def test_the_page_leads_to_a_network_that_has_learnt(tmp_path: Path) -> None:
    said = followed("first-network", tmp_path, without=LONG)
    assert "1,600 training and 400 test samples of 2 elements, 2 classes" in said
    assert "a sample every 96 cycles" in said
    assert "10 of 28 multipliers" in said
    assert "a sample every 20 cycles" in said
    accuracy = kept(str(tmp_path / "build/circle/train.json"))["accuracy"]
    assert re.findall(r"([\d.]+) %", PAGE) == [f"{100 * accuracy:.2f}"]
    assert accuracy > 0.95
    assert (tmp_path / "circle.npz").is_file()


@pytest.mark.slow
def test_the_page_leads_to_hardware_that_is_equal(tmp_path: Path) -> None:
    followed("first-network", tmp_path)
    assert kept(str(tmp_path / "build/circle/simulate.json"))["equal"]
    whole = kept(str(tmp_path / "build/long/simulate.json"))
    assert whole["equal"]
    assert whole["accuracy"][-1] == kept(str(tmp_path / "build/circle/train.json"))["accuracy"]
    for name in re.findall(r"`((?:build|out)/[\w./-]+)`", PAGE):
        assert (tmp_path / name).is_file(), name
