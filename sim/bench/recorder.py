"""Reading the record of `sim.bench.top.BenchTop` as bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.sim.bench.compare import UNKNOWN, Layout
from counterflow.sim.bench.memories import record_words

Bits = NDArray[np.uint8]


class Recorder:
    """The record memories of a simulated bench top, `depth` rows deep."""

    def __init__(self, dut: Any, layout: Layout, depth: int) -> None:
        memories = [getattr(dut, f"record_{i}") for i in range(record_words(layout.bits))]
        # Looked up once: finding a row's handle costs as much as reading it.
        self._rows = [[memory[row] for row in range(depth)] for memory in reversed(memories)]

    def read(self) -> Bits:
        """All rows, [depth, layout.bits], lowest bit first; UNKNOWN where a bit is neither."""
        parts = []
        for rows in self._rows:
            text = "".join([str(row.value) for row in rows])
            parts.append(np.frombuffer(text.encode(), np.uint8).reshape(len(rows), -1))
        bits: Bits = np.ascontiguousarray(np.concatenate(parts, axis=1)[:, ::-1]) - ord("0")
        return np.minimum(bits, UNKNOWN)  # X, Z and the like are no digits
