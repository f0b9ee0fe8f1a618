"""Arrays: NPZ and NPY files, and those of a Python program."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.own.halves import Half
from counterflow.design.data.own.tables import REMEDY, Table, labels_in
from counterflow.design.data.sources import AGAIN, DAMAGE, DataError
from counterflow.design.network.reading import Reading

SAMPLES = ("x", "image", "images", "data", "features", "inputs", "pixels", "samples")
LABELS = ("y", "label", "labels", "target", "targets", "classes")
HALVES = {"": "train", "train": "train", "training": "train", "test": "test"}
NAMES = "x and y, or x_train, y_train, x_test and y_test"
"""What is asked for; others that mean the same are understood, too."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an NPZ file by name; nothing is unpickled.  DataError where it is damaged."""
    with _opened(path) as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an NPY file; nothing is unpickled.  DataError where it is damaged."""
    with _opened(path) as file:
        found: NDArray[Any] = np.load(file, allow_pickle=False)
        return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The open file, from which NumPy reads."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2, which may have written it
            yield file
    except DAMAGE as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> DataError:
    """What is to be said of a file that NumPy cannot read."""
    if "allow_pickle" in str(error):
        return DataError(
            f"{path}: has an array of Python objects, which is never read, as that would run code "
            "in it; save it as an array of numbers or of text."
        )
    reason = " ".join(str(error).split()).rstrip(".").replace(". ", "; ") or type(error).__name__
    return DataError(
        f"{path}: is damaged, or something else than its name says ({reason}); {AGAIN}."
    )


def halves_of(where: str, arrays: Mapping[str, Any]) -> tuple[list[Half], list[str]]:
    """The training half and, if there is one, the test half; the names of arrays not used.

    Raises DataError, naming the arrays, where one is missing or two are the same.
    """
    roles: dict[tuple[str, str], str] = {}
    unused = []
    for name in arrays:
        role = _role(name)
        if role is None:
            unused.append(name)
        elif role in roles:
            raise DataError(
                f"{where}: has both {roles[role]} and {name}, expected one of them; name arrays "
                f"{NAMES}."
            )
        else:
            roles[role] = name
    for half in dict.fromkeys(half for half, _ in roles):
        for part, other in (("x", "y"), ("y", "x")):
            if (half, part) not in roles:
                have = ", ".join(arrays)
                raise DataError(
                    f"{where}: has the arrays {have}, but none that is the {part} to "
                    f"{roles[half, other]}; name arrays {NAMES}."
                )
    if ("train", "x") not in roles:
        have = f"the arrays {', '.join(arrays)}" if arrays else "no arrays"
        raise DataError(f"{where}: has {have}, expected {NAMES}.")
    present = [half for half in ("train", "test") if (half, "x") in roles]
    return [
        half_of(
            where,
            roles[one, "x"],
            arrays[roles[one, "x"]],
            roles[one, "y"],
            arrays[roles[one, "y"]],
        )
        for one in present
    ], unused


def half_of(where: str, x_name: str, x: Any, y_name: str, y: Any) -> Half:
    """Samples and labels of two arrays, which errors call by these names."""
    for name, array in ((x_name, x), (y_name, y)):
        if np.ma.is_masked(array):  # what the mask hides would be trained on
            raise DataError(
                f"{where}: {name} has masked values, expected all of them; fill them in, or leave "
                "their samples out."
            )
    try:
        x, y = np.asarray(x), np.asarray(y)
    except ValueError as error:
        raise DataError(
            f"{where}: {x_name} or {y_name} has rows of several lengths, expected an array."
        ) from error
    if not x.ndim:
        raise DataError(f"{where}: {x_name} is a single value, expected samples [N, ...].")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]

    def sample_at(index: tuple[int, ...]) -> str:
        return f"{where}: {x_name}" + (f"[{', '.join(map(str, index))}]" if index else "")

    def label_at(at: int) -> str:
        places = divmod(at, y.shape[1]) if y.ndim == 2 else (at,)
        return f"{where}: {y_name}[{', '.join(map(str, places))}]"

    return Half(x, y, sample_at, label_at)


def table_of(path: Path, array: NDArray[Any], reading: Reading) -> Table:
    """The table that a single array is: [N, columns], or fields with names."""
    names: tuple[str, ...] = array.dtype.names or ()
    columns = len(names) or math.prod(array.shape[1:])
    if array.ndim != (1 if names else 2) or columns < 2:
        raise DataError(
            f"{path}: is an array of shape {array.shape}, expected a table [N, columns] with a "
            f"column of labels; save samples and labels as NPZ with the names {NAMES}."
        )
    labels = labels_in(path, names, columns, reading.label)

    def column(at: int) -> NDArray[Any]:
        return array[names[at]] if names else array[:, at]

    features = [at for at in range(columns) if at not in labels]
    words = [f"[{names[at]!r}]" if names else f", {at}]" for at in range(columns)]
    try:
        x = np.stack([column(at) for at in features], axis=1)
        y = np.stack([column(at) for at in labels], axis=1)
    except (TypeError, ValueError) as error:
        raise unreadable(path, error) from error

    def place(row: int, at: int) -> str:
        return f"{path}: [{row}]{words[at]}" if names else f"{path}: [{row}{words[at]}"

    def sample_at(index: tuple[int, ...]) -> str:
        return place(index[0], features[index[1]]) if index else str(path)

    def label_at(at: int) -> str:
        return place(at // len(labels), labels[at % len(labels)])

    half = Half(x, y[:, 0] if len(labels) == 1 else y, sample_at, label_at, REMEDY)
    return Table(half, names, labels)


def _role(name: str) -> tuple[str, str] | None:
    """The half and "x" or "y" of an array's name such as x_train, train_images or labels."""
    words = name.lower().replace("-", "_").split("_")
    for first, second in ((words[0], "_".join(words[1:])), (words[-1], "_".join(words[:-1]))):
        if first in SAMPLES + LABELS and second in HALVES:
            return HALVES[second], "x" if first in SAMPLES else "y"
    return None
