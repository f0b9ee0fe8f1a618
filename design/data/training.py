"""The data set that a description names, checked to fit its network."""

from __future__ import annotations

import math
from pathlib import Path

from counterflow.design.data.sets import NAMES, Dataset, load, synthetic
from counterflow.design.network.complaints import nearest
from counterflow.design.network.description import Description

SYNTHETIC = "synthetic"  # made to fit the network, the same for every run
SYNTHETIC_COUNT = 200
SYNTHETIC_SEED = 1


def training_data(description: Description, folder: Path | None = None) -> Dataset:
    """The data set of `description`; files, where it has any, lie in `folder` if that is given.

    Raises ValueError for an unknown set, for one that is missing or damaged, and for one whose
    samples the network cannot take.
    """
    name = description.dataset
    if name == SYNTHETIC and folder is not None:
        raise ValueError(
            f"{description.name} is trained on synthetic data, which are not read from {folder}; "
            "leave out the folder, or name a data set that is in it."
        )
    if name == SYNTHETIC:
        return synthetic(
            description.elements,
            description.classes,
            SYNTHETIC_COUNT,
            seed=SYNTHETIC_SEED,
            shape=description.image,
        )
    known = (*NAMES, SYNTHETIC)
    if name not in known:
        raise ValueError(
            f"dataset {name!r} is unknown{nearest(name, known) or ';'} "
            f"Possible are {', '.join(known)}."
        )
    dataset = load(name, folder)
    check_fits(description, dataset)
    return dataset


def check_fits(description: Description, dataset: Dataset) -> None:
    """`ValueError`, one sentence, where the network cannot take the samples of `dataset`.

    A network of vectors takes images of as many elements; one of images wants their shape.
    """
    name, shape = dataset.name, list(dataset.shape)
    wanted = description.image
    vector = wanted[:2] == (1, 1)
    if math.prod(shape) != description.elements or not (vector or wanted == dataset.shape):
        has = f"{description.elements} inputs" if vector else f"inputs = {list(wanted)}"
        would = f"{math.prod(shape)} or {shape}" if vector else f"{shape}"
        raise ValueError(
            f"{description.name} has {has}, but the samples of {name} are images of "
            f"{'x'.join(map(str, shape))}; set inputs = {would} or name another dataset."
        )
    if dataset.classes > description.classes:
        raise ValueError(
            f"{description.name} tells {description.classes} classes apart, but {name} has "
            f"{dataset.classes}; the last layer needs at least {dataset.classes} outputs."
        )
