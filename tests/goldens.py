"""Golden chains for tests, and how far one that learns moves from the float reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.data.sets import synthetic
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import epoch
from counterflow.design.schedule.build import build_schedule
from counterflow.design.schedule.folding import fold
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.chain import Chain
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.reference.chain import reference_chain
from counterflow.golden.reference.units.loss import cross_entropy
from counterflow.golden.training.start import initial_chain
from counterflow.golden.units.convolution import Convolution
from counterflow.golden.units.loss import Loss
from counterflow.golden.units.update import Settings

WIDE = {
    "activation": "u18.15",
    "logit": "s24.18",
    "operand": "s18.16",
    "weight": "s32.30",
    "velocity": "s30.30",
    "error": "s19.17",
}
"""Formats so fine that rounding is all but gone."""


def network(
    widths: tuple[int, ...],
    *,
    formats: dict[str, str] | None = None,
    update: str = "stochastic",
    multipliers: int = 24,
    lanes: list[dict[str, Any]] | None = None,
    **recipe: Any,
) -> Description:
    """A description; `recipe` holds the recipe's fields."""
    layers: list[dict[str, Any]] = [{"outputs": outputs} for outputs in widths[1:]]
    layers[-1]["activation"] = "none"
    return Description.model_validate(
        {
            "name": "net",
            "inputs": widths[0],
            "layers": layers,
            "formats": formats or {},
            "rounding": {"update": update},
            "recipe": recipe,
            "fold": {"lanes": lanes} if lanes else {"multipliers": multipliers},
        }
    )


def built(
    description: Description, seed: int | None = None, interval: int | None = None
) -> tuple[Schedule, Chain]:
    schedule = build_schedule(description, fold(description), interval)
    return schedule, initial_chain(description, schedule, seed)


def random_unit(unit: Convolution, seed: int) -> None:
    """Fill a unit's state with every value its formats can hold."""
    random = np.random.default_rng(seed)
    numbers, state = unit.stage.arithmetic, unit.state
    weight, velocity = numbers.weight, numbers.velocity
    state.weight = random.integers(weight.min, weight.max + 1, state.weight.shape)
    state.velocity = random.integers(velocity.min, velocity.max + 1, state.velocity.shape)
    state.bias = random.integers(weight.min, weight.max + 1, state.bias.shape)
    state.bias_velocity = random.integers(velocity.min, velocity.max + 1, state.bias.shape)


def assert_same_states(found: Chain, expected: Chain) -> None:
    for unit, other in zip(found.units, expected.units, strict=True):
        for name in ("weight", "velocity", "bias", "bias_velocity"):
            ours, theirs = getattr(unit.state, name), getattr(other.state, name)
            np.testing.assert_array_equal(ours, theirs, f"{unit.stage.name}.{name}")
        assert unit.state.generator == other.state.generator


def clusters(inputs: int, classes: int, count: int) -> tuple[Integers, Integers]:
    data = synthetic(inputs, classes, count, seed=3)
    return data.scaling.codes(data.train_x, Format.parse("u8.8")), data.train_y.astype(np.int64)


class ExactLoss(Loss):
    """Exact softmax cross-entropy, rounded to the error format, in place of the tables."""

    def __call__(self, logits: Integers, label: int) -> tuple[Integers, int]:
        error, _ = cross_entropy(logits / 2**self.numbers.logit.frac, label)
        return np.rint(error * 2.0**self.numbers.error.frac).astype(np.int64), 0


def distance_to_reference(description: Description, *, exact_loss: bool) -> tuple[float, float]:
    """(largest difference of any weight after two epochs, largest change of any weight)."""
    schedule, chain = built(description)
    if exact_loss:
        chain.losses = {name: ExactLoss(loss.numbers) for name, loss in chain.losses.items()}
    reference = reference_chain(description, schedule)
    initial = [unit.weight.value for unit in reference.units]
    samples, labels = clusters(6, 3, 200)
    recipe = description.recipe
    for number in range(2):
        shift = recipe.extra_shift(number)
        settings = Settings(recipe.predicts, recipe.compensates, shift)
        chain.set(settings)
        reference.set(settings)
        tokens = list(epoch(recipe, epoch_order(200, 1, number), schedule.delay))
        chain.run(tokens, samples, labels)
        reference.run(tokens, samples / 256, labels)
    units = list(zip(chain.units, reference.units, strict=True))
    scale = 2.0**-description.formats.weight.frac
    off = max(np.abs(a.state.weight * scale - b.weight.value).max() for a, b in units)
    off_bias = max(np.abs(a.state.bias * scale - b.bias.value).max() for a, b in units)
    moved = max(np.abs(b.weight.value - w).max() for (_, b), w in zip(units, initial, strict=True))
    return max(off, off_bias), moved
