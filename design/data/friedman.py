"""The regression problem of Friedman, made by formula: ten inputs, of which five say something.

    t = 10 sin(pi x_0 x_1) + 20 (x_2 - 1/2)^2 + 10 x_3 + 5 x_4 + noise

Inputs are uniform from 0 to 1 and the noise has a standard deviation of 1, as in "Multivariate
adaptive regression splines" (Annals of Statistics 19, 1991).  The best that any model can reach is
an error of 1; a plane reaches about 2.7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FRIEDMAN = "friedman"
INPUTS = 10
TRAIN, TEST = 2000, 1000
SEED = 1
Floats = NDArray[Any]


def friedman() -> tuple[Floats, Floats, Floats, Floats]:
    """Training inputs [N, INPUTS] and targets [N, 1], then those for testing: always the same."""
    stream = np.random.PCG64(SEED)
    count = TRAIN + TEST
    words = stream.random_raw(count * (INPUTS + 12)) >> np.uint64(11)
    uniform = (words * 2.0**-53).reshape(count, INPUTS + 12)
    x = uniform[:, :INPUTS]
    noise = uniform[:, INPUTS:].sum(axis=1) - 6  # of twelve: variance 1, as good as normal
    t = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    t += 10 * x[:, 3] + 5 * x[:, 4] + noise
    t = np.round(t, 9)[:, None]  # the last places of a sine may differ between machines
    return x[:TRAIN], t[:TRAIN], x[TRAIN:], t[TRAIN:]
