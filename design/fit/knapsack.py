"""One choice from each of several lists: the cheapest for every use of two scarce resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Item(NamedTuple):
    """A choice: what it takes of the two resources, and its price."""

    first: int
    second: int
    price: float


class Knapsack:
    """Least price of one choice from each of `lists`, for every pair of amounts up to `most`.

    ``prices`` [amounts of the first, of the second]: the least of choices that take exactly so
    much, infinite where there are none; up to `most`, or to what the largest choices take if that
    is less.  Work is their size times the number of items.
    """

    def __init__(self, lists: Sequence[Sequence[Item]], most: tuple[int, int]) -> None:
        self._lists = lists
        first = sum(max((one.first for one in items), default=0) for items in lists)
        second = sum(max((one.second for one in items), default=0) for items in lists)
        shape = (min(most[0], first) + 1, min(most[1], second) + 1)
        self.prices: NDArray[np.float64] = np.full(shape, np.inf)
        self.prices[0, 0] = 0.0
        self._before: list[NDArray[np.float64]] = []
        for items in lists:
            self._before.append(self.prices)
            self.prices = np.full(shape, np.inf)
            for first, second, price in items:
                if first < shape[0] and second < shape[1]:
                    part = self.prices[first:, second:]
                    before = self._before[-1][: shape[0] - first, : shape[1] - second]
                    np.minimum(part, before + price, out=part)

    def chosen(self, first: int, second: int) -> list[int]:
        """Index in each list of a choice that makes up the price of a pair, which is finite."""
        picked: list[int] = []
        price = self.prices[first, second]
        for items, before in zip(reversed(self._lists), reversed(self._before), strict=True):
            for index, item in enumerate(items):
                left = first - item.first, second - item.second
                if min(left) >= 0 and before[left] + item.price == price:
                    picked.append(index)
                    (first, second), price = left, before[left]
                    break
        return picked[::-1]


def undominated(values: Sequence[Sequence[float]]) -> list[int]:
    """Indices of those than which no other is as small in every place."""
    if not values:
        return []
    rows = np.array(values, np.float64)
    kept: list[int] = []
    best = rows[:0]
    for index in np.lexsort(rows.T[::-1]):
        if not (best <= rows[index]).all(axis=1).any():
            kept.append(int(index))
            best = rows[kept]
    return kept
