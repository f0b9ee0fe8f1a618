"""Training schemes as sequences of tokens: where the bubbles are, and what is in flight."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained, epoch, updates_in_flight

PIPELINED = Recipe(scheme="pipelined")
SEQUENTIAL = Recipe(scheme="sequential")


def batches_of(size: int) -> Recipe:
    return Recipe(scheme="fill-and-drain", batch=size)


def recipes() -> st.SearchStrategy[Recipe]:
    return st.one_of(
        st.just(PIPELINED), st.just(SEQUENTIAL), st.builds(batches_of, st.integers(1, 12))
    )


def accumulating() -> st.SearchStrategy[Recipe]:
    """Of all schemes, with updates by several samples."""

    def some(scheme: str, accumulate: int, groups: int) -> Recipe:
        batch = accumulate * groups if scheme == "fill-and-drain" else 1
        fields = {"scheme": scheme, "accumulate": accumulate, "batch": batch}
        return Recipe.model_validate(fields)

    schemes = st.sampled_from(["pipelined", "sequential", "fill-and-drain"])
    return st.builds(some, schemes, st.integers(1, 6), st.integers(1, 4))


def letters(tokens: list[Token]) -> str:
    """A digit for each training sample, "-" behind one that waits, a dot for each bubble."""
    ends = {Kind.TRAIN: "", Kind.ACCUMULATE: "-"}
    return "".join(f"{t.sample}{ends[t.kind]}" if t.kind.learns else "." for t in tokens)


def test_kinds_have_the_codes_of_the_streams() -> None:
    codes = [("BUBBLE", 0), ("INFER", 1), ("TRAIN", 2), ("ACCUMULATE", 3)]
    assert [(kind.name, kind.value) for kind in Kind] == codes
    assert Token(Kind.BUBBLE, -1) == BUBBLE


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (PIPELINED, "31402..."),
        (SEQUENTIAL, "3...1...4...0...2..."),
        (batches_of(1), "3...1...4...0...2..."),
        (batches_of(2), "31...40...2..."),
        (batches_of(5), "31402..."),
        (batches_of(9), "31402..."),
        (Recipe(accumulate=2), "3-14-02..."),
        (Recipe(accumulate=9), "3-1-4-0-2..."),
        (Recipe(scheme="sequential", accumulate=2), "3-...1...4-...0...2..."),
        (Recipe(scheme="fill-and-drain", batch=4, accumulate=2), "3-14-0...2..."),
    ],
)
def test_each_scheme_puts_its_bubbles_where_it_must(recipe: Recipe, expected: str) -> None:
    assert letters(list(epoch(recipe, [3, 1, 4, 0, 2], delay=3))) == expected


def test_an_epoch_without_samples_has_no_tokens() -> None:
    assert list(epoch(PIPELINED, [], delay=4)) == []


def test_draining_appends_one_bubble_for_each_slot_of_delay() -> None:
    infer = [Token(Kind.INFER, 0), Token(Kind.INFER, 1)]
    assert list(drained(infer, 3)) == [*infer, BUBBLE, BUBBLE, BUBBLE]


@settings(derandomize=True, deadline=None)
@given(count=st.integers(1, 40), delay=st.integers(1, 12), batch=st.integers(1, 12))
def test_slot_counts_are_those_of_the_papers(count: int, delay: int, batch: int) -> None:
    """Kosson et al., arXiv 2003.11666: N slots and one fill; a fill for every batch otherwise.

    With their delay of the first stage, 2 (S - 1), a batch of N takes N + 2 S - 2 slots.
    """
    assert len(list(epoch(PIPELINED, range(count), delay))) == count + delay
    assert len(list(epoch(SEQUENTIAL, range(count), delay))) == count * (1 + delay)
    fills = -(-count // batch)
    assert len(list(epoch(batches_of(batch), range(count), delay))) == count + fills * delay


@settings(derandomize=True, deadline=None)
@given(
    recipe=st.one_of(recipes(), accumulating()),
    order=st.permutations(range(20)),
    delay=st.integers(1, 12),
)
def test_every_sample_is_trained_once_in_order_and_the_chain_ends_empty(
    recipe: Recipe, order: list[int], delay: int
) -> None:
    tokens = list(epoch(recipe, order, delay))
    assert [t.sample for t in tokens if t is not BUBBLE] == order
    assert tokens[-delay:] == [BUBBLE] * delay
    assert tokens[-delay - 1].kind is Kind.TRAIN


@settings(derandomize=True, deadline=None)
@given(recipe=recipes(), first=st.integers(1, 12), data=st.data())
def test_updates_in_flight_are_those_that_a_sequence_of_tokens_makes(
    recipe: Recipe, first: int, data: st.DataObject
) -> None:
    """Counted: the forward pass in slot j reads weights that slots before j have written, the
    backward pass is in slot j + D; between them lie the updates of the tokens j - D to j - 1."""
    delay = data.draw(st.integers(1, first))  # of a later stage
    tokens = list(epoch(recipe, range(40), first))
    counted = [
        sum(t.kind is Kind.TRAIN for t in tokens[max(0, slot - delay) : slot])
        for slot, token in enumerate(tokens)
        if token.kind is Kind.TRAIN
    ]
    assert max(counted) == updates_in_flight(recipe, delay)
    if recipe is SEQUENTIAL:
        assert max(counted) == 0


@settings(derandomize=True, deadline=None)
@given(recipe=accumulating(), count=st.integers(1, 40))
def test_an_update_is_made_by_as_many_samples_as_accumulate_and_none_is_left_over(
    recipe: Recipe, count: int
) -> None:
    kinds = [token.kind for token in epoch(recipe, range(count), 3) if token.kind.learns]
    updates = [number for number, kind in enumerate(kinds, 1) if kind is Kind.TRAIN]
    expected = [*range(recipe.accumulate, count, recipe.accumulate), count]
    assert updates == expected


@settings(derandomize=True, deadline=None)
@given(recipe=accumulating(), delay=st.integers(1, 30))
def test_updates_in_flight_are_as_many_times_fewer_as_samples_accumulate(
    recipe: Recipe, delay: int
) -> None:
    """Between the fewest and the most that any token has ahead of it, nearest to their mean."""
    kinds = [token.kind for token in epoch(recipe, range(240), delay)]
    ahead = [
        sum(kind is Kind.TRAIN for kind in kinds[slot - delay : slot])
        for slot, kind in enumerate(kinds)
        if kind.learns and slot >= delay
    ]
    found = updates_in_flight(recipe, delay)
    assert min(ahead) <= found <= max(ahead)
    if recipe.scheme == "pipelined":
        assert abs(found - delay / recipe.accumulate) <= 0.5


def test_bubbles_are_as_few_as_an_empty_chain_needs() -> None:
    """The next sample of a sequence enters in the very slot after the one that learnt the last."""
    delay = 5
    slots = [
        slot
        for slot, token in enumerate(epoch(SEQUENTIAL, range(6), delay))
        if token.kind is Kind.TRAIN
    ]
    assert {later - earlier for earlier, later in pairwise(slots)} == {delay + 1}
