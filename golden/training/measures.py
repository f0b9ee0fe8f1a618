"""What a loss says of a network that no label judges: errors in the units of the data.

Of mean squared errors there are the root of their mean, RMSE, and the share of the targets'
variance that is explained, R2: 1 is all of it, and 0 what the targets' own mean would do.  A class
that was held out of training is told by its losses: the area under the ROC curve, AUC, is the
chance that one of its samples has a larger loss than another one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.golden.training.models import Model, Part, part_of, targets_in

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """How far scores are from targets: `rmse` in `unit`, and `explained` of the variance (R2)."""

    rmse: float
    explained: float | None


@dataclass(frozen=True)
class Ruler:
    """Makes `Errors` of mean losses.

    ``outputs`` of a sample; ``unit``: what 1 of a score is in the data; ``variance``: that of the
    targets of the test samples, mean of outputs, None where they do not vary.
    """

    outputs: int
    unit: float
    variance: float | None

    @classmethod
    def of(cls, description: Description, dataset: Dataset, targets: Floats) -> Self | None:
        """That of a network whose test samples have these `targets` [N, outputs]; None without."""
        if description.loss != "mse" or description.judged:
            return None
        scaling, unit = dataset.target_scaling, 1.0
        if scaling is not None and len(set(scaling.scale)) == 1:
            unit = scaling.scale[0]
        variance = float(targets.var(axis=0).mean()) if len(targets) else 0.0
        return cls(description.outputs, unit, variance or None)

    def errors(self, loss: float) -> Errors:
        """Those behind a mean loss, which is half a sum of squares."""
        mean = 2 * loss / self.outputs
        explained = None if self.variance is None else 1 - mean / self.variance
        return Errors(math.sqrt(mean) * self.unit, explained)


def linear_fit(
    description: Description, dataset: Dataset, train: NDArray[Any], test: NDArray[Any]
) -> float | None:
    """The RMSE of test samples under a linear fit by least squares; None where there are no data.

    Of samples as they are sent, with their targets behind them: what a network has to beat.
    """
    ruler = Ruler.of(description, dataset, np.zeros((0, 1)))
    if ruler is None or description.target_source != "data" or not len(test):
        return None
    halves = [half * 2.0**-description.formats.input.frac for half in (train, test)]
    known = [np.c_[half[:, : description.features], np.ones(len(half))] for half in halves]
    wanted = [half[:, description.features :] for half in halves]
    plane, *_ = np.linalg.lstsq(known[0], wanted[0], rcond=None)
    squares = float(((known[1] @ plane - wanted[1]) ** 2).mean())
    return math.sqrt(squares) * ruler.unit


@dataclass(frozen=True)
class Roc:
    """How losses tell samples of a class held out from others.

    ``usual`` and ``strange``: how many there are of each; ``false`` and ``true``: shares of them
    with a loss above each threshold, from the highest on.
    """

    auc: float
    usual: int
    strange: int
    false: Sequence[float]
    true: Sequence[float]

    def to_json(self) -> dict[str, object]:
        """What scripts read."""
        return {"auc": self.auc, "usual": self.usual, "strange": self.strange}


def roc(usual: Floats, strange: Floats) -> Roc:
    """Of the losses of samples [N] and of those of the class that was held out [M]."""
    losses = np.concatenate([usual, strange])
    of_strange = np.concatenate([np.zeros(len(usual)), np.ones(len(strange))])
    thresholds = np.unique(losses)[::-1]
    above = [losses >= one for one in thresholds]
    true = [0.0, *(float(of_strange[one].sum() / len(strange)) for one in above)]
    false = [0.0, *(float((1 - of_strange[one]).sum() / len(usual)) for one in above)]
    return Roc(_area(true, false), len(usual), len(strange), false, true)


def _area(true: Sequence[float], false: Sequence[float]) -> float:
    """By trapezoids: equal losses count half."""
    steps, heights = np.diff(false), (np.array(true[1:]) + np.array(true[:-1])) / 2
    return float((steps * heights).sum())


def ruler_of(description: Description, dataset: Dataset, test: Part) -> Ruler | None:
    """What makes errors of losses, where those are squares."""
    if description.judged:
        return None
    return Ruler.of(description, dataset, targets_in(description, test))


def strange_told(
    chain: Model, description: Description, dataset: Dataset, test: Part
) -> Roc | None:
    """How the losses of the class that was held out differ from those of the test samples."""
    strange = dataset.strange_x
    if strange is None or not len(test):
        return None
    own = part_of(description, dataset, strange, np.zeros(len(strange), np.uint8))
    return roc(chain.losses(test), chain.losses(own))
