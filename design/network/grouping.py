"""Groups of layers in one stage, and the hybrid scheme: what Zhang & Abdelrahman compare.

Their *pipeline placement vector* (arXiv 1912.12675) names the layers with weights, counted from 1,
behind which pipeline registers stand.  K of them make K + 1 partitions, and all layers of a
partition make their forward pass in one slot, and their backward pass in one slot.
"""

from __future__ import annotations

from bisect import bisect_left

from counterflow.design.network.description import Description


def placed_delays(placement: tuple[int, ...], layers: int) -> tuple[int, ...]:
    """Delay in slots of each of `layers` layers with weights: 2 (K - i + 1) in partition i."""
    partitions = [bisect_left(placement, layer) + 1 for layer in range(1, layers + 1)]
    return tuple(2 * (len(placement) - number + 1) for number in partitions)


def stale_share(description: Description, placement: tuple[int, ...]) -> float:
    """Share of the parameters that learn from gradients of older weights: *stale weights*.

    These are the parameters of all layers before the last register, over all parameters.
    """
    shapes = [unit.geometry for unit in description.weighted]
    sizes = [(shape.taps + 1) * shape.outputs for shape in shapes]
    return sum(sizes[: placement[-1]]) / sum(sizes) if placement else 0.0


def hybrid_speedup(pipelined_share: float, speedup: float) -> float:
    """Ideal speed-up 1 / (f / s + 1 - f) of a training of which the share f is pipelined.

    ``speedup`` is s, that of a wholly pipelined training; both over a sequential one.
    """
    return 1 / (pipelined_share / speedup + 1 - pipelined_share)
