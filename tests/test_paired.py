"""What paired trainings tell apart, and what they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from counterflow.commands.compare import compare_json, compare_table
from counterflow.commands.recovered import against_json, said
from counterflow.golden.training.compare import Method, Row
from counterflow.golden.training.paired import gain, share, student

BEST = (0.950, 0.960, 0.940, 0.955, 0.945)


def rows(plain: Sequence[float], mitigated: Sequence[float]) -> list[Row]:
    """Those of a comparison whose sequential training is `BEST`, as far as there are seeds."""
    return [
        Row(Method("sequential", "none"), BEST[: len(plain)]),
        Row(Method("pipelined", "none"), tuple(plain)),
        Row(Method("pipelined", "lwpv+sc"), tuple(mitigated)),
    ]


CLOSED = rows((0.850, 0.858, 0.842, 0.853, 0.846), (0.925, 0.934, 0.916, 0.929, 0.921))
NOISE = rows((0.945, 0.962, 0.938, 0.951, 0.947), (0.970, 0.975, 0.968, 0.973, 0.969))
ONE_SEED = rows((0.850,), (0.925,))


@pytest.mark.parametrize(
    ("freedom", "value"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (29, 2.0452), (99, 1.9842)],
)
def test_the_quantiles_are_those_of_the_tables(freedom: int, value: float) -> None:
    assert f"{student(freedom):.4f}" == f"{value:.4f}"


def test_a_gap_that_is_closed_for_the_most_part_is_said_with_its_interval() -> None:
    found = against_json(CLOSED, CLOSED[2])
    assert found["gain"] == {
        "n": 5,
        "mean": pytest.approx(0.0752),
        "interval": pytest.approx([0.07416115, 0.07623885]),  # -+ 2.7764 * 0.00083666 / 5**.5
    }
    made = share(*(one.accuracies for one in (CLOSED[2], CLOSED[1], CLOSED[0])))
    assert made is not None
    assert made.interval is not None
    assert made.n == 5
    assert made.mean == pytest.approx(0.0752 / 0.1002)
    assert 0.70 < made.interval[0] < made.mean < made.interval[1] < 0.80
    low, high = made.interval
    assert said(made) == f"75 % ({100 * low:.0f} to {100 * high:.0f})"
    assert found["recovered"] == {"n": 5, "mean": made.mean, "interval": [low, high]}


def test_the_interval_of_a_share_is_where_the_difference_from_it_is_no_more_than_noise() -> None:
    """By definition (Fieller): at its ends the mean of closed - share * gap is t errors from 0."""
    best, plain, mitigated = (np.array(one.accuracies) for one in CLOSED)
    made = share(mitigated.tolist(), plain.tolist(), best.tolist())
    assert made is not None
    assert made.interval is not None
    for end in made.interval:
        rest = (mitigated - plain) - end * (best - plain)
        error = rest.std(ddof=1) / math.sqrt(len(rest))
        assert abs(rest.mean()) / error == pytest.approx(student(4))


def test_a_gap_within_noise_has_no_share_that_is_closed() -> None:
    """What would be 1200 % of a sixth of a point."""
    assert gain(NOISE[0].accuracies, NOISE[1].accuracies).mean > 0
    found = against_json(NOISE, NOISE[2])
    assert found["recovered"] is None
    assert isinstance(found["gain"], dict)
    assert found["gain"]["n"] == 5
    assert said(None) == "–"


def test_a_network_that_gains_by_delay_has_lost_nothing_to_recover() -> None:
    swapped = [Row(CLOSED[0].method, CLOSED[1].accuracies), Row(CLOSED[1].method, BEST), CLOSED[2]]
    assert against_json(swapped, swapped[2])["recovered"] is None


def test_one_seed_tells_no_interval_and_no_share() -> None:
    found = against_json(ONE_SEED, ONE_SEED[2])
    assert found == {
        "gain": {"n": 1, "mean": pytest.approx(0.075), "interval": None},
        "recovered": None,
    }


def test_a_gap_that_is_the_same_with_every_seed_is_known_without_doubt() -> None:
    found = share((0.75, 0.875), (0.5, 0.625), (1.0, 1.125))
    assert found is not None
    assert (found.mean, found.interval) == (0.5, (0.5, 0.5))


def test_table_and_json_have_what_the_seeds_tell() -> None:
    for made, cell in ((CLOSED, "75 % (7"), (NOISE, "–"), (ONE_SEED, "–")):
        column = compare_table(made, "title").columns[3]
        assert column.header == "recovered"
        first, plain, mitigated = map(str, column.cells)
        assert (first, plain) == ("", "")
        assert mitigated.startswith(cell)
        methods = compare_json({"integer": made})["methods"]
        assert isinstance(methods, list)
        assert [one["gain"]["mean"] for one in methods][1] == 0.0
        assert [one["recovered"] is None for one in methods] == [cell == "–"] * 3


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 2,000 comparisons with a known gap and share, 95 in 100, but for chance."""
    random, held = np.random.default_rng(1), 0
    for _ in range(2000):
        common = random.normal(0, 0.02, 5)
        plain = 0.80 + common + random.normal(0, 0.004, 5)
        best = 0.90 + common + random.normal(0, 0.004, 5)
        mitigated = 0.86 + common + random.normal(0, 0.004, 5)
        made = share(mitigated.tolist(), plain.tolist(), best.tolist())
        assert made is not None
        assert made.interval is not None
        held += made.interval[0] <= 0.6 <= made.interval[1]
    assert 1900 - 3 * math.sqrt(2000 * 0.95 * 0.05) < held < 1900 + 3 * math.sqrt(95)
