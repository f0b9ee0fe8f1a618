"""The golden squared error, as `design.units.mse` describes it."""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.design.units.mse import SquaredError
from counterflow.golden.parts.narrow import Integers, narrow
from counterflow.golden.units.pointwise import targets_of


@dataclass(frozen=True)
class Mse:
    """Errors of `numbers.classes` scores, and half the sum of their squares."""

    numbers: SquaredError

    def __call__(self, scores: Integers, given: int | Integers) -> tuple[Integers, int]:
        """(error of each score in the error format, loss); `given`: targets [classes] or a label.

        Shapes [classes].
        """
        numbers, frac = self.numbers, self.numbers.aligned
        targets = targets_of(numbers, given) << (frac - numbers.given.frac)
        exact = (scores << (frac - numbers.logit.frac)) - targets
        error, _ = narrow(exact, frac, numbers.error, numbers.round_error, "dx")
        return error, int((error * error).sum()) >> numbers.dropped
