"""Reading the record of `sim.bench_top.BenchTop` as bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.bench_top import record_words
from sim.compare import Layout

Bits = NDArray[np.uint8]


def recorded(dut: Any, layout: Layout, cycles: int) -> Bits:
    """The first `cycles` rows of the record, [cycles, layout.bits], lowest bit first."""
    parts = []
    for index in reversed(range(record_words(layout.bits))):
        memory = getattr(dut, f"record_{index}")
        text = "".join([str(memory[row].value) for row in range(cycles)])
        parts.append(np.frombuffer(text.encode(), np.uint8).reshape(cycles, -1))
    bits: Bits = np.ascontiguousarray(np.concatenate(parts, axis=1)[:, ::-1]) - ord("0")
    return bits
