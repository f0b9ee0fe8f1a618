"""What files and folders of data hold, by their contents: docs/your-data.md has the rules."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterflow.design.data.own.arrays import halves_of, read_npy, read_npz, table_of
from counterflow.design.data.own.halves import Half
from counterflow.design.data.own.idx_files import idx_files, read_idx_files
from counterflow.design.data.own.images import classes_in, is_image, read_images, visible
from counterflow.design.data.own.tables import read_table
from counterflow.design.data.sets import NAMES
from counterflow.design.data.sources import DataError
from counterflow.design.network.reading import Reading

UNDERSTOOD = (
    "a CSV, NPZ or NPY file, a folder with IDX files, or a folder with a folder of PNG or JPEG "
    "files for each class"
)
TABLES = (".csv", ".tsv", ".txt", ".data")
ARRAYS = (".npz", ".npy")
HALVES = ("train", "test")
"""Folders of images."""
MAGIC = (
    (b"PK\x03\x04", ".npz"),
    (b"PK\x05\x06", ".npz"),  # without arrays
    (b"\x93NUMPY", ".npy"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"\x1f\x8b", "a packed file"),
    (b"\0\0", "an IDX file"),
    (b"\x89HDF", "HDF5"),
    (b"PAR1", "Parquet"),
    (b"\x80", "a pickle, which would run code,"),
    (b"%PDF", "PDF"),
)
START = 64  # bytes by which a file is known
TEXTS = (
    (re.compile(rb"\s*<(!doctype|!--|\?xml|html|svg)", re.IGNORECASE), "HTML or XML"),
    (re.compile(rb'\s*(\{\s*["}]|\[\s*([\[{"]|-?[\d.]+\s*,))'), "JSON"),
)
"""What is no table, though it is text."""


@dataclass(frozen=True)
class Found:
    """``halves``: of training and, if there is one, of testing; ``told``: sentences about them.

    ``labelled``: which columns of a table have the labels, in words each.
    """

    halves: list[Half]
    told: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()


Reader = Callable[[Path, Reading], Found]


def is_path(text: str) -> bool:
    """Whether the name of a data set is the path of a file or folder."""
    return os.sep in text or "." in text or Path(text).exists()


def holds_data(folder: Path) -> bool:
    """Whether there is something in `folder` that `in_path` would try."""
    return _reader(folder) is not None


def in_path(path: Path, how: Reading) -> Found:
    """What is at `path`, read as `how` says; DataError, in one sentence, where that is no data."""
    if path.is_dir():
        reader = _reader(path)
        if reader is None:
            raise DataError(f"{path}: has nothing in it that is understood; expected {UNDERSTOOD}.")
        return reader(path, how)
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no file, but a device or a pipe; expected {UNDERSTOOD}.")
    try:
        with path.open("rb") as file:
            start = file.read(START)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file or folder{_known(path)}.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    if not start:
        raise DataError(f"{path}: is empty, expected {UNDERSTOOD}.")
    kind = next((kind for magic, kind in MAGIC if start.startswith(magic)), ".csv")
    if kind == ".csv" and path.suffix.lower() not in ARRAYS:
        kind = next((kind for pattern, kind in TEXTS if pattern.match(start)), kind)
    if kind == ".npz":
        return of_arrays(str(path), read_npz(path), how)
    if kind == ".npy":
        table = table_of(path, read_npy(path), how)
        return Found([table.half], labelled=table.labelled)
    if kind != ".csv":
        folder = f"; give its folder, {path.parent}" if kind in ("an image", "an IDX file") else ""
        raise DataError(f"{path}: is {kind} and not read alone, expected {UNDERSTOOD}{folder}.")
    if path.suffix.lower() in ARRAYS:
        raise DataError(
            f"{path}: begins with the bytes {start[:4].hex(' ')}, which no {path.suffix} file "
            "does; it is damaged or something else."
        )
    return _tables([path], how)


def of_arrays(where: str, arrays: Mapping[str, Any], how: Reading) -> Found:
    """Those of `arrays` that are samples and labels, by their names."""
    _refuse_label(where, how)
    halves, unused = halves_of(where, arrays)
    return Found(halves, (f"Not used: {', '.join(unused)}.",) if unused else ())


def _reader(folder: Path) -> Reader | None:
    """What reads a folder with such things in it."""
    if idx_files(folder):
        return lambda path, how: _unlabelled(path, how, read_idx_files(path))
    if classes_in(folder / "train"):
        return lambda path, how: _unlabelled(path, how, _image_halves(path), _beside(path))
    if classes_in(folder):
        return lambda path, how: _unlabelled(path, how, [read_images(path)])
    files = [path for path in visible(folder) if path.is_file()]
    halves = [path for path in files if path.name in ("train.csv", "test.csv")]
    if folder / "train.csv" in halves:
        return lambda _, how: _tables(halves[::-1], how)
    numbers = {path.stem: path for path in files if path.suffix == ".npy"}
    if len(numbers) > 1:
        return lambda path, how: of_arrays(str(path), _loaded(numbers), how)
    alone = [path for path in files if path.suffix.lower() in TABLES + ARRAYS]
    if len(alone) == 1:
        return lambda _, how: in_path(alone[0], how)
    if any(map(is_image, files)):
        raise DataError(
            f"{folder}: has images in it, but no folder for each class, whose name is the label."
        )
    return None


def _known(path: Path) -> str:
    """A remark on a name that is that of a published data set and of no file."""
    if str(path) not in NAMES:
        return ""
    return "; `counterflow data list` has the set of that name, which `dataset` or --dataset names"


def _loaded(files: Mapping[str, Path]) -> dict[str, Any]:
    return {name: read_npy(path) for name, path in files.items()}


def _image_halves(folder: Path) -> list[Half]:
    halves = [folder / name for name in HALVES if (folder / name).is_dir()]
    return [read_images(half) for half in halves]


def _beside(folder: Path) -> tuple[str, ...]:
    """Whether there are folders beside those of the halves."""
    others = [one.name for one in visible(folder) if one.is_dir() and one.name not in HALVES]
    return (f"Not used: {', '.join(others)}.",) if others else ()


def _unlabelled(path: Path, how: Reading, halves: list[Half], told: tuple[str, ...] = ()) -> Found:
    """Halves that say themselves what is the label."""
    _refuse_label(str(path), how)
    return Found(halves, told)


def _refuse_label(where: str, how: Reading) -> None:
    for name in ("label", "header"):
        value = getattr(how, name)
        if value is not None:
            raise DataError(
                f"{where}: {name} is {value!r}, which says something of tables only; leave it out."
            )


def _tables(paths: list[Path], how: Reading) -> Found:
    first = read_table(paths[0], how)
    halves = [first.half]
    for path in paths[1:]:
        other = read_table(
            path, how.model_copy(update={"label": tuple(at + 1 for at in first.labels)})
        )
        if other.names != first.names or other.half.x.shape[1] != first.half.x.shape[1]:
            raise DataError(
                f"{path}: has other columns than {paths[0]}, expected the same, with the label in "
                f"{', '.join(first.labelled)}; correct it, or take it out."
            )
        halves.append(other.half)
    return Found(halves, labelled=first.labelled)
