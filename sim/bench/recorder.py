"""Reading the record of `sim.bench.top.BenchTop` as bits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from counterflow.sim.bench import served
from counterflow.sim.bench.compare import UNKNOWN, Layout
from counterflow.sim.bench.memories import RECORD

Bits = NDArray[np.uint8]
WORD_BITS = 32


class Recorder:
    """The record of a simulated bench top, `depth` rows deep.

    It is a file of the session's folder, which stays open from job to job.
    """

    def __init__(self, dut: Any, layout: Layout, depth: int) -> None:
        self._path = Path(os.environ[served.FOLDER]) / RECORD
        dut.record_path.value = int.from_bytes(os.fsencode(self._path), "big")
        self._bits, self._depth = layout.bits, depth
        self._both = not cocotb.SIM_NAME.startswith("Verilator")  # values, and what is unknown

    def read(self) -> Bits:
        """All rows, [depth, layout.bits], lowest bit first; UNKNOWN where a bit is neither."""
        words = -(-self._bits // WORD_BITS) * (2 if self._both else 1)
        rows = np.fromfile(self._path, "<u4", self._depth * words)
        if not self._both:
            return self._of(rows)
        values, unknown = rows.reshape(-1, 2).T
        found = self._of(np.ascontiguousarray(values))
        found[self._of(np.ascontiguousarray(unknown)) != 0] = UNKNOWN
        return found

    def _of(self, words: NDArray[np.uint32]) -> Bits:
        """The bits of as many words as all rows have."""
        rows = words.reshape(self._depth, -1).view(np.uint8)
        return np.unpackbits(rows, axis=1, count=self._bits, bitorder="little")
