"""The ends of a network: what a sample brings besides its elements, and the loss of its scores.

Where targets come with the data, they stand behind the elements of a sample, as many as the network
has outputs and in the same format; a split parts them.  Where the input is its own target, a fork
copies it.  Both lead to the loss by an edge past all layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from counterflow.design.graph import Edge, Growth
from counterflow.design.parts.geometry import Shape
from counterflow.design.parts.roles import Formats
from counterflow.design.units.bce import BceUnit
from counterflow.design.units.convolution import Dense
from counterflow.design.units.fork import ForkUnit
from counterflow.design.units.loss import SoftmaxUnit
from counterflow.design.units.losses import LossUnit
from counterflow.design.units.mse import MseUnit
from counterflow.design.units.split import SplitUnit

Loss = Literal["softmax", "mse", "bce"]
Targets = Literal["label", "input", "data"]
"""Where targets come from: the label of a sample, the sample itself, or numbers of the data."""

LOSSES: Mapping[Loss, type[LossUnit]] = {"softmax": SoftmaxUnit, "mse": MseUnit, "bce": BceUnit}
USUAL: Mapping[Loss, Targets] = {"softmax": "label", "mse": "data", "bce": "label"}
"""Where targets come from unless a description says it."""

MIN_LOGIT = 4  # scores that saturate earlier can hardly tell classes apart
MOST_CLASSES = 256  # labels are bytes
MOST_OUTPUTS = 1024  # of a loss with targets of its own
TARGETS = "targets"  # the unit from which they come


def check_ends(
    loss: Loss, targets: Targets, last: Dense, formats: Formats, features: int, several: bool
) -> None:
    """ValueError, one sentence, where the last layer does not give what the loss can take.

    ``features``: elements of a sample; ``several``: there are components with losses of their own.
    """
    if loss == "softmax":
        _check_softmax(targets, last)
    else:
        _check_pointwise(loss, targets, last, features, several)
    logit, error = formats.logit, last.formats.error or formats.error
    if loss != "mse" and logit.value(logit.max + 1) < MIN_LOGIT:
        raise ValueError(
            f"formats.logit is {logit} and holds scores up to {logit.value(logit.max):g}; "
            f"it needs at least {MIN_LOGIT}, better 32, as s{logit.frac + 6}.{logit.frac} has"
        )
    if loss != "mse" and error.bits - error.frac < 2:
        what = "a label's error can be a little below -1" if loss == "softmax" else "errors reach 1"
        raise ValueError(
            f"the last layer's error format is {error}, but {what}, so it needs at least two bits "
            "above the fraction"
        )
    if last.formats.activation is not None:
        raise ValueError("the last layer's output has the format of formats.logit")
    if loss == "bce" and targets != "label" and formats.input.signed:
        raise ValueError(
            f"formats.input is {formats.input}, but targets of the loss 'bce' are in it, too, and "
            "they lie from 0 to 1; make it unsigned, such as u8.7, or take the loss 'mse'"
        )


def _check_softmax(targets: Targets, last: Dense) -> None:
    if targets != "label":
        raise ValueError(
            f"targets is '{targets}', but a softmax learns from labels; leave it out, or take the "
            "loss 'mse' or 'bce'"
        )
    if not 2 <= last.outputs <= MOST_CLASSES:
        raise ValueError(
            f"the last layer has {last.outputs} outputs; a softmax needs 2 to {MOST_CLASSES}"
        )


def _check_pointwise(
    loss: Loss, targets: Targets, last: Dense, features: int, several: bool
) -> None:
    most = MOST_CLASSES if targets == "label" else MOST_OUTPUTS
    if last.outputs > most:
        raise ValueError(
            f"the last layer has {last.outputs} outputs; the loss '{loss}' with targets "
            f"'{targets}' takes at most {most:,}"
        )
    if targets == "input" and last.outputs != features:
        raise ValueError(
            f"targets is 'input', so that the last layer needs an output for each of {features:,} "
            f"elements of a sample, but it has {last.outputs:,}"
        )
    if several:
        raise ValueError(
            f"the loss is '{loss}', but the heads of components have softmax losses only; leave "
            "out components, heads and exits, or take the loss 'softmax'"
        )


def sources(
    growth: Growth, image: Shape, outputs: int, targets: Targets
) -> tuple[Edge, Edge, tuple[Edge, ...]]:
    """The edge that the intake feeds, that of a sample's elements, and that of targets, if any."""
    formats = growth.formats

    def edge(shape: Shape) -> Edge:
        return growth.edge(shape, formats.input, formats.error, paths=(), rectified=False)

    if targets == "label":
        source = edge(image)
        return source, source, ()
    if targets == "input":
        source, elements, copies = edge(image), edge(image), edge(image)
        unit = ForkUnit(
            name=TARGETS,
            where="the targets",
            inputs=(source,),
            outputs=(elements, copies),
            round_error=growth.rounding.error,
        )
        growth.add(unit)
        return source, elements, (copies,)
    source = edge((1, 1, math.prod(image) + outputs))
    elements, own = edge(image), edge((1, 1, outputs))
    growth.add(
        SplitUnit(name=TARGETS, where="the targets", inputs=(source,), outputs=(elements, own))
    )
    return source, elements, (own,)
