"""The arithmetic contract of one unit: every format, shift and coefficient, none of the operations.

Golden twin and hardware both read this value; each writes the operations for itself.

The update, with u = eta * v (the stored velocity) and everything at `update_frac` fraction bits:

    U  = u aligned          G = g * 2**-e aligned          A = U - U * 2**-k   (momentum 1 - 2**-k)
    u' = saturate(round(A + G))
    w' = saturate(w - u')                                 without compensation
    w' = saturate(w - round(2**k G + c (U - 2**k G)))     with, c = (1 - 2**-k) ** (D + 1)

The last line is w - (a u' + b eta g) with a = m**D and b = (1 - m**D) / (1 - m) (Kosson et al.,
arXiv 2003.11666, spike compensation), rearranged so that one coefficient remains.  It is held as
`compensation` / 2**COMPENSATION_FRAC; because 2**k (1 - c) stands for b whatever c is rounded to,
the whole effect of one gradient stays exactly 1 / (1 - m).

A recipe with weight decay takes round(w * 2**-k) off w, too, before w' saturates.  It is decoupled
from the velocity (Loshchilov & Hutter, arXiv 1711.05101): momentum does not heap it up, and since
it is made of w as it stands, nothing of it is late that compensation would have to pay.

A recipe that clips gradients lets g saturate at a bound before all of this.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property

from counterflow.design.parts.formats import Format, Rounding, signed_for, signed_within

COMPENSATION_FRAC = 8
LATER = {"later": True}  # not shown at its default, so that no name changes where it is not used
RANDOM_BITS = 32  # of the generator, shared by the two stochastic roundings of an update


@dataclass(frozen=True)
class UnitArithmetic:
    """Formats and coefficients of one unit with weights [outputs, taps].

    Each weight is used at `positions` places of a sample (one in a dense layer), and moves by the
    sum of its gradients there, over `accumulate` samples.  ``x``/``y`` are the formats of
    activations in and out, ``dy``/``dx`` of gradients in and out (``dx`` None where nobody wants
    it); ``masks``: dx is zero where x is, since x comes from a ReLU; ``rectifies``: x comes before
    that ReLU, which is applied as x is loaded; ``returns``: x goes back beside dx; ``horizon`` is
    T, in updates, of the prediction w - T u.  Hardware has no prediction or compensation unless the
    recipe ``predicts`` or ``compensates``.  An update takes 2**-``decay_shift`` of a weight off it,
    nothing where that is 0, and nothing of a bias (`of_biases`).  Gradients saturate at
    2**``clip_shift``, unless that is None.  Weights of a ``frozen`` unit do not move: there is no
    velocity, and none of what follows from one.
    """

    taps: int
    outputs: int
    positions: int
    overlaps: int
    accumulate: int
    relu: bool
    masks: bool
    x: Format
    y: Format
    dy: Format
    dx: Format | None
    operand: Format
    weight: Format
    velocity: Format
    rate_shift: int
    rate_span: int
    momentum_shift: int
    horizon: int
    predicts: bool
    compensates: bool
    compensation: int
    round_activation: Rounding
    round_operand: Rounding
    round_error: Rounding
    round_update: Rounding
    rectifies: bool = False
    returns: bool = False
    frozen: bool = False
    decay_shift: int = field(default=0, metadata=LATER)
    clip_shift: int | None = field(default=None, metadata=LATER)

    def __repr__(self) -> str:
        """All of it; names of modules are made of this (`hw.parts.modules`)."""
        shown = (
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)
            if not one.metadata or getattr(self, one.name) != one.default
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def back_bits(self) -> int:
        """Bits of what goes back for each element of x."""
        x = self.x.bits if self.returns else 0
        return 0 if self.dx is None else self.dx.bits + x

    @property
    def loaded(self) -> Format:
        """Format of x as the multipliers see it."""
        return Format(False, self.x.bits - 1, self.x.frac) if self.rectifies else self.x

    @cached_property
    def forward_sum(self) -> Format:
        """Accumulator of y; holds the largest sum of products plus the largest bias."""
        frac = self.operand.frac + self.x.frac
        products = self.taps * self.operand.magnitude * self.loaded.magnitude
        return signed_for(products + self.bias_operand.magnitude, frac)

    @cached_property
    def bias_operand(self) -> Format:
        """The bias as it is added to the forward sum: the weight's range, the sum's fraction."""
        frac = self.operand.frac + self.x.frac
        return Format(True, max(2, self.weight.bits - self.weight.frac + frac), frac)

    @cached_property
    def backward_sum(self) -> Format:
        """Accumulator of dx; holds the largest sum of products.

        An input is under the kernel at `overlaps` positions at most, in each output.
        """
        frac = self.operand.frac + self.dy.frac
        products = self.overlaps * self.outputs
        return signed_for(products * self.operand.magnitude * self.dy.magnitude, frac)

    @cached_property
    def product(self) -> Format:
        """One product dy * x; for a bias it is dy, aligned."""
        return signed_for(self._largest_product, self.dy.frac + self.x.frac)

    @cached_property
    def clipped(self) -> Format:
        """The gradient that an update takes: within the bound of the recipe, where it has one."""
        bits = self.gradient.bits
        if self.clip_shift is not None:
            bits = min(bits, 1 + self.clip_shift + self.gradient.frac)
        return Format(True, bits, self.gradient.frac)

    @property
    def clips(self) -> bool:
        """Whether gradients can be beyond that bound."""
        return self.clipped != self.gradient

    @cached_property
    def gradient(self) -> Format:
        """The gradient of a parameter: the sum of all products since the last update."""
        most = self.positions * self.accumulate * self._largest_product
        return signed_for(most, self.dy.frac + self.x.frac)

    @property
    def _largest_product(self) -> int:
        return self.dy.magnitude * max(self.loaded.magnitude, 1 << self.x.frac)

    @property
    def sums_gradients(self) -> bool:
        """Whether a gradient is the sum of several products."""
        return self.positions * self.accumulate > 1 and not self.frozen

    @cached_property
    def update_frac(self) -> int:
        """Fraction bits at which an update is exact before its one rounding."""
        scaled = self.gradient.frac + self.rate_shift + self.rate_span
        return max(self.velocity.frac + self.momentum_shift, scaled)

    @property
    def velocity_drop(self) -> int:
        """Bits that the rounding of u' drops."""
        return self.update_frac - self.velocity.frac

    @property
    def weight_drop(self) -> int:
        """Bits that the rounding of a compensated weight step drops."""
        return self.velocity_drop + COMPENSATION_FRAC

    def gradient_shift(self, extra: int) -> int:
        """Left shift that aligns a gradient to `update_frac` under `extra` rate drop."""
        return self.update_frac - self.gradient.frac - self.rate_shift - extra

    @cached_property
    def scaled(self) -> Format:
        """G: the gradient times the learning rate."""
        return signed_within(*self._scaled_range, self.update_frac)

    @cached_property
    def grown(self) -> Format:
        """A + G: the velocity before it is rounded."""
        return signed_within(*self._grown_range, self.update_frac)

    @cached_property
    def grown_rounded(self) -> Format:
        """The velocity before it saturates."""
        return _rounded(*self._grown_range, self.update_frac, self.velocity_drop)

    @cached_property
    def mixed(self) -> Format:
        """The compensated step 2**k G + c (U - 2**k G) before it is rounded."""
        return signed_within(*self._mixed_range, self.update_frac + COMPENSATION_FRAC)

    @cached_property
    def mixed_rounded(self) -> Format:
        """The compensated step."""
        return _rounded(*self._mixed_range, self.mixed.frac, self.weight_drop)

    @property
    def _scaled_range(self) -> tuple[int, int]:
        """The least and the largest G that there can be, as integers; so of the other two."""
        inputs = (self.loaded.min, self.loaded.max, 1 << self.x.frac)  # the last one is a bias's
        products = [dy * x for dy in (self.dy.min, self.dy.max) for x in inputs]
        many, shift = self.positions * self.accumulate, self.gradient_shift(0)
        low = max(many * min(products), self.clipped.min)
        return low << shift, min(many * max(products), self.clipped.max) << shift

    @property
    def _grown_range(self) -> tuple[int, int]:
        kept = (1 << self.velocity_drop) - (1 << self.velocity_drop - self.momentum_shift)
        low, high = self._scaled_range
        return self.velocity.min * kept + low, self.velocity.max * kept + high

    @property
    def _mixed_range(self) -> tuple[int, int]:
        """Of the two parts of the step, each as far as it counts: c U and (1 - c) 2**k G."""
        old = self.compensation << self.velocity_drop
        new = (1 << COMPENSATION_FRAC) - self.compensation << self.momentum_shift
        low, high = self._scaled_range
        return self.velocity.min * old + low * new, self.velocity.max * old + high * new

    @cached_property
    def of_biases(self) -> UnitArithmetic:
        """It as biases have it, which do not decay."""
        return replace(self, decay_shift=0) if self.decay_shift else self

    @property
    def decay_drop(self) -> int:
        """Bits that the rounding of what decays drops, at the last of the recipe's rates."""
        return self.decay_shift + self.rate_span if self.decay_shift else 0

    @property
    def decays(self) -> bool:
        """Whether the largest weight that there can be decays; see `moves`."""
        nearest = self.round_update is Rounding.NEAREST_EVEN
        return not nearest or 2 * self.weight.max > 1 << self.decay_shift

    @property
    def moves(self) -> bool:
        """Whether the largest gradient that there can be moves a weight whose velocity is zero.

        If not, none ever does.  Random bits carry any update over once in a while, and truncation
        every negative one; only rounding to nearest leaves it at that.
        """
        if self.round_update is not Rounding.NEAREST_EVEN:
            return True
        scaled = max(map(abs, self._scaled_range))
        if 2 * scaled > 1 << self.velocity_drop:
            return True
        mixed = (scaled << self.momentum_shift) * ((1 << COMPENSATION_FRAC) - self.compensation)
        return self.compensates and 2 * mixed > 1 << self.weight_drop

    @property
    def update_bits(self) -> int:
        """Bits that hold every intermediate value of an update."""
        gradient = self.clipped.bits + self.gradient_shift(0) + self.momentum_shift
        velocity = self.velocity.bits + self.velocity_drop
        return max(gradient, velocity) + 2 + COMPENSATION_FRAC

    @property
    def word_bits(self) -> int:
        """Bits of one {weight, velocity} word, of a weight alone where it is frozen."""
        return self.weight.bits + (0 if self.frozen else self.velocity.bits)

    def check(self, where: str) -> None:
        """ValueError, one sentence that begins with `where`, unless all of it can work together."""
        sums = ("forward_sum", "bias_operand", "backward_sum")
        for what in sums if self.frozen else (*sums, "gradient"):
            try:
                getattr(self, what)
            except ValueError as error:
                named = what.replace("_", " ")
                raise ValueError(
                    f"{where}: its {named} is too wide ({error}); use narrower formats"
                ) from None
        if not self.frozen and self.velocity.frac != self.weight.frac:
            raise ValueError(
                f"{where}: velocity {self.velocity} and weight {self.weight} must have equally "
                "many fraction bits"
            )
        if self.operand.frac > self.weight.frac:
            raise ValueError(
                f"{where}: operand {self.operand} has more fraction bits than weight {self.weight}"
            )
        for role, narrow in (
            ("error", self.dy),
            ("operand", self.operand),
            ("weight", self.weight),
        ):
            if not narrow.signed:
                raise ValueError(f"{where}: format of {role} is {narrow}, but must be signed")
        if not self.frozen:
            self._check_update(where)

    def _check_update(self, where: str) -> None:
        """As `check`, of what moves the weights."""
        if self.clip_shift is not None and self.clip_shift + self.gradient.frac < 1:
            raise ValueError(
                f"{where}: recipe.gradient_clip is 2^{self.clip_shift}, but the last place of its "
                f"gradients is 2^-{self.gradient.frac}, so that less than two would be left of "
                f"them; use at least 2^{1 - self.gradient.frac}, or give the errors more fraction "
                "bits"
            )
        if self.round_update is Rounding.STOCHASTIC:
            needed = self.velocity_drop + (self.weight_drop if self.compensates else 0)
            both = f"{self.velocity_drop} + {self.weight_drop}"
            drops = both if self.compensates else f"{self.velocity_drop}"
            if needed > RANDOM_BITS:
                raise ValueError(
                    f"{where}: the update drops {drops} bits, but "
                    f"its random generator has {RANDOM_BITS}; raise the learning rate (now "
                    f"2^-{self.rate_shift}), lower the momentum or give the velocity more "
                    "fraction bits"
                )
            if self.velocity_drop + self.decay_drop > RANDOM_BITS:
                raise ValueError(
                    f"{where}: the update drops {self.velocity_drop} bits and what decays of a "
                    f"weight {self.decay_drop}, but its random generator has {RANDOM_BITS}; raise "
                    f"the weight decay (now 2^-{self.decay_shift}) or give the velocity fewer "
                    "fraction bits"
                )
        if self.update_bits > 62:
            raise ValueError(
                f"{where}: the update needs {self.update_bits} bits and the model has 62; use "
                "fewer fraction bits, a higher learning rate or a lower momentum"
            )


def _rounded(low: int, high: int, frac: int, drop: int) -> Format:
    """The format of low..high without their lowest `drop` bits, rounded up or down."""
    return signed_within(low >> drop, -(-high >> drop), frac - drop)


def compensation_for(momentum_shift: int, delay: int) -> int:
    """c = m**(delay + 1) as an integer over 2**COMPENSATION_FRAC.

    It stays below one however heavy the momentum: at one a gradient would act an update late.
    """
    decay = float((1 - 2.0**-momentum_shift) ** (delay + 1))
    one = 1 << COMPENSATION_FRAC
    return min(round(decay * one), one - 1)
