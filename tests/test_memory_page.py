"""The page on memory says what plans say."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterflow.results import memory

PAGE = Path(__file__).parent.parent / "docs" / "memory.md"
QUICK = ("digits-resnet", "cifar-resnet", "resnet20")


def rows() -> dict[str, list[str]]:
    """The rows of the page's table by network."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines()]
    return {line[0]: line for line in lines if line[0] in memory.NETWORKS}


def test_the_page_has_a_row_for_each_network() -> None:
    assert tuple(rows()) == memory.NETWORKS


@pytest.mark.parametrize("name", QUICK)
def test_a_row_is_what_the_plan_says(name: str) -> None:
    assert rows()[name] == memory.row(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in memory.NETWORKS if name not in QUICK])
def test_every_row_is_what_the_plan_says(name: str) -> None:
    assert rows()[name] == memory.row(name)
