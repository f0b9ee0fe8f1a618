"""Folders of images: a folder for each class, with PNG or JPEG files in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.own.halves import Half
from counterflow.design.data.sources import DAMAGE, DataError

ENDINGS = (".png", ".jpg", ".jpeg")
GREY, COLOUR = ("1", "L", "I;16", "I;16B", "I;16L"), ("RGB", "RGBA", "LA", "P", "CMYK", "YCbCr")
OPAQUE = 255


def classes_in(folder: Path) -> list[Path]:
    """The folders below `folder` that have images in them: its classes, in the order of labels.

    Names that are all numbers from 0 on are in the order of numbers, else in that of text.
    """
    if not folder.is_dir():
        return []
    found = [one for one in visible(folder) if one.is_dir() and any(map(is_image, visible(one)))]
    numbers = _numbers([one.name for one in found])
    return sorted(found, key=lambda one: numbers[one.name] if numbers else one.name)


def _numbers(names: Sequence[str]) -> dict[str, int]:
    """Names as numbers, by name, if all are some, and no two the same as 1 and 01 are."""
    if not all(re.fullmatch("[0-9]{1,9}", name) for name in names):
        return {}
    found = {name: int(name) for name in names}
    return found if len(set(found.values())) == len(found) else {}


def is_image(path: Path) -> bool:
    """Whether its name says so."""
    return path.suffix.lower() in ENDINGS and path.is_file()


def visible(folder: Path) -> list[Path]:
    """What is in a folder but the files that systems hide there, sorted by name."""
    try:
        return sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be looked into ({error.strerror}).") from error


def read_images(folder: Path) -> Half:
    """The images of all classes below `folder`; labels are the names of their folders.

    Grey images have one channel, others red, green and blue.  Raises DataError, naming the file,
    for one that is no image, is damaged, has another size than the first or see-through pixels.
    """
    paths: list[Path] = []
    labels: list[str] = []
    classes = classes_in(folder)
    for place in visible(folder):
        if place.is_dir() and place not in classes:
            raise DataError(
                f"{place}: has no PNG or JPEG file in it, expected those of a class; take it out."
            )
        if is_image(place):
            raise DataError(f"{place}: is in no folder of a class, whose name would be its label.")
    for place in classes:
        for path in visible(place):
            if not is_image(path):
                raise DataError(
                    f"{path}: is no PNG or JPEG file, which is all that may be in the folder of a "
                    "class."
                )
            paths.append(path)
            labels.append(place.name)
    if not paths:
        raise DataError(f"{folder}: has no folder of a class with PNG or JPEG files in it.")
    images = [_read(paths[0])]
    for path in paths[1:]:
        image = _read(path)
        if image.shape != images[0].shape:
            raise DataError(
                f"{path}: has {_size(image)}, but {paths[0]} has {_size(images[0])}; all images "
                "must have one size and be all grey or all in colour."
            )
        images.append(image)
    numbers = _numbers(labels)
    y = np.array([numbers[label] for label in labels] if numbers else labels)

    def sample_at(index: tuple[int, ...]) -> str:
        return str(paths[index[0]]) if index else str(folder)

    return Half(np.stack(images), y, sample_at, lambda at: f"{paths[at]}: its folder's name")


def _read(path: Path) -> NDArray[Any]:
    """One image, [height, width] or [height, width, 3]."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.mode not in GREY + COLOUR:
                raise DataError(
                    f"{path}: has pixels of the mode {image.mode}, expected grey or RGB."
                )
            if image.mode in GREY:
                return np.array(image.convert("L") if image.mode == "1" else image)
            if image.has_transparency_data:
                image.load()
                if np.array(image.convert("RGBA"))[..., 3].min() < OPAQUE:
                    raise DataError(
                        f"{path}: has see-through pixels, expected an image without; put it on a "
                        "background."
                    )
            return np.array(image.convert("RGB"))
    except DataError:
        raise
    except (*DAMAGE, Image.DecompressionBombError) as error:
        reason = "is empty" if not path.stat().st_size else "cannot be read as PNG or JPEG"
        raise DataError(f"{path}: {reason}; make it anew, or take it out.") from error


def _size(image: NDArray[Any]) -> str:
    height, width = image.shape[:2]
    return f"{height}x{width} pixels in {'grey' if image.ndim == 2 else 'colour'}"
