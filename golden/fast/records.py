"""What the compiled loops of `golden.fast.slots` work on: the numbers and state of every unit.

Images are kept with the zeros around them, so that a window is one run of words in each row of the
kernel.  Where gradients are sums, a unit keeps them as [outputs, kernel rows, width], each row of
the kernel filled up to `width`, a multiple of LANES; what is in the filling means nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.design.units.scheduled import Scheduled
from counterflow.golden.fast.narrowings import BOUND, DECAY, NARROW, UPDATE, fields
from counterflow.golden.fast.places import Places

BUBBLE, TRAIN = 0, 2  # as in `design.parts.tokens.Kind`; those from TRAIN on are learnt from
PLACES = 4  # places of a kernel that are looked at together

Words = NDArray[np.signedinteger[Any]]

UNIT = np.dtype(
    [
        # its number among all that learn
        *fields("index"),
        # outputs, taps; rows of the kernel and taps of each; places down and across
        *fields("outputs", "taps", "kernel_rows", "row_taps", "down", "across"),
        # rows of the image and elements of each; from row to row in the stash, and between places
        *fields("image_rows", "row_inputs", "pitch", "origin", "step_down", "step_across"),
        *fields("rows", "high", "wide", "parts", "columns", "delay", "relu", "masks", "one"),
        *fields("stochastic"),
        *fields("direct", "sums", "width", "block", "horizon", "compensate", "kept"),
        *fields("decays", "clips"),
        *fields("frozen", "silent"),
        # where its part of the memory starts, and how much a token takes of it
        *fields("weights", "biases", "stash", "size", "gradient", "covers"),
        # where its outputs go and gradients come from, and where those of its inputs go
        *fields("y", "y_depth", "y_size", "y_pitch", "errors", "errors_depth"),
        *fields("backward", "dx_start", "dx_depth", "dx_size", "asides", "asides_end"),
        *[(name, NARROW) for name in ("operand", "bias", "y_to", "dx")],
        *[(name, UPDATE) for name in ("new_velocity", "step")],
        ("decayed", DECAY),
        ("bound", BOUND),
    ]
)
"""One unit with weights.

`direct`: its only window is the whole image, as in a dense layer; `sums`: gradients are sums;
`block`: outputs, filled up to a multiple of LANES; `one`: the number 1 in the format of x;
`backward`: somebody wants the gradient of its input; `kept`: tokens whose input it keeps; `frozen`:
its weights stay; `silent`: a bubble is zeros in it, since samples come to it first; `asides`:
where those of ASIDE begin that are its own, up to `asides_end`.
"""

ASIDE = np.dtype(fields("delay", "errors", "errors_depth", "dx_start", "dx_depth"))
"""A loss whose gradient a unit with weights passes on without learning from it."""

PASSING = [
    *fields("inputs", "outputs", "x", "y", "y_depth", "y_size", "y_pitch"),
    *fields("dy", "dy_depth", "dx_start", "dx_depth", "entries", "size", "depth", "tables"),
]
"""What all units without weights have: elements of a token in and out, and where they stand.

One keeps `depth` entries of `size` words, from `entries` on.
"""

SHARE = np.dtype(fields("factor", "shift", "low", "high"))
"""How a running value moves: a sum over pixels, as `design.units.normal.Share` divides it,
and the limits of the value."""

VIEW = (
    *("centre", "root", "halvings", "beta", "ahead", "scale", "pull"),
    *("gamma", "gamma_ahead"),
)
"""What a token sees of a channel of a norm: see `golden.units.norm.View`.

``pull`` is the control of shift as it is subtracted from dx.  In a norm of groups the last two are
the means of dy xhat and of dy, c2 and c1.
"""

STATISTICS = ("mean", "variance", "scale_control", "shift_control")
"""What a norm remembers besides what it learns, in the order in which it stands in the memory."""

LEARNT = [
    *fields("biases", "taps", "row_taps", "rows", "kernel_rows", "parts", "columns", "wide"),
    *fields("stochastic", "horizon", "compensate", "decays", "clips", "ahead"),
    ("bias", NARROW),
    *[(name, UPDATE) for name in ("new_velocity", "step")],
    ("decayed", DECAY),
    ("bound", BOUND),
]
"""How betas move, or gammas: as biases of weights with a tile each.

