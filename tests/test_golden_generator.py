"""The random generator of the golden model, as a matrix over bits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.golden.parts.generator import draws, step

Bits = tuple[int, ...]
"""A 32 x 32 matrix over GF(2): entry i holds, as a 32-bit integer, the image of bit i."""


def shift_and_add(amount: int) -> Bits:
    """The matrix of x ^ (x << amount), or for negative amounts x ^ (x >> -amount)."""
    moved = [1 << i + amount if 0 <= i + amount < 32 else 0 for i in range(32)]
    return tuple(1 << i ^ moved[i] for i in range(32))


def applied(matrix: Bits, vector: int) -> int:
    result = 0
    for i in range(32):
        if vector >> i & 1:
            result ^= matrix[i]
    return result


def times(left: Bits, right: Bits) -> Bits:
    """First `right`, then `left`."""
    return tuple(applied(left, column) for column in right)


def power(matrix: Bits, exponent: int) -> Bits:
    result = tuple(1 << i for i in range(32))
    while exponent:
        if exponent & 1:
            result = times(result, matrix)
        matrix, exponent = times(matrix, matrix), exponent >> 1
    return result


XORSHIFT32 = times(shift_and_add(5), times(shift_and_add(-17), shift_and_add(13)))
"""Marsaglia, Xorshift RNGs (2003), as a matrix: shifts 13 left, 17 right, 5 left."""


@settings(derandomize=True, max_examples=500, deadline=None)
@given(state=st.integers(0, 2**32 - 1))
def test_the_generator_is_the_matrix_of_xorshift32(state: int) -> None:
    assert step(state) == applied(XORSHIFT32, state)


def test_the_generator_visits_every_state_but_zero() -> None:
    """Its matrix has the order 2**32 - 1 = 3 x 5 x 17 x 257 x 65537; so no state leads to zero."""
    unity = power(XORSHIFT32, 0)
    assert power(XORSHIFT32, 2**32 - 1) == unity
    for prime in (3, 5, 17, 257, 65537):
        assert power(XORSHIFT32, (2**32 - 1) // prime) != unity


def test_draws_are_successive_states() -> None:
    drawn = draws(2463534242, 5)
    assert drawn[0] == 723471715  # the first output in Marsaglia's paper's example
    state = 2463534242
    for value in drawn:
        state = step(state)
        assert value == state
