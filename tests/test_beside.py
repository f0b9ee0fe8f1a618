"""Jobs beside each other: their progress together, and which of them end when it is enough."""

from __future__ import annotations

import pytest

from counterflow.design.parts.beside import Beside, StoppedError


def test_progress_is_that_of_all_jobs() -> None:
    seen: list[tuple[int, int]] = []
    beside = Beside(2, lambda done, total: seen.append((done, total)))
    for job, done in ((0, 3), (1, 4), (0, 5)):
        beside.tell(job, done, total=20)
    assert seen == [(3, 20), (7, 20), (9, 20)]


def test_jobs_behind_the_last_that_counts_end_and_those_before_it_go_on() -> None:
    beside = Beside(4, None)
    for last in (2, 1, 3):  # who differs later in the order has nothing to say any more
        beside.end(last)
    for job in (0, 1):
        beside.tell(job, 1, total=4)
    for job in (2, 3):
        with pytest.raises(StoppedError):
            beside.tell(job, 1, total=4)


def test_all_jobs_end_where_none_counts() -> None:
    beside = Beside(2, None)
    beside.end()
    for job in (0, 1):
        with pytest.raises(StoppedError):
            beside.tell(job, 1, total=2)