`ahead` is a horizon whatever the settings.
"""

NORM_UNIT = np.dtype(
    [
        *PASSING,
        *fields("index", "channels", "period", "delay", "relu", "backward", "down", "line"),
        # where its part of the memory starts; tokens whose views, or sums of gradients, are kept
        *fields("statistics", "views", "views_depth", "sums", "sums_depth"),
        # shifts and constants of `design.units.normalisation`
        *fields("centre_frac", "normal_shift", "guard", "control_drop", "lift", "scaled_shift"),
        *fields("centre_drop", "steps_frac", "variance_one", "decay", "pull_drop"),
        # of a norm of groups: channels and numbers of one (0 else), the fraction of xhat
        *fields("group", "count", "y_frac"),
        # whether beta stays, and whether there is a gamma; right shifts of gamma xhat, gamma dy
        *fields("frozen", "scaled", "gamma_frac", "gamma_drop"),
        *LEARNT,
        ("gammas", LEARNT),
        *[(name, NARROW) for name in ("y_to", "dx")],
        *[(name, SHARE) for name in ("mean", "variance", "scale", "shift")],
    ]
)
"""A norm.  `period`: words of a field of a view (`golden.fast.normalise`)."""

STEP = np.dtype(fields("kind", "record", "delay"))
"""What a unit does in a slot: `kind` numbers `golden.fast.units.passing_kinds`, or is SLOT or NORM.

What it sends back is that of token number slot - `delay`.
"""

SLOT, NORM = -1, -2


def passing(
    stage: Scheduled,
    where: Places,
    *,
    x: int = 0,
    y: int = 0,
    entries: int = 0,
    path: int | None = None,
) -> dict[str, Any]:
    """The fields of PASSING of a unit that keeps `entries` words, for its ports `x` and `y`.

    Its gradients are those of loss `path`, by default of the last one that comes by `y`.
    """
    unit = stage.unit
    came, left = unit.inputs[x], unit.outputs[y]
    there, source = where.forward[left.number], where.forward[came.number]
    found = {
        "inputs": came.elements,
        "outputs": left.elements,
        "x": source.start,
        "y": there.start + there.origin,
        "y_depth": there.depth,
        "y_size": there.size,
        "y_pitch": there.pitch,
        "size": entries,
        "depth": 1,
        "dy_depth": 1,
        "dx_depth": 1,
    }
    if left.wanted:
        path = left.paths[-1] if path is None else path
        back = where.back[left.number, path]
        found |= {"dy": back.start, "dy_depth": back.depth}
        found["depth"] = where.passed[stage.name, path] + 1
        if path in came.paths:
            back = where.back[came.number, path]
            found |= {"dx_start": back.start, "dx_depth": back.depth}
    return found


LOSS = np.dtype(
    [
        *fields("kind", "classes", "x", "targets", "errors", "errors_depth"),
        *fields("numerator", "shift", "log_frac", "exp_frac"),
        *fields("score_lift", "target_lift", "target_frac", "dropped"),
        ("error", NARROW),
    ]
)
"""A loss of kind number `kind` of LOSSES.

`targets`: where those stand, negative if a label says them; `numerator` to `exp_frac`: exponents
of a softmax and a logistic function; `score_lift` and `target_lift` align scores and targets, and
`target_frac` is the fraction of the latter; `dropped`: bits of a sum that a loss does without.
"""

LOSSES = ("loss", "mse", "bce")


class Memory(NamedTuple):
    """All that a chain remembers, units one after the other, and room to work in.

    ``units`` and ``norms`` are those that learn, ``asides`` what the former pass on, ``records``
    the others, an array a kind.
    ``steps`` say who does what in a slot, forward and ``back``; ``source`` is where a sample goes;
    ``losses`` are that of the network and those of heads.
    ``stash`` and ``errors`` hold what is at the edges (`golden.fast.places`), ``entries`` what
    units keep of a token for its way back, ``kinds`` the last tokens' kinds.
    ``covers``: the number of the word of a window that sees the last of each input, or -1.
    """

    units: NDArray[np.void]
    asides: NDArray[np.void]
    norms: NDArray[np.void]
    records: tuple[NDArray[np.void], ...]
    steps: NDArray[np.void]
    back: NDArray[np.void]
    source: NDArray[np.int64]
    losses: NDArray[np.void]
    exp2: NDArray[np.int64]
    log2: NDArray[np.int64]
    roots: NDArray[np.int64]
    weight: Words
    velocity: Words
    bias: NDArray[np.int64]
    bias_velocity: NDArray[np.int64]
    statistics: NDArray[np.int64]
    generator: NDArray[np.uint32]
    saturations: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    stash: Words
    errors: Words
    entries: Words
    tables: Words
    views: Words
    norm_sums: NDArray[np.int64]
    gradient: Words
    bias_gradient: NDArray[np.int64]
    covers: NDArray[np.int32]
    # Room to work in
    draws: NDArray[np.uint32]
    velocity_random: Words
    step_random: Words
    decay_random: Words
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
    meeting: Words
    lane_sums: NDArray[np.int64]
