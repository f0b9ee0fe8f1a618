"""The data set that a description or its user names, checked to fit its network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.digits import DIGITS
from counterflow.design.data.friedman import FRIEDMAN, INPUTS, friedman
from counterflow.design.data.learnable import check_differ, untaught
from counterflow.design.data.own.files import holds_data, is_path
from counterflow.design.data.own.read import Given, read
from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sets import NAMES, SOURCES, Dataset, load, synthetic
from counterflow.design.data.sources import DataError, digest
from counterflow.design.data.targets import of_targets, with_targets
from counterflow.design.network.complaints import nearest
from counterflow.design.network.description import Description
from counterflow.design.network.reading import Reading

SYNTHETIC = "synthetic"  # made to fit the network, the same for every run
SYNTHETIC_COUNT = 200
SYNTHETIC_SEED = 1
SYNTHETIC_CLASSES = 2  # clusters, for a network that is told none
MADE = (*NAMES, SYNTHETIC, FRIEDMAN)
"""Data sets that have names."""


def training_data(
    description: Description,
    data: Given | None = None,
    *,
    reading: Reading | None = None,
    beside: Path | None = None,
) -> Dataset:
    """The data set of `description`, or `data`: a path, arrays or a function that returns them.

    A folder with the files of the set that the description names is read as that.  `reading` takes
    the place of the description's; its relative path counts from the folder `beside`, if there is
    such a file, else from the current one.

    Raises ValueError for an unknown set, for one that is missing or damaged, and for one whose
    samples the network cannot take.
    """
    name, how = description.dataset, reading or description.data or Reading()
    if data is not None:
        return _fitted(description, _brought(description, data, how), how)
    if name in MADE and how != Reading():
        raise ValueError(
            f"{description.name} is trained on {name}, of which nothing can be said in [data] or "
            "with --label; name a file in dataset or with --data, or leave that out."
        )
    if name in (SYNTHETIC, FRIEDMAN):
        dataset = _synthetic(description) if name == SYNTHETIC else _friedman()
        return with_targets(description, dataset)
    if name in NAMES:
        dataset = load(name)
        check_fits(description, dataset)
        return with_targets(description, dataset)
    there = None if beside is None else beside / name
    if is_path(name) or (there is not None and there.exists()):
        place = there if there is not None and there.exists() else Path(name)
        targets = description.target_source == "data"
        return _fitted(description, read(place, how, name=name, targets=targets), how)
    close = nearest(name, MADE)
    raise ValueError(
        f"dataset {name!r} is unknown{f'{close} Possible' if close else '; possible'} are "
        f"{', '.join(MADE)} and the path of a file or folder."
    )


def _fitted(description: Description, dataset: Dataset, how: Reading) -> Dataset:
    found = with_targets(description, scaled(description, dataset, how))
    check_differ(found, description.formats.input)
    return replace(found, told=(*found.told, *untaught(found))) if description.judged else found


def _synthetic(description: Description) -> Dataset:
    """Clusters for the network; targets of a regression are smooth functions of their elements."""
    outputs = description.outputs
    found = replace(
        synthetic(
            description.features,
            description.classes if description.judged else SYNTHETIC_CLASSES,
            SYNTHETIC_COUNT,
            seed=SYNTHETIC_SEED,
            shape=description.image,
        ),
        name=SYNTHETIC,
    )
    if description.target_source != "data":
        return found
    halves = [half.astype(np.float64) / 256.0 for half in (found.train_x, found.test_x)]
    made = [
        np.stack([(half**2 * _signs(half, k)).mean(axis=1) for k in range(outputs)], 1)
        for half in halves
    ]
    return of_targets(found, *made)


def _signs(half: NDArray[Any], k: int) -> NDArray[np.float64]:
    """1 and -1 in turns of k + 1 elements."""
    return np.where(np.arange(half.shape[1]) // (k + 1) % 2, -1.0, 1.0)


def _friedman() -> Dataset:
    x, t, test_x, test_t = friedman()
    none = [np.zeros(len(half), np.uint8) for half in (x, test_x)]
    return Dataset(
        FRIEDMAN,
        x,
        none[0],
        test_x,
        none[1],
        Scaling.common(1),
        1,
        (1, 1, INPUTS),
        digest((x, t, test_x, test_t)),
        train_t=t,
        test_t=test_t,
    )


def _brought(description: Description, data: Given, how: Reading) -> Dataset:
    """What is in `data`; the published set of the description where that is it, by its hash."""
    source = SOURCES.get(description.dataset)
    targets = description.target_source == "data"
    if source is None:
        return read(data, how, targets=targets)
    folder = Path(data) if isinstance(data, Path | str) else None
    if folder and folder.is_dir() and not holds_data(folder) and source is not DIGITS:
        return load(source.name, folder)  # in a form of its own, or with the error of its own
    found = read(data, how, targets=targets)
    if found.sha256 != source.sha256:
        return replace(found, told=(*found.told, f"This is not {source.name} as published."))
    scaling = Scaling.common(source.pixel_max)
    return replace(found, name=source.name, shape=source.shape, scaling=scaling)


def scaled(description: Description, dataset: Dataset, reading: Reading) -> Dataset:
    """`dataset`, which must fit, with the scaling that suits the network's input format, and told.

    Images have one scaling for all pixels; of a table each column has its own, unless `reading`
    says otherwise.
    """
    check_fits(description, dataset)
    target, x = description.formats.input, dataset.train_x
    table = dataset.shape[:2] == description.image[:2] == (1, 1)
    by_column = (reading.scale or ("columns" if table else "common")) == "columns"
    least, _ = dataset.range
    if not by_column and least < 0 and not target.signed:
        raise DataError(
            f"{dataset.name} has elements down to {least:g}, but formats.input is {target} and "
            f'holds none below 0; set input = "s{target.bits}.{target.bits - 1}" in [formats], or '
            'scale = "columns" in [data].'
        )
    if by_column:
        scaling = Scaling.by_column(x.min(axis=0), x.max(axis=0), signed=target.signed)
        to = f"{'-1..1' if target.signed else '0..1'} by its own range"
        said = f"Each column is scaled to {to} and rounded to {target}."
    else:
        scaling = dataset.scaling
        said = f"Elements are divided by {scaling.scale[0]:g} and rounded to {target}."
    return replace(dataset, scaling=scaling, told=(*dataset.told, said))


def check_fits(description: Description, dataset: Dataset) -> None:
    """`ValueError`, one sentence, where the network cannot take the samples of `dataset`.

    A network of vectors takes images of as many elements, and one of images vectors whose elements
    are in the order of an image's; images must have the shape that it wants.  One of signals, which
    are images of height one, takes arrays [N, length, channels], too.
    """
    name, shape = dataset.name, list(dataset.shape)
    wanted = description.image
    signal = (1, *dataset.shape) == (*wanted, 1)
    vector, flat = wanted[:2] == (1, 1), signal or dataset.shape[:2] == (1, 1)
    if math.prod(shape) != description.features or not (vector or flat or wanted == dataset.shape):
        has = f"{description.features} inputs" if vector else f"inputs = {list(wanted)}"
        would = f"{math.prod(shape)} or {shape}" if vector and not flat else f"{shape}"
        are = f"are images of {'x'.join(map(str, shape))}"
        if flat:
            are, would = f"have {math.prod(shape)} elements", f"{math.prod(shape)}"
        other = "or name another dataset"
        if (shape[1], shape[2], shape[0]) == wanted:
            other = "or bring channels to the end, as x.transpose(0, 2, 3, 1) does"
        elif (1, shape[1], shape[0], 1) == (*wanted, shape[2]):
            other = "or bring channels to the end, as x.transpose(0, 2, 1) does"
        raise ValueError(
            f"{description.name} has {has}, but the samples of {name} {are}; set inputs = {would} "
            f"{other}."
        )
    if description.judged and dataset.classes > description.classes:
        raise ValueError(
            f"{description.name} tells {description.classes} classes apart, but {name} has "
            f"{dataset.classes}, numbered from 0 on; the last layer needs at least "
            f"{dataset.classes} outputs."
        )
