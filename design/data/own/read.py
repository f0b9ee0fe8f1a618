"""Data of the user's own, from a file, a folder, arrays or a function, as a `Dataset`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.own.files import Found, in_path, of_arrays
from counterflow.design.data.own.halves import Half, labels_of, samples_of, shape_of, targets_of
from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sets import Dataset, Shape
from counterflow.design.data.sources import DataError, digest
from counterflow.design.network.reading import TEST, Reading
from counterflow.design.parts.order import epoch_order

Given = Path | str | Mapping[str, Any] | Sequence[Any] | Callable[[], Any]
"""A path; arrays by name; x and y, or also x_test and y_test; a function that returns one of these.
"""


def read(
    given: Given,
    reading: Reading | None = None,
    *,
    name: str | None = None,
    targets: bool = False,
) -> Dataset:
    """The data set in `given`, called `name`, by default the path or "arrays".

    With `targets` its labels are numbers that are wanted, as of a regression.

    Raises DataError, one sentence with file, place, value and remedy, for all that is no data set.
    """
    how = reading or Reading()
    if callable(given):
        name = name or getattr(given, "__name__", "function")
        given = given()
    if isinstance(given, Path | str):
        name = name or str(given)
        return _dataset(name, in_path(Path(given), how), how, targets)
    name = name or "arrays"
    if isinstance(given, Mapping):
        arrays: Mapping[str, Any] = given
    elif isinstance(given, Sequence) and len(given) in (2, 4):
        arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), given, strict=False))
    else:
        raise DataError(f"{name}: is {type(given).__name__}, expected (x, y) or arrays by name.")
    return _dataset(name, of_arrays(name, arrays, how), how, targets)


def _dataset(name: str, found: Found, how: Reading, targets: bool) -> Dataset:
    """What is there, with numbers as `targets` or with labels."""
    if found.labelled:
        what = "target" if targets else "label"
        what += "s are" if len(found.labelled) > 1 else " is"
        which = f"The {what} {', '.join(found.labelled)}."
        found = replace(found, told=(which, *found.told))
    shape, samples = _samples(name, found.halves)
    if targets:
        return _of_targets(name, found, how, shape, samples)
    labels, names = labels_of(found.halves)
    classes = len(names) or 1 + max(int(one.max(initial=0)) for one in labels)
    present = {*np.concatenate(labels).tolist()}
    if len(present) < 2:
        shown = names[0] if names else labels[0][0]
        raise DataError(f"{name}: all labels are {shown}, expected at least two classes.")
    samples, labels, said = _halved(name, samples, labels, how)
    told = [*found.told, *said]
    if names:
        told.append(f"Classes from 0 on are {_listed(names)}.")
    if without := sorted(set(range(classes)) - present):
        told.append(f"Classes without samples: {_listed([*map(str, without)])}.")
    arrays = _kept(samples[0], labels[0], samples[1], labels[1])
    scaling = Scaling.common(float(np.abs(samples[0]).max()))
    hashed = digest(arrays)
    return Dataset(name, *arrays, scaling, classes, shape, hashed, tuple(told), names=names)


def _of_targets(
    name: str, found: Found, how: Reading, shape: Shape, samples: list[NDArray[Any]]
) -> Dataset:
    samples, targets, said = _halved(name, samples, targets_of(found.halves), how)
    arrays = _kept(samples[0], targets[0], samples[1], targets[1])
    none = [np.zeros(len(half), np.uint8) for half in samples]
    return Dataset(
        name,
        samples[0],
        none[0],
        samples[1],
        none[1],
        Scaling.common(float(np.abs(samples[0]).max())),
        1,
        shape,
        digest(arrays),
        (*found.told, *said),
        train_t=targets[0],
        test_t=targets[1],
    )


def _kept(*arrays: NDArray[Any]) -> tuple[Any, Any, Any, Any]:
    """The same, read-only."""
    for array in arrays:
        array.flags.writeable = False
    first, second, third, fourth = arrays
    return first, second, third, fourth


def _halved(
    name: str, samples: list[NDArray[Any]], labels: Sequence[NDArray[Any]], how: Reading
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], list[str]]:
    """Two halves, of which the second is drawn where there is one; what was done, in sentences."""
    if len(samples) == 1:
        parts, drawn, said = _split(name, samples[0], labels[0], how)
        return parts, drawn, [said]
    if how.test is not None:
        raise DataError(
            f"{name}: has a test half, so that data.test can say nothing; leave it out."
        )
    return samples, list(labels), []


def _samples(name: str, halves: Sequence[Half]) -> tuple[Shape, list[NDArray[Any]]]:
    """The shape of a sample, and those of each half, [N, n], which have one type."""
    first = halves[0]
    for half in halves[1:]:
        if half.x.shape[1:] != first.x.shape[1:]:
            raise DataError(
                f"{half.sample_at(())} has samples of shape {half.x.shape[1:]}, expected "
                f"{first.x.shape[1:]} as those to train on."
            )
    if not len(first.x):
        raise DataError(f"{name}: has no samples to train on, expected some of at least 2 classes.")
    shape = shape_of(first.x, first.sample_at(()))
    samples = [samples_of(half).reshape(len(half.x), math.prod(shape)) for half in halves]
    if len({one.dtype for one in samples}) > 1:
        samples = [one.astype(np.float64) for one in samples]
    return shape, samples


def _split(
    name: str, x: NDArray[Any], y: NDArray[Any], how: Reading
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], str]:
    """A training and a test half drawn by the seed, and what was done in a sentence."""
    share = TEST if how.test is None else how.test
    tests = math.ceil(round(share * len(x), 6))  # 0.1 x 30 is a little above 3
    if len(x) - tests < 1:
        raise DataError(
            f"{name}: has {len(x)} samples, of which {tests} are kept for testing; expected more, "
            "or a smaller share in data.test."
        )
    order = epoch_order(len(x), how.seed, 0)
    parts = order[: len(x) - tests], order[len(x) - tests :]
    said = f"{tests:,} of {len(x):,} samples are kept for testing, drawn with seed {how.seed}."
    return [x[part] for part in parts], [y[part] for part in parts], said


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f", ... {names[-1]}" if len(names) > most else ""
    return ", ".join(names[:most]) + more
