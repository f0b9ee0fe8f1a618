"""The order in which samples are visited: the same bits on every machine and under every NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def epoch_order(count: int, seed: int, epoch: int) -> Integers:
    """Return the order in which epoch number `epoch` visits `count` samples: [count] indices.

    It is the permutation that sorts the first `count` words of PCG64([seed, epoch]): NumPy promises
    to keep those words, but not what `Generator.permutation` makes of them.

    Raises ValueError for a negative argument.
    """
    if count < 0:
        raise ValueError(f"count is {count}, expected at least 0")
    require_seeds(seed=seed, epoch=epoch)
    words = np.random.PCG64([seed, epoch]).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)


def require_seeds(**seeds: int) -> None:
    """Raise ValueError, with its name, for a seed that is negative."""
    for name, seed in seeds.items():
        if seed < 0:
            raise ValueError(f"{name} is {seed}, expected at least 0")
