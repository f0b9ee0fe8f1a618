"""Training schemes as sequences of tokens: where the bubbles are, and what is in flight."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.description import Recipe
from counterflow.tokens import BUBBLE, Kind, Token, drained, epoch, updates_in_flight

PIPELINED = Recipe(scheme="pipelined")
SEQUENTIAL = Recipe(scheme="sequential")


def batches_of(size: int) -> Recipe:
    return Recipe(scheme="fill-and-drain", batch=size)


def recipes() -> st.SearchStrategy[Recipe]:
    return st.one_of(
        st.just(PIPELINED), st.just(SEQUENTIAL), st.builds(batches_of, st.integers(1, 12))
    )


def letters(tokens: list[Token]) -> str:
    """A digit for each training sample, a dot for each bubble."""
    return "".join(str(t.sample) if t.kind is Kind.TRAIN else "." for t in tokens)


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
@given(recipe=recipes(), order=st.permutations(range(20)), delay=st.integers(1, 12))
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


def test_bubbles_are_as_few_as_an_empty_chain_needs() -> None:
    """The next sample of a sequence enters in the very slot after the one that learnt the last."""
    delay = 5
    slots = [
        slot
        for slot, token in enumerate(epoch(SEQUENTIAL, range(6), delay))
        if token.kind is Kind.TRAIN
    ]
    assert {later - earlier for earlier, later in pairwise(slots)} == {delay + 1}
