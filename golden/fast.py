"""The fast golden chain: the same integers as `golden.chain.Chain`, compiled by Numba.

It knows pipelined backpropagation with and without linear weight prediction in velocity form and
spike compensation.  The other mitigations keep weights of other times and are for `Chain`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.description import Description
from counterflow.formats import Format
from counterflow.schedule import Schedule, Stage
from counterflow.tokens import Kind
from golden import fast_kernels
from golden.dense import DenseState, Settings
from golden.fast_memory import build_memory, set_unit
from golden.narrow import Integers

MITIGATIONS = ("none", "lwpv", "sc", "lwpv+sc")


class FastChain:
    """All units of a folded design in series, with their states; runs blocks of tokens.

    What `golden.chain.Chain` does with the same arguments, this does with the same result: every
    weight, velocity, bias, generator state, prediction and saturation count.  Only the `states`
    and `settings` are checked against their formats, because narrower words are used where the
    formats allow it.
    """

    def __init__(
        self, description: Description, schedule: Schedule, states: Iterable[DenseState]
    ) -> None:
        recipe, held = description.recipe, list(states)
        if recipe.mitigation not in MITIGATIONS:
            raise ValueError(
                f"mitigation {recipe.mitigation!r} is not among those of the fast chain "
                f"({', '.join(MITIGATIONS)}); golden.chain.Chain does it"
            )
        for stage, state in zip(schedule.stages, held, strict=True):
            _check_state(stage, state)
        self.schedule = schedule
        self.slot = 0
        self._memory = build_memory(schedule, held, description.rounding.error)
        self.set(Settings(recipe.predicts, recipe.compensates, recipe.extra_shift(0)))

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs)."""
        for stage, unit in zip(self.schedule.stages, self._memory.units, strict=False):
            set_unit(unit, stage.arithmetic, settings)

    @property
    def word_bits(self) -> int:
        """Bits of the machine words that the formats allow: 32 or 64."""
        return self._memory.weight.dtype.itemsize * 8

    @property
    def states(self) -> list[DenseState]:
        """The state of every unit, copied."""
        memory, states = self._memory, []
        for index, unit in enumerate(memory.units[:-1]):
            outputs, inputs = int(unit["outputs"]), int(unit["inputs"])
            weights = slice(unit["weights"], unit["weights"] + outputs * inputs)
            biases = slice(unit["biases"], unit["biases"] + outputs)
            states.append(
                DenseState(
                    memory.weight[weights].astype(np.int64).reshape(outputs, inputs),
                    memory.velocity[weights].astype(np.int64).reshape(outputs, inputs),
                    memory.bias[biases].copy(),
                    memory.bias_velocity[biases].copy(),
                    int(memory.generator[index]),
                )
            )
        return states

    @property
    def saturations(self) -> list[int]:
        """How often each unit has saturated, as the hardware counts it."""
        return [int(count) for count in self._memory.saturations]

    def run(
        self,
        kinds: NDArray[np.uint8],
        indices: Integers,
        samples: NDArray[np.integer[Any]],
        labels: NDArray[np.integer[Any]],
    ) -> tuple[Integers, Integers]:
        """Feed tokens: `kinds` [T] as in `counterflow.tokens.Kind`, `indices` [T] of their samples.

        `samples` [N, inputs] are integers in the input format, `labels` [N].  Returns the scores
        [P, classes] and losses [P] (in bits, LOG_FRAC fraction bits) of the tokens that are no
        bubbles, in order.
        """
        real = indices[kinds != Kind.BUBBLE]
        classes = self.schedule.loss.arithmetic.classes
        self._check_tokens(kinds, indices, real, samples, labels)
        scores, losses = np.empty((len(real), classes), np.int64), np.empty(len(real), np.int64)
        none = samples[:0]
        bytes_ = samples.dtype == np.uint8
        fast_kernels.run(
            self._memory,
            self.slot,
            np.ascontiguousarray(kinds, np.uint8),
            np.ascontiguousarray(indices, np.int64),
            np.ascontiguousarray(samples if bytes_ else none, np.uint8),
            np.ascontiguousarray(none if bytes_ else samples, np.int64),
            np.ascontiguousarray(labels, np.int64),
            scores,
            losses,
        )
        self.slot += len(kinds)
        return scores, losses

    def _check_tokens(
        self,
        kinds: NDArray[np.uint8],
        indices: Integers,
        real: Integers,
        samples: NDArray[np.integer[Any]],
        labels: NDArray[np.integer[Any]],
    ) -> None:
        """The compiled loops trust what they get."""
        numbers = self.schedule.stages[0].arithmetic
        if kinds.shape != indices.shape or kinds.ndim != 1:
            raise ValueError(f"kinds {kinds.shape} and indices {indices.shape} differ in shape")
        if kinds.size and int(kinds.max()) > Kind.TRAIN:
            raise ValueError(f"kind {int(kinds.max())} of a token is unknown")
        if samples.ndim != 2 or samples.shape[1] != numbers.inputs:
            raise ValueError(f"samples have the shape {samples.shape}, not [N, {numbers.inputs}]")
        if labels.shape != samples.shape[:1]:
            raise ValueError(f"labels have the shape {labels.shape} for {len(samples)} samples")
        if real.size and not 0 <= real.min() <= real.max() < len(samples):
            raise ValueError(f"an index is {real.min()} or {real.max()}, not 0 to {len(samples) - 1}")
        classes = self.schedule.loss.arithmetic.classes
        _check_range("a label", labels, 0, classes - 1)
        whole = samples.dtype == np.uint8 and numbers.x.max >= 255
        if not whole:
            _check_format("a sample", samples, numbers.x)


def _check_state(stage: Stage, state: DenseState) -> None:
    numbers, name = stage.arithmetic, stage.name
    shape, found = (numbers.outputs, numbers.inputs), state.weight.shape
    if found != shape or state.velocity.shape != shape:
        raise ValueError(f"{name} has a weight of shape {found} and needs {shape}")
    if state.bias.shape != shape[:1] or state.bias_velocity.shape != shape[:1]:
        raise ValueError(f"{name} has a bias of shape {state.bias.shape} and needs {shape[:1]}")
    _check_format(f"a weight of {name}", state.weight, numbers.weight)
    _check_format(f"a velocity of {name}", state.velocity, numbers.velocity)
    _check_format(f"a bias of {name}", state.bias, numbers.weight)
    _check_format(f"a bias velocity of {name}", state.bias_velocity, numbers.velocity)
    if not 0 < state.generator < 1 << 32:
        raise ValueError(f"the generator of {name} is {state.generator}, not 1 to 2^32 - 1")


def _check_format(what: str, values: NDArray[np.integer[Any]], target: Format) -> None:
    _check_range(what, values, target.min, target.max, f" of {target}")


def _check_range(
    what: str, values: NDArray[np.integer[Any]], low: int, high: int, of: str = ""
) -> None:
    if not values.size:
        return
    for extreme in (int(values.min()), int(values.max())):
        if not low <= extreme <= high:
            raise ValueError(f"{what} is {extreme}, outside {low}..{high}{of}")
