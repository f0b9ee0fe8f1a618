"""What outputs shall be where labels do not say it: targets in the data; a class held out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sets import Dataset
from counterflow.design.data.sources import digest
from counterflow.design.network.description import Description


def of_targets(dataset: Dataset, train: NDArray[Any], test: NDArray[Any]) -> Dataset:
    """`dataset` with these targets in place of labels."""
    arrays = (dataset.train_x, train, dataset.test_x, test)
    return replace(
        dataset,
        train_y=np.zeros_like(dataset.train_y),
        test_y=np.zeros_like(dataset.test_y),
        classes=1,
        sha256=digest(arrays),
        train_t=train,
        test_t=test,
    )


def with_targets(description: Description, dataset: Dataset) -> Dataset:
    """`dataset` as a network learns from it: targets scaled, the class held out apart.

    ValueError, one sentence, where it has not the targets that the network needs.
    """
    if description.target_source == "data":
        return _scaled_targets(description, dataset)
    if dataset.train_t is not None and description.judged:
        raise ValueError(
            f"{description.name} learns from labels, but {dataset.name} has targets that are "
            'numbers; set loss = "mse" in the description, or name another dataset.'
        )
    return dataset if description.held_out is None else _held_out(dataset, description.held_out)


def _scaled_targets(description: Description, dataset: Dataset) -> Dataset:
    name, target = dataset.name, description.formats.input
    train = dataset.train_t
    if train is None:
        raise ValueError(
            f"{description.name} learns from targets that are numbers, but {name} has labels; set "
            'targets = "label" or "input" in the description, or name another dataset.'
        )
    if train.shape[1] != description.outputs:
        raise ValueError(
            f"{description.name} has {description.outputs} outputs, but {name} has "
            f"{train.shape[1]} targets a sample; the last layer needs {train.shape[1]} outputs."
        )
    if description.loss == "bce":
        low, high = train.min(), train.max()
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} has targets of {low:g}..{high:g}, but those of the loss 'bce' lie from 0 "
                "to 1; divide them, or take the loss 'mse'."
            )
        return replace(dataset, target_scaling=Scaling.common(1))
    scaling = Scaling.by_column(train.min(axis=0), train.max(axis=0), signed=target.signed)
    said = f"Targets are scaled to {'-1..1' if target.signed else '0..1'} by their ranges and "
    said += f"rounded to {target}."
    return replace(dataset, target_scaling=scaling, told=(*dataset.told, said))


def _held_out(dataset: Dataset, one: int) -> Dataset:
    """`dataset` without class number `one`, whose samples are kept apart."""
    if one >= dataset.classes:
        raise ValueError(
            f"held_out is {one}, but {dataset.name} has the classes 0..{dataset.classes - 1}; name "
            "one of them."
        )
    train, test = dataset.train_y != one, dataset.test_y != one
    strange = np.concatenate([dataset.train_x[~train], dataset.test_x[~test]])
    if not len(strange) or not train.any():
        what = "has no sample of it" if len(strange) == 0 else "has no sample of another"
        raise ValueError(f"held_out is {one}, but {dataset.name} {what}; name another class.")
    arrays: Any = (
        *(dataset.train_x[train], dataset.train_y[train]),
        *(dataset.test_x[test], dataset.test_y[test]),
    )
    said = f"Class {one} is held out: its {len(strange):,} samples are for the end."
    return replace(
        dataset,
        train_x=arrays[0],
        train_y=arrays[1],
        test_x=arrays[2],
        test_y=arrays[3],
        sha256=digest((*arrays, strange)),
        strange_x=strange,
        told=(*dataset.told, said),
    )
