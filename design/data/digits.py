"""The 8x8 digits that are part of Counterflow; `digits.md` says where they come from.

Use them through `design.data.sets`.
"""

from __future__ import annotations

import importlib.resources
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from counterflow.design.data.sources import DAMAGE, Arrays, DataError, Source
from counterflow.design.parts.order import epoch_order

FILE = "digits.npz"
# Neighbours in the published order share a writer, so `epoch_order(1797, SPLIT_SEED, 0)` shuffles
# the digits before the first 1,437 become the training set.
SPLIT_SEED = 0


@dataclass(frozen=True)
class EmbeddedSource(Source):
    """A set that lies in the package itself, in no folder of the user's."""

    @property
    def inside(self) -> bool:
        """See `Source.inside`."""
        return True

    def places(self, folder: Path | None = None) -> tuple[Path, ...]:
        """The folder of the package; `folder` does not matter."""
        return (Path(str(importlib.resources.files("counterflow.design.data"))),)

    def found(self, folder: Path | None = None) -> tuple[list[Path], bool]:
        """See `Source.found`."""
        path = self.places()[0] / FILE
        return ([path], True) if path.is_file() else ([], False)

    def decode(self, folder: Path | None = None) -> Arrays:
        """See `Source.decode`."""
        if folder is not None:
            raise DataError(
                f"{self.name} is part of Counterflow and not read from {folder}; leave out the "
                "folder, or name a data set that is in it."
            )
        try:
            with (
                importlib.resources.files("counterflow.design.data")
                .joinpath(FILE)
                .open("rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                pixels, labels = arrays["pixels"], arrays["labels"]
            order = epoch_order(len(pixels), SPLIT_SEED, 0)
            train, test = order[: self.train], order[self.train :]
            return pixels[train], labels[train], pixels[test], labels[test]
        except DAMAGE as error:
            raise DataError(f"{FILE}: cannot be read ({error}). {self.obtain}") from error

    def unpack(self, archive: tarfile.TarFile, folder: Path) -> list[Path]:
        """There is no npm package."""
        raise NotImplementedError


DIGITS = EmbeddedSource(
    name="digits",
    train=1_437,
    test=360,
    shape=(8, 8, 1),
    pixel_max=16,
    classes=10,
    sha256="4cd167ece2ed81891e5fe2a79519a61c0bdcd59f7374c9781e9dc73b6ccd255d",
    package="part of Counterflow",
    licence="CC-BY-4.0",
    obtain="Reinstall Counterflow.",
)
