"""Samples and labels as a file has them, checked, and in the form that trainings take.

Readers of files make a `Half`; what is wrong with its numbers is said here, with the place that
the reader knows: `x_train[3, 2]` of an array, line 5, column 3 of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.sources import Bytes, DataError

MAX_CLASSES = 256  # of a softmax
LARGEST = 1e100  # in magnitude; what is larger is a mistake, and its differences may be infinite
MISSING = ("", "?", "na", "n/a", "nan", "null", "none")
"""What stands for nothing in a table, in lower case."""
REGRESSION = (
    'targets of a regression need loss = "mse" in the description, and --targets in data show'
)


@dataclass(frozen=True)
class Half:
    """Samples [N, ...] and labels [N], numbers or text, or targets [N, k].

    ``sample_at`` and ``label_at`` say in words where an element stands, by its index, that of the
    flat array of targets; ``remedy`` what may be done where labels look like something else.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    sample_at: Callable[[tuple[int, ...]], str]
    label_at: Callable[[int], str]
    remedy: str = ""


def samples_of(half: Half) -> NDArray[Any]:
    """The samples as bytes where that loses nothing, else as float64, in their shape.

    That same numbers have the same hash, whatever type a file gives them.  Raises DataError for
    what is no number or not finite.
    """
    x = half.x
    if x.dtype.kind not in "biuf":
        raise DataError(f"{half.sample_at(())} is of the type {x.dtype}, expected numbers.")
    if x.dtype == np.uint8 or x.dtype.kind == "b" or not x.size:
        return x.astype(np.uint8)
    values = x.astype(np.float64)
    wrong = ~(np.abs(values) <= LARGEST)
    if wrong.any():
        at = tuple(int(one) for one in np.unravel_index(wrong.argmax(), x.shape))
        shown, remedy = f"{values[at]:g}", "correct it, or leave its sample out"
        expected = f"a number up to {LARGEST:g}" if np.isfinite(values[at]) else "a finite number"
        raise DataError(f"{half.sample_at(at)} is {shown}, expected {expected}; {remedy}.")
    small = values.min() >= 0 and values.max() <= 255 and not (values % 1).any()
    return values.astype(np.uint8) if small else values


def labels_of(halves: Sequence[Half]) -> tuple[list[Bytes], tuple[str, ...]]:
    """The labels of each half as numbers from 0 on, and the names of classes if they have any.

    Names are sorted; numbers stay what they are.  Raises DataError for a label that is missing, no
    whole number or out of range.
    """
    for half in halves:
        _check_shape(half)
    of_text = [half.y.dtype.kind in "US" for half in halves]
    if any(of_text):
        if not all(of_text):
            numbers = halves[of_text.index(False)]
            raise DataError(
                f"{numbers.label_at(0)} is a number, but those of the other half are text; name "
                "classes alike in both."
            )
        return _named(halves)
    return [_numbered(half) for half in halves], ()


def _check_shape(half: Half) -> None:
    if half.y.dtype.kind not in "biufUS":
        raise DataError(
            f"{half.label_at(0)} is of the type {half.y.dtype}, expected whole numbers or text."
        )
    if half.y.ndim == 2 and half.remedy:  # of a table
        raise DataError(
            f"{half.sample_at(())}: label names {half.y.shape[1]} columns, which are targets then: "
            f"{REGRESSION}; of classes name one column."
        )
    if half.y.ndim == 2 and half.y.shape[0] == half.x.shape[0]:
        where = half.label_at(0).rpartition("[")[0] or half.label_at(0)
        raise DataError(
            f"{where} has the shape {half.y.shape}, expected one label for each of "
            f"{len(half.x):,} samples; of classes as rows of 0 and 1 give {where.split()[-1]}"
            f".argmax(axis=1), and {REGRESSION}."
        )
    if half.y.shape != half.x.shape[:1]:
        raise DataError(
            f"{half.label_at(0).rpartition('[')[0]} has the shape {half.y.shape} for "
            f"{len(half.x):,} samples, expected one label for each."
        )


