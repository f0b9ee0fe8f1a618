"""What a model takes of the columns of a table, and gives in the units of its targets.

A network here gets of each column a value from 0 to 1 or from -1 to 1.  A model from elsewhere was
trained on the columns as they stand in the file, or on these with mean 0 and deviation 1.  Its
first layer takes in what is between both, and its last one what is between targets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from counterflow.design.data.sets import Dataset
from counterflow.design.network.description import Description
from counterflow.exchange.imported.network import Read, read_pieces
from counterflow.exchange.imported.pieces import Floats
from counterflow.exchange.imported.walk import NO_UNITS, Affine, Units

Columns = Literal["raw", "standard", "scaled"]
COLUMNS: tuple[Columns, ...] = get_args(Columns)


class Moments(NamedTuple):
    """Mean and deviation of columns; [columns] each."""

    mean: Floats
    deviation: Floats


def of_columns(read: Read, description: Description, dataset: Dataset, columns: Columns) -> Read:
    """`read` as a network for the data here, whose columns the model takes so.

    The same where columns are not scaled one by one, as those of images.  ValueError where another
    way is asked for then, and where the first layer cannot take it in.
    """
    if columns != "raw" and dataset.scaling.columns is None:
        raise ValueError(
            f"--columns is {columns!r}, but the elements of {dataset.name} are scaled together, as "
            "those of images are; leave it out"
        )
    units = _units(description, dataset, columns)
    if units == NO_UNITS:
        return read
    return replace(read_pieces(read.source, units), learnt=read.learnt)


def _units(description: Description, dataset: Dataset, columns: Columns) -> Units:
    """What a model's inputs and outputs are of the values of a network."""
    scaling, targets = dataset.scaling, dataset.target_scaling
    if columns == "scaled":
        return NO_UNITS
    inputs = outputs = None
    if scaling.columns is not None:
        scale, zero = np.array(scaling.scale), np.array(scaling.zero)
        mean, deviation = _moments(dataset) if columns == "standard" else Moments(zero * 0, zero**0)
        inputs = Affine(scale / deviation, (zero - mean) / deviation, "the scaling of columns")
    if targets is not None and description.loss == "mse":
        scale, zero = (np.array(one, np.float64) for one in (targets.scale, targets.zero))
        outputs = Affine(scale, zero, "the scaling of targets")
    return Units(inputs, outputs)


def _moments(dataset: Dataset) -> Moments:
    """Those of the training half; a column that is always the same has the deviation 1."""
    x = dataset.train_x.reshape(len(dataset.train_x), -1).astype(np.float64)
    deviation = x.std(axis=0)
    return Moments(x.mean(axis=0), np.where(deviation > 0, deviation, 1.0))
