"""The fast golden chain: the same integers as `golden.chain.Chain`, compiled by Numba.

It knows pipelined backpropagation with and without linear weight prediction in velocity form and
spike compensation.  The other mitigations keep weights of other times and are for `Chain`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.fast import slots
from counterflow.golden.fast.memory import build_memory
from counterflow.golden.fast.narrowings import set_unit
from counterflow.golden.fast.states import states_of
from counterflow.golden.fast.units import UNITS, norm, passing_kinds
from counterflow.golden.fast.words import compiling
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units.limits import check_format, check_range, check_state
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings

MITIGATIONS = ("none", "lwpv", "sc", "lwpv+sc")


def offered(description: Description) -> bool:
    """Whether the fast chain knows all that `description` asks for."""
    known = tuple(passing_kinds()) == slots.KINDS
    known = known and all(unit.kind in UNITS for unit in description.graph.units)
    return known and description.recipe.mitigation in MITIGATIONS


class FastChain:
    """All units of a folded design in series, with their states; runs blocks of tokens.

    What `golden.chain.Chain` does with the same arguments, this does with the same result: every
    weight, velocity, bias, generator state, prediction and saturation count.  But what it is given
    must be in its format, because its machine words are no wider than the formats demand.
    """

    def __init__(
        self, description: Description, schedule: Schedule, states: Iterable[State]
    ) -> None:
        recipe, held = description.recipe, list(states)
        if recipe.float_only:
            raise ValueError(recipe.float_only)
        if recipe.mitigation not in MITIGATIONS:
            raise ValueError(
                f"mitigation {recipe.mitigation!r} is not among those of the fast chain "
                f"({', '.join(MITIGATIONS)}); golden.chain.Chain does it"
            )
        for stage, state in zip(schedule.stages, held, strict=True):
            check_state(stage, state)
        self.schedule = schedule
        self.slot = 0
        self._accumulate, self._waiting = recipe.accumulate, 0
        self._memory = build_memory(schedule, held)
        self.set(Settings(recipe.predicts, recipe.compensates, recipe.extra_shift(0)))

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of every unit (of a drained chain: between epochs)."""
        for stage, unit in zip(self.schedule.weighted, self._memory.units, strict=True):
            set_unit(unit, stage.arithmetic, settings)
        for one, unit in zip(norm.stages(self.schedule), self._memory.norms, strict=False):
            set_unit(unit, one.numbers.parameters, settings)
            if one.numbers.gammas is not None:
                set_unit(unit["gammas"], one.numbers.gammas, settings)

    @property
    def word_bits(self) -> int:
        """Bits of the machine words that the formats allow: 32 or 64."""
        return self._memory.weight.dtype.itemsize * 8

    @property
    def states(self) -> list[State]:
        """The state of every unit, copied."""
        return states_of(self.schedule, self._memory)

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
        """Feed tokens: `kinds` [T] as in `design.parts.tokens.Kind`, `indices` [T] of their
        samples.

        `samples` [N, inputs] are integers in the input format, `labels` [N].  Returns the scores
        [P, classes] and losses [P] (in units of `LossNumbers.one_loss`) of the tokens that are no
        bubbles, in order.
        """
        scores, losses = self.run_all(kinds, indices, samples, labels)
        return scores[0], losses[0]

    def run_all(
        self,
        kinds: NDArray[np.uint8],
        indices: Integers,
        samples: NDArray[np.integer[Any]],
        labels: NDArray[np.integer[Any]],
    ) -> tuple[Integers, Integers]:
        """As `run`; the scores [1 + heads, P, classes] and losses [1 + heads, P] of heads, too."""
        classes = self.schedule.loss.arithmetic.classes
        labelled = self.schedule.loss.arithmetic.labels
        real = indices[kinds != Kind.BUBBLE]
        check_range("a kind of token", kinds, Kind.BUBBLE, Kind.ACCUMULATE)
        check_range("a label", labels, 0, labelled - 1)
        self._check_samples(samples)
        if kinds.ndim != 1 or kinds.shape != indices.shape:
            raise ValueError(f"kinds have the shape {kinds.shape}, indices {indices.shape}")
        if labels.shape != samples.shape[:1]:
            raise ValueError(f"labels have the shape {labels.shape} for {len(samples)} samples")
        check_range("an index", real, 0, len(samples) - 1)
        self._wait(kinds)
        shape = len(self.schedule.losses), len(real)
        scores, losses = np.empty((*shape, classes), np.int64), np.empty(shape, np.int64)
        none = samples[:0]
        small = samples.dtype == np.uint8
        with compiling():
            slots.run(
                self._memory,
                self.slot,
                np.ascontiguousarray(kinds, np.uint8),
                np.ascontiguousarray(indices, np.int64),
                np.ascontiguousarray(samples if small else none, np.uint8),
                np.ascontiguousarray(none if small else samples, np.int64),
                np.ascontiguousarray(labels, np.int64),
                scores,
                losses,
            )
        self.slot += len(kinds)
        return scores, losses

    def _wait(self, kinds: NDArray[np.uint8]) -> None:
        """Count the gradients that wait for an update; words hold sums of `accumulate` at most."""
        learning = kinds[kinds >= Kind.TRAIN]
        ends = [-1 - self._waiting, *np.flatnonzero(learning == Kind.TRAIN), len(learning)]
        groups = np.diff(ends)
        if groups.max() > self._accumulate:
            raise ValueError(
                f"{groups.max() - 1} gradients would wait for an update, but accumulate is "
                f"{self._accumulate}"
            )
        self._waiting = int(groups[-1]) - 1

    def _check_samples(self, samples: NDArray[np.integer[Any]]) -> None:
        source = self.schedule.graph.source
        inputs = source.elements
        if samples.ndim != 2 or samples.shape[1] != inputs:
            raise ValueError(f"samples have the shape {samples.shape}, not (N, {inputs})")
        if samples.dtype != np.uint8 or source.x.max < np.iinfo(np.uint8).max:
            check_format("a sample", samples, source.x)
