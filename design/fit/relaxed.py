"""One choice from each of many lists within limits, found by prices: not the best, but close.

A table over all amounts (`design.fit.knapsack`) is exact, and too large for devices with thousands
of blocks.  Here each list takes what is cheapest under a price for each resource, and prices rise
where a limit is overrun (a Lagrangian relaxation).  With many lists, the best choice is missed by
about what one of them makes.  What is found is then improved list by list.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterflow.design.fit.knapsack import Item

ROUNDS = 80  # of raising prices
STEP = 0.7  # power of an overrun by which a price rises, at first
SWAPS = 2000  # of one list's choice

Amounts = tuple[float, float, float]
"""Of the two resources and the price of `Item`."""


class Relaxed:
    """Choices from `lists`, none of which is empty."""

    def __init__(self, lists: Sequence[Sequence[Item]]) -> None:
        most = max(len(items) for items in lists)
        self._rows = np.arange(len(lists))
        # [lists, most, 3], short lists filled up with what nobody takes.
        self._items: NDArray[np.float64] = np.full((len(lists), most, 3), 1e12)
        for row, items in enumerate(lists):
            self._items[row, : len(items)] = items

    def within(self, limits: Amounts, aim: int) -> list[int] | None:
        """A choice that keeps to `limits`, with little of resource number `aim`; None without
        one."""
        picked, worst = self._settled(limits)
        if worst > 1:
            return None
        return self._improved(picked, np.array(limits, np.float64), aim)

    def closest(self, limits: Amounts) -> list[int]:
        """A choice that overruns `limits` by about the smallest factor."""
        return [int(index) for index in self._settled(limits)[0]]

    def amounts(self, picked: Sequence[int]) -> Amounts:
        """What a choice takes in all."""
        first, second, price = self._items[self._rows, np.asarray(picked)].sum(axis=0)
        return float(first), float(second), float(price)

    def _settled(self, limits: Amounts) -> tuple[NDArray[np.int64], float]:
        """The choice that keeps furthest below the limits, and its largest share of one."""
        shares = self._items / np.maximum(np.array(limits, np.float64), 1e-9)
        prices = np.ones(3)
        best, least = np.zeros(len(self._rows), np.int64), np.inf
        for turn in range(ROUNDS):
            picked = (shares @ prices).argmin(axis=1)
            used = shares[self._rows, picked].sum(axis=0)
            if used.max() < least:
                best, least = picked, float(used.max())
            if least == 0:
                break
            prices *= np.maximum(used / used.max(), 1e-3) ** (STEP / (1 + turn / 10))
            prices = np.maximum(prices / prices.max(), 1e-6)
        return best, least

    def _improved(
        self, picked: NDArray[np.int64], limits: NDArray[np.float64], aim: int
    ) -> list[int]:
        """Swap one list's choice after the other for less of `aim`, as long as there is room."""
        picked = picked.copy()
        used = self._items[self._rows, picked].sum(axis=0)
        for _ in range(SWAPS):
            change = self._items - self._items[self._rows, picked][:, None, :]
            room = np.maximum(limits - used, 0)
            able = (change[:, :, aim] < 0) & (change <= room + 1e-9).all(axis=2)
            if not able.any():
                break
            # As much as possible of the aim for as little as possible of the room that is left.
            cost = np.maximum(change, 0) / np.maximum(room, 1e-9)
            gain = np.where(able, -change[:, :, aim] / (1e-3 + cost.sum(axis=2)), -np.inf)
            row, index = np.unravel_index(int(gain.argmax()), gain.shape)
            used = used + change[row, index]
            picked[row] = index
        return [int(index) for index in picked]
