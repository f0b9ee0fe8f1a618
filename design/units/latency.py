"""Latencies of the registers in `hw`, in cycles.

A bench compares every cycle with what the schedule makes of them, so that a register more or less
fails loudly.
"""

from __future__ import annotations

BEGIN = 3  # after a reset, until a walk stands at its first tile
ISSUE = 1  # a tile's issue, which the walk decides on, to its visit, known all over the unit
MEMORY = 2  # address at a memory to its word in the register behind it
WORD = 1 + MEMORY  # a tile's visit to its words of weights and biases: an address register first
OPERANDS = WORD + 2  # ... to its operands at the multipliers: prediction, narrowing
AHEAD = 1  # a word to what the forward pass sees of it: predicted, narrowed in the next cycle
PRODUCT = 1  # the multiplier's output register
CHOSEN = 2  # gradients of a row to that of the bias whose turn it is, in two steps
SUM = 1  # the accumulator
BIASED = 1  # a finished sum to it with its bias
NARROW = 1  # rounding and saturation
ROUND = 1  # rounding alone, where a carry chain and saturation are too much for a cycle
TURN = 1  # products in the order of the kernel to sums in the order of the image
BORDER = 1  # from one unit to another, either way
QUEUE = 1  # a first-in first-out memory, written to readable
FETCH = 3  # a finished word of input gradient is counted, fetched, in the register behind
BUS_NODE = 2  # an access of the register bus through a node
BUS_READ = 3  # a norm's parameter asked for by the bus, to its register: a register and MEMORY
BUS_WEIGHT = BUS_READ + 1  # a weight, to the shift register: whether it may is found out first
BUS_SPACING = BUS_WEIGHT + 1  # from one access of the bus to the next, which sees what it left
SATURATED = 2  # a new word of a lane to the knowledge that one of its tile is clipped
REPORTED = 1  # ... and on, to the unit's counter
STEP = 4  # a product to the step that its weight makes: see hw/weighted/update.py
UPDATE = STEP + 2  # product to the memory's write port: the weight moved, its word
TO_PRODUCT = ISSUE + OPERANDS + PRODUCT  # a tile's issue to its products
MOVED = TO_PRODUCT + UPDATE  # ... to the write of what its first turn moves
FREE = 2 + ISSUE  # the last read of a word to the cycle in which its place can be written

TREE_RADIX = 4  # operands that one registered level of an adder tree sums

INTAKE = 3  # last element of a sample accepted to first emitted: verdict, memory, a register
LOSS_FIXED = 17  # of the loss unit's latency 2 n + LOSS_FIXED, see hw/units/loss.py
LOSS_TAIL = 14  # of the cycles 3 n + LOSS_TAIL that the loss unit is busy with a token


def tree_latency(operands: int) -> int:
    """Registered levels of an adder tree."""
    levels = 0
    while operands > 1:
        operands = -(-operands // TREE_RADIX)
        levels += 1
    return levels
