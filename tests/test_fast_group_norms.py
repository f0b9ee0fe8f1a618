"""The fast chain is the golden chain: norms of groups, in every way that one can stand."""

from __future__ import annotations

import pytest

from counterflow.design.parts.tokens import Kind, Token
from counterflow.golden.fast.chain import offered
from tests.fast_pair import Pair, mixed, trained
from tests.group_norms import NETWORKS, design


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_with_norms_of_groups(name: str) -> None:
    description = design(name).description
    assert offered(description)
    accumulate = description.recipe.accumulate
    pair = Pair(description)
    pair.run(trained(30))
    pair.run(mixed(30, 2, accumulate))
    pair.run([Token(Kind.BUBBLE)] * 9)
    pair.run(mixed(12, 3, accumulate))


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_where_everything_saturates(name: str) -> None:
    description = design(name).description
    pair = Pair(description, seed=4, extreme=True)
    pair.run(mixed(40, 5, description.recipe.accumulate))
    assert sum(pair.fast.saturations[norm.index] for norm in pair.schedule.norms) > 0
