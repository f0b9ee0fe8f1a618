"""Waveforms with noise, made by formula: a time series to tell apart by its shape.

A sine, a square, a triangle, a sawtooth, and a chirp, which is a sine whose frequency grows
threefold.  Frequency, phase, amplitude and offset of each are drawn, so that no element says
anything by itself.  All of it is integers, and the sine a table: the same bits on every machine.
"""

from __future__ import annotations

import math
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterflow.design.data.sources import Arrays, Bytes, DataError, Source

KINDS = ("sine", "square", "triangle", "sawtooth", "chirp")
"""The classes, in the order of their numbers."""
LENGTH = 64
SEED = 1

TURN = 1 << 16  # of a phase
HALF = TURN // 2
CYCLES = (1536, 4608)  # a waveform has 1.5 to 4.5 periods, in 1/1024
AMPLITUDES = (40, 90)  # in codes, as all that follows
OFFSET = 20
NOISE = 6  # the largest of four draws that are added: a standard deviation of 7.5

SINE = np.array([round(HALF * math.sin(math.tau * (i + 0.5) / 256)) for i in range(256)], np.int64)

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class MadeSource(Source):
    """A set that is computed and lies in no file."""

    @property
    def inside(self) -> bool:
        """See `Source.inside`."""
        return True

    def places(self, folder: Path | None = None) -> tuple[Path, ...]:
        """The file with the formula; `folder` does not matter."""
        return (Path(__file__).parent,)

    def found(self, folder: Path | None = None) -> tuple[list[Path], bool]:
        """See `Source.found`."""
        return [Path(__file__)], True

    def decode(self, folder: Path | None = None) -> Arrays:
        """See `Source.decode`."""
        if folder is not None:
            raise DataError(
                f"{self.name} is made by a formula of Counterflow's and not read from {folder}; "
                "leave out the folder, or name a data set that is in it."
            )
        x, y = waveforms(self.train + self.test, SEED)
        return x[: self.train], y[: self.train], x[self.train :], y[self.train :]

    def unpack(self, archive: tarfile.TarFile, folder: Path) -> list[Path]:
        """There is no npm package."""
        raise NotImplementedError


def waveforms(count: int, seed: int) -> tuple[Bytes, Bytes]:
    """(samples [count, LENGTH], labels [count]): numbers of KINDS, as many of each."""
    stream = np.random.PCG64(seed)

    def drawn(least: int, most: int, *shape: int) -> Integers:
        words = stream.random_raw(count * math.prod(shape)).reshape(count, *shape)
        return (words % np.uint64(most - least + 1)).astype(np.int64) + least

    labels = np.argsort(stream.random_raw(count), kind="stable") % len(KINDS)
    start, cycles = drawn(0, TURN - 1, 1), drawn(*CYCLES, 1)
    amplitude, offset = drawn(*AMPLITUDES, 1), drawn(-OFFSET, OFFSET, 1)
    noise = drawn(-NOISE, NOISE, LENGTH, 4).sum(axis=2)
    time, step = np.arange(LENGTH), TURN // 1024 * cycles // LENGTH
    phase = (start + step * time) % TURN
    # From half the frequency to three halves of it: as many periods as the others.
    swept = (start + step * time // 2 + step * time * time // (2 * LENGTH)) % TURN
    shapes = np.stack(
        [
            SINE[phase >> 8],
            np.where(phase < HALF, HALF, -HALF),
            HALF - 2 * np.abs(phase - HALF),
            phase - HALF,
            SINE[swept >> 8],
        ]
    )
    wave = shapes[labels, np.arange(count)]
    codes = 128 + offset + amplitude * wave // HALF + noise
    return np.clip(codes, 0, 255).astype(np.uint8), labels.astype(np.uint8)


WAVEFORMS = MadeSource(
    name="waveforms",
    train=6_000,
    test=1_000,
    shape=(1, LENGTH, 1),
    pixel_max=255,
    classes=len(KINDS),
    sha256="cff7116836759e515aeb09bd8106ada442f7f275674c913635063be1b1a34c29",
    package="made by Counterflow",
    licence="BSD-2-Clause",
    obtain="Reinstall Counterflow.",
)
"""The data set that a description or its user names."""
