"""The squared error: a difference, and its square; twin of `golden.units.mse`.

cycle after a score was taken  1   its exact difference to the target
                               2   the error, narrowed
                               3   the square of the error
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed

from counterflow.design.units.mse import SquaredError
from counterflow.hw.losses.pointwise import PointwiseLoss
from counterflow.hw.parts.narrow import narrow
from counterflow.hw.parts.pipeline import delayed


class Mse(PointwiseLoss):
    """Mean squared error; see `PointwiseLoss`.

    Cost: a multiplier that squares errors.
    """

    numbers: SquaredError

    def _worked_on(
        self, m: Module, score: Value, target: Value, platform: object
    ) -> tuple[Value, Value]:
        """See `PointwiseLoss`."""
        numbers, frac = self.numbers, self.numbers.aligned
        exact = (score << (frac - numbers.logit.frac)) - (target << (frac - numbers.given.frac))
        s1_difference = delayed(m, exact, 1, "s1_difference")
        value, _ = narrow(s1_difference, frac, numbers.error, numbers.round_error)
        s2_error = Signal(signed(numbers.error.bits), name="s2_error")
        m.d.sync += s2_error.eq(value)
        square = s2_error * s2_error
        s3_square = Signal(2 * numbers.error.bits - 1, name="s3_square")
        m.d.sync += s3_square.eq(square)
        return delayed(m, s2_error, 1, "s3_error"), s3_square
