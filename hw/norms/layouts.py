"""Words that the parts of a norm hand to each other."""

from __future__ import annotations

from typing import Any

from amaranth.lib import data

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.group_times import GroupNormStage
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.normalisation import SCALE_CONTROL, SHIFT_CONTROL
from counterflow.hw.norms import learnt
from counterflow.hw.parts.narrow import shape_of


def seen(stage: NormStage) -> data.StructLayout:
    """What a token that goes forward sees of a channel."""
    numbers = stage.numbers
    fields = {
        "centre": shape_of(numbers.centre),
        "root": numbers.root.bits,
        "halvings": numbers.halving_bits,
    }
    return data.StructLayout(fields | learnt.fields(numbers))


def carried(stage: NormalStage) -> str:
    """What is kept of a channel for the dx of a token, besides the root: see `Normal.carried`."""
    return "beta" if stage.numbers.gammas is None else "gamma"


def kept(stage: NormStage) -> data.StructLayout:
    """What the backward pass of a token needs of a channel: as its forward pass saw it."""
    numbers = stage.numbers
    factors = {
        "root": numbers.root.bits,
        "halvings": numbers.halving_bits,
        carried(stage): shape_of(numbers.carried),
    }
    return data.StructLayout({**(factors if numbers.dx is not None else {}), "kind": KIND_BITS})


def controls(stage: NormStage) -> data.StructLayout:
    """What a token that comes back sees of a channel."""
    return data.StructLayout({"scale": shape_of(SCALE_CONTROL), "shift": shape_of(SHIFT_CONTROL)})


def forward_sums(stage: NormStage) -> data.StructLayout:
    """Sums over a token's pixels of e and its square."""
    numbers = stage.numbers
    return data.StructLayout(
        {"differences": shape_of(numbers.sums), "squares": numbers.squares.bits}
    )


def forward_totals(stage: NormStage) -> data.StructLayout:
    """The same at the last pixel, and behind them the centre that they are around."""
    centre = shape_of(stage.numbers.centre)
    return data.StructLayout({**forward_sums(stage).members, "centre": centre})


def backward_totals(stage: NormStage) -> data.StructLayout:
    """Sums over a token's pixels: `gradient`; of z xhat, and of dx before it is narrowed.

    Those of a norm whose beta does not move, which has a dx, are without `gradient`.
    """
    numbers, fields = stage.numbers, gradient(stage) if stage.unit.moves else {}
    if numbers.dx is not None:
        fields["products"] = shape_of(numbers.product_sum)
        fields["gradients"] = shape_of(numbers.gradient_sum)
    return data.StructLayout(fields)


def gradient(stage: NormalStage) -> dict[str, Any]:
    """Sums over a token's pixels that beta and gamma learn of: of dy, and of dy xhat."""
    numbers = stage.numbers
    fields = {"errors": shape_of(numbers.error_sum)}
    if numbers.gammas is not None:
        fields["correlations"] = shape_of(numbers.correlation)
    return fields


def state(stage: NormalStage) -> data.StructLayout:
    """All that a channel remembers, by the names of the stage's `parameters`."""
    return data.StructLayout({one.name: shape_of(one.number) for one in stage.parameters})


def betas(stage: GroupNormStage) -> data.StructLayout:
    """What a token that is read back sees of a channel."""
    return data.StructLayout(learnt.fields(stage.numbers))


def statistics(stage: GroupNormStage) -> data.StructLayout:
    """What a token that is read back sees of a group, and its kind."""
    numbers = stage.numbers
    return data.StructLayout(
        {
            "centre": shape_of(numbers.centre),
            "root": numbers.root.bits,
            "halvings": numbers.halving_bits,
            "kind": KIND_BITS,
        }
    )


def kept_of_channel(stage: GroupNormStage) -> data.StructLayout:
    """What a token that comes back needs of a channel: as it went forward, and its kind."""
    numbers = stage.numbers
    factor = {carried(stage): shape_of(numbers.carried)}
    return data.StructLayout({**(factor if numbers.dx is not None else {}), "kind": KIND_BITS})


def root(stage: GroupNormStage) -> data.StructLayout:
    """What a token whose gradient is read back needs of a group, as it went forward."""
    return data.StructLayout(
        {"root": stage.numbers.root.bits, "halvings": stage.numbers.halving_bits}
    )


def image_sums(stage: GroupNormStage) -> data.StructLayout:
    """Sums over the pixels of a channel of x and of its square."""
    numbers = stage.numbers
    return data.StructLayout({"total": shape_of(numbers.sums), "squares": numbers.squares.bits})


def gradient_sums(stage: GroupNormStage) -> data.StructLayout:
    """Sums over the pixels of a channel: `gradient`; those of dy and dy xhat where dx is wanted.

    With a gamma the latter are of gamma dy.  Those have room for a group.
    """
    numbers, fields = stage.numbers, gradient(stage)
    if numbers.dx is not None:
        fields["products"] = shape_of(numbers.product_sum)
        fields["errors" if numbers.gammas is None else "given"] = shape_of(numbers.group_error_sum)
    return data.StructLayout(fields)


def errors(stage: GroupNormStage) -> data.StructLayout:
    """What an update needs of a channel of a token that came back: `gradient`."""
    return data.StructLayout(gradient(stage))


def means(stage: GroupNormStage) -> data.StructLayout:
    """What a token whose gradient is read back sees of a group: c1, c2, and its kind."""
    numbers = stage.numbers
    return data.StructLayout(
        {
            "error": shape_of(numbers.error_mean),
            "product": shape_of(numbers.product_mean),
            "kind": KIND_BITS,
        }
    )
