"""What the compiled loops of `golden.fast.slots` work on: the numbers and state of every unit.

Images are kept with the zeros around them, so that a window is one run of words in each row of the
kernel.  Where gradients are sums, a unit keeps them as [outputs, kernel rows, width], each row of
the kernel filled up to `width`, a multiple of LANES; what is in the filling means nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.golden.fast.narrowings import NARROW, UPDATE, fields

PLACES = 4  # places of a kernel that are looked at together

Words = NDArray[np.signedinteger[Any]]

UNIT = np.dtype(
    [
        # outputs, taps; rows of the kernel and taps of each; places down and across
        *fields("outputs", "taps", "kernel_rows", "row_taps", "down", "across"),
        # rows of the image and elements of each; from row to row in the stash, and between places
        *fields("image_rows", "row_inputs", "pitch", "origin", "step_down", "step_across"),
        *fields("rows", "high", "wide", "parts", "delay", "relu", "masks", "one", "stochastic"),
        *fields("direct", "sums", "width", "block", "horizon", "compensate"),
        # where its part of the memory starts, and how much a token takes of it
        *fields("weights", "biases", "stash", "size", "errors", "gradient", "covers"),
        *fields("y_pitch", "pools", "pools_end"),
        *[(name, NARROW) for name in ("operand", "bias", "y", "dx")],
        *[(name, UPDATE) for name in ("new_velocity", "step")],
    ]
)
"""One unit with weights.

`direct`: its only window is the whole image, as in a dense layer; `sums`: gradients are sums;
`block`: outputs, filled up to a multiple of LANES; `one`: the number 1 in the format of x;
`pools` to `pools_end`: the units without weights behind it.
"""

POOL = np.dtype(
    [
        *fields("inputs", "outputs", "high", "wide", "down", "across", "channels"),
        *fields("average", "relu", "x", "y_pitch", "dy", "entries", "size", "depth"),
        *fields("table", "codes"),
        *[(name, NARROW) for name in ("y", "dx")],
    ]
)
"""One unit without weights: windows of `high` x `wide`; it keeps `depth` entries of `size` words.

A tanh has windows of one element, and tables for `codes` numbers x: y at `table` + x, the slope
`codes` words behind it.  Where `codes` is 0 it is a pooling unit.
"""

LOSS = np.dtype([*fields("numerator", "shift", "log_frac", "exp_frac"), ("error", NARROW)])


class Memory(NamedTuple):
    """All that a chain remembers, units one after the other, and room to work in.

    ``units`` has one entry more than there are units: its ``stash`` is where the logits go.
    ``stash`` and ``errors`` hold ``delay`` + 1 tokens of each unit, ``kinds`` those of the first.
    ``covers``: the number of the word of a window that sees the last of each input, or -1.
    """

    units: NDArray[np.void]
    pools: NDArray[np.void]
    loss: NDArray[np.void]
    exp2: NDArray[np.int64]
    log2: NDArray[np.int64]
    weight: Words
    velocity: Words
    bias: NDArray[np.int64]
    bias_velocity: NDArray[np.int64]
    generator: NDArray[np.uint32]
    saturations: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    stash: Words
    errors: Words
    entries: Words
    tables: Words
    gradient: Words
    bias_gradient: NDArray[np.int64]
    covers: NDArray[np.int32]
    # Room to work in
    draws: NDArray[np.uint32]
    velocity_random: Words
    step_random: Words
    hits: Words
    sums: Words
    totals: Words
    flags: Words
    operands: Words
    row: Words
    wide_row: NDArray[np.int64]
    found_error: Words
    found_window: NDArray[np.int64]
    found_output: NDArray[np.int64]
    marks: NDArray[np.int64]
    exponents: NDArray[np.int64]
