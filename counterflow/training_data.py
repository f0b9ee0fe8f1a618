"""The data set that a description names, checked to fit its network."""

from __future__ import annotations

from pathlib import Path

from counterflow.complaints import nearest
from counterflow.data import NAMES, Dataset, load, synthetic
from counterflow.description import Description

SYNTHETIC = "synthetic"  # made to fit the network, the same for every run
SYNTHETIC_COUNT = 200
SYNTHETIC_SEED = 1


def training_data(description: Description, folder: Path | None = None) -> Dataset:
    """The data set of `description`; files, where it has any, lie in `folder` if that is given.

    Raises ValueError for an unknown set, for one that is missing or damaged, and for one whose
    samples the network cannot take.
    """
    name = description.dataset
    if name == SYNTHETIC:
        return synthetic(
            description.elements, description.classes, SYNTHETIC_COUNT, seed=SYNTHETIC_SEED
        )
    known = (*NAMES, SYNTHETIC)
    if name not in known:
        raise ValueError(
            f"dataset {name!r} is unknown{nearest(name, known) or ';'} "
            f"Possible are {', '.join(known)}."
        )
    dataset = load(name, folder)
    pixels = dataset.train_x.shape[1]
    if pixels != description.elements:
        raise ValueError(
            f"{description.name} has {description.elements} inputs, but the samples of {name} have "
            f"{pixels} elements; set inputs = {pixels} or name another dataset."
        )
    if dataset.classes > description.classes:
        raise ValueError(
            f"{description.name} tells {description.classes} classes apart, but {name} has "
            f"{dataset.classes}; the last layer needs at least {dataset.classes} outputs."
        )
    return dataset
