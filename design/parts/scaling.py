"""Small-batch scaling of hyper-parameters (Kosson et al., arXiv 2003.11666, section on scaling).

From values known to work at batch size N_r, for batch size N:

    m = m_r ** (N / N_r)        eta = eta_r * (1 - m) * N / ((1 - m_r) * N_r)
"""

from __future__ import annotations

import math


def scale(batch_r: int, rate_r: float, momentum_r: float, batch: int) -> tuple[float, float]:
    """(learning rate, momentum) at `batch` from those known at `batch_r`."""
    momentum = momentum_r ** (batch / batch_r)
    rate = rate_r * (1 - momentum) * batch / ((1 - momentum_r) * batch_r)
    return rate, momentum


def scale_to_batch_one(batch_r: int, rate_r: float, momentum_r: float) -> tuple[float, float]:
    """(learning rate, momentum) at batch size one."""
    return scale(batch_r, rate_r, momentum_r, 1)


def snap(rate: float, momentum: float) -> tuple[float, float]:
    """The nearest pair that needs shifts only: momentum 1 - 2**-k, learning rate 2**-e.

    Moving the momentum moves the learning rate by the same rule, so that rate / (1 - momentum),
    the size of a gradient's whole effect, is kept; then the rate goes to the nearest power of two.
    """
    kept = 2.0 ** round(math.log2(1 - momentum))
    moved = rate * kept / (1 - momentum)
    return 2.0 ** min(0, round(math.log2(moved))), 1 - kept