def _named(halves: Sequence[Half]) -> tuple[list[Bytes], tuple[str, ...]]:
    texts = [_text(half.y) for half in halves]
    for half, text in zip(halves, texts, strict=True):
        for at, one in enumerate(text.tolist()):
            if one.strip().lower() in MISSING:
                shown = f"is {one!r}" if one.strip() else "is empty"
                raise DataError(
                    f"{half.label_at(at)} {shown}, expected a class; leave its sample out."
                )
    names = sorted(set().union(*(text.tolist() for text in texts)))
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"{halves[0].label_at(0)} is one of {len(names):,} classes, such as {names[0]!r} and "
            f"{names[1]!r}; at most {MAX_CLASSES} are possible{halves[0].remedy}."
        )
    found = [np.searchsorted(names, text).astype(np.uint8) for text in texts]
    return found, tuple(names)


def _text(labels: NDArray[Any]) -> NDArray[np.str_]:
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    return labels.astype(str)


def _numbered(half: Half) -> Bytes:
    values = half.y.astype(np.float64)
    whole = np.isfinite(values) & (np.floor(values) == values)
    for wrong, expected in (
        (~whole, f"a whole number from 0 on or text; {REGRESSION}"),
        (values < 0, "classes numbered from 0 on, or with names"),
        (
            values >= MAX_CLASSES,
            f"0..{MAX_CLASSES - 1}, as there are at most {MAX_CLASSES} classes; {REGRESSION}",
        ),
    ):
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"{half.label_at(at)} is {values[at]:g}, expected {expected}{half.remedy}."
            )
    return values.astype(np.uint8)


def targets_of(halves: Sequence[Half]) -> list[NDArray[np.float64]]:
    """Targets [N, k] of each half; DataError for what is no number or not finite, and for shapes.

    A half has one target a sample, or a row of several.
    """
    found = []
    for half in halves:
        if half.y.dtype.kind not in "biuf":
            raise DataError(
                f"{_no_number(half)}, expected a number, as targets are; for classes leave out "
                "loss and targets of the description."
            )
        if half.y.ndim not in (1, 2) or half.y.shape[0] != half.x.shape[0] or 0 in half.y.shape[1:]:
            where = half.label_at(0).rpartition("[")[0] or half.label_at(0)
            raise DataError(
                f"{where} has the shape {half.y.shape} for {len(half.x):,} samples, expected "
                "[N] or [N, targets]."
            )
        values = half.y.astype(np.float64).reshape(len(half.y), -1)
        wrong = ~(np.abs(values) <= LARGEST)
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"{half.label_at(at)} is {values.flat[at]:g}, expected a finite number up to "
                f"{LARGEST:g}; correct it, or leave its sample out."
            )
        found.append(values)
    if len({one.shape[1] for one in found}) > 1:
        raise DataError(
            f"{halves[1].label_at(0)} is one of {found[1].shape[1]} targets a sample, expected "
            f"{found[0].shape[1]} as in the half to train on."
        )
    return found


def _no_number(half: Half) -> str:
    """The first target that is no number: where it stands, and what it is."""
    if half.y.dtype.kind not in "US" or not half.y.size:
        return f"{half.label_at(0)} is of the type {half.y.dtype}"
    for at, one in enumerate(_text(half.y).ravel().tolist()):
        try:
            float(one)
        except ValueError:
            return f"{half.label_at(at)} is {repr(one) if one.strip() else 'empty'}"
    return f"{half.label_at(0)} is text"


def shape_of(x: NDArray[Any], where: str) -> tuple[int, int, int]:
    """Height, width and channels of samples [N], [N, n], [N, H, W] or [N, H, W, C]."""
    sizes = x.shape[1:]
    if len(sizes) > 3 or 0 in sizes:
        raise DataError(
            f"{where} has the shape {x.shape}, expected samples [N, n] or images [N, H, W] or "
            "[N, H, W, C]."
        )
    if len(sizes) < 2:
        return (1, 1, math.prod(sizes))
    return (int(sizes[0]), int(sizes[1]), int(sizes[2]) if len(sizes) == 3 else 1)
