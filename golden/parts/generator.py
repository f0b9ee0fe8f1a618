"""The random generator of stochastic rounding: xorshift32 (Marsaglia 2003), a 32-bit linear one.

A unit steps it once for each tile that it learns in; all lanes of the tile share the draw, the
velocity taking its lowest bits and the weight its highest.  The state is never zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MASK = 0xFFFFFFFF


def step(state: int) -> int:
    """The state that follows `state`."""
    state ^= (state << 13) & MASK
    state ^= state >> 17
    state ^= (state << 5) & MASK
    return state


def draws(state: int, count: int) -> NDArray[np.int64]:
    """The next `count` states; the last one is what to go on from."""
    states = [state := step(state) for _ in range(count)]
    return np.array(states, np.int64)
