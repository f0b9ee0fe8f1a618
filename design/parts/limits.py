"""How much of everything a training may have: more is a slip of the keyboard."""

from __future__ import annotations

MAX_EPOCHS = 1_000_000
MAX_SAMPLES = 2**40  # over all epochs
MAX_BATCH = 2**20
MAX_BUDGET = 10**12  # multipliers, memory bits or cycles that a fold may be asked for
