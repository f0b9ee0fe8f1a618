"""What a simulation found: the values that the command line prints and scripts read.

`sim` fills these in and nothing else does.  ``to_json`` gives the keys that scripts may rely on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from counterflow.golden.training.epochs import Head


class SlotTime(NamedTuple):
    """One slot of one stage as it was observed; a token of None (or -1) is a bubble or nothing.

    The slot takes the cycles `start` to `end` - 1.
    """

    stage: str
    slot: int
    start: int
    end: int
    forward: int | None
    backward: int | None


class Compared:
    """What every report of a comparison with the golden model has and says."""

    cycles: int
    samples: int
    compared: int
    mismatches: int
    utilisation_planned: float | None
    utilisation_measured: float | None
    first_divergence: str | None
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether something was compared and all of it was equal."""
        return self.compared > 0 and self.mismatches == 0 and self.first_divergence is None

    def to_json(self) -> dict[str, object]:
        """The keys that `counterflow simulate --json` promises.

        ``equal`` is false where nothing was compared; values ``compared`` and ``mismatches`` among
        them say how much stands behind it.
        """
        return {
            "cycles": self.cycles,
            "samples": self.samples,
            "equal": self.equal,
            "compared": self.compared,
            "mismatches": self.mismatches,
            "utilisation": {
                "planned": self.utilisation_planned,
                "measured": self.utilisation_measured,
            },
            "first_divergence": self.first_divergence,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class SimulationReport(Compared):
    """Outcome of a cycle-by-cycle comparison of generated hardware with the golden model.

    ``compared`` counts values (one of each stream or memory port in one cycle), utilisation is
    useful products over multipliers x cycles in the steady state (None where a run was too short to
    reach it); losses are in ``unit``, one a sample; nothing is
    ``correct`` where no label judges.  ``counters`` of the hardware were compared beside these
    values; ``exercised`` says of each thing that a run may exercise whether this one did.
    """

    cycles: int
    samples: int
    compared: int
    mismatches: int
    utilisation_planned: float
    utilisation_measured: float | None
    first_divergence: str | None
    seconds: float
    losses: Sequence[float] = ()
    golden_losses: Sequence[float] = ()
    correct: Sequence[bool] = ()
    slots: Sequence[SlotTime] = ()
    counters: int = 0
    exercised: Mapping[str, bool] = field(default_factory=dict)
    unit: str = "nats"

    @property
    def interval(self) -> int | None:
        """Cycles between the first stage's slots, as observed; the middle one of all steps."""
        starts = [SlotTime(*one).start for one in self.slots if one[0] == self.slots[0][0]]
        steps = sorted(late - early for early, late in itertools.pairwise(starts))
        return steps[len(steps) // 2] if steps else None

    def to_json(self) -> dict[str, object]:
        """The keys of every report, the interval as observed, and what the runs exercised."""
        return super().to_json() | {
            "interval": self.interval,
            "counters": self.counters,
            "exercised": dict(self.exercised),
        }


@dataclass(frozen=True)
class LongRunReport(Compared):
    """Outcome of whole epochs in hardware without Python in the cycle.

    ``compared`` counts the values (weights, velocities, biases; predictions and losses) that were
    held to golden's at the ends of the epochs.  ``accuracy`` of the test samples has one entry an
    epoch, ``test_losses`` and ``heads``, the same by head, too; ``losses`` are those of training.
    All losses are in nats, or half sums of squares; there is no accuracy where no label judges.
    ``stretches`` of epochs were simulated beside each other, each begun with golden's states.
    """

    epochs: int
    samples: int
    cycles: int
    seconds: float
    mismatches: int
    first_divergence: str | None
    accuracy: Sequence[float] = ()
    compared: int = 0
    utilisation_planned: float | None = None
    utilisation_measured: float | None = None
    losses: Sequence[float] = field(default=(), repr=False)
    test_losses: Sequence[float] = ()
    heads: Sequence[Sequence[Head]] = ()
    stretches: int = 1

    def to_json(self) -> dict[str, object]:
        """The keys of every report, and what the epochs brought."""
        return super().to_json() | {
            "epochs": self.epochs,
            "stretches": self.stretches,
            "accuracy": list(self.accuracy),
            "heads": [[asdict(head) for head in heads] for heads in self.heads],
        }
