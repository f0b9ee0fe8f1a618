"""What travels together between the parts of a unit with weights, seen from where it comes from."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import WORD_BITS
from counterflow.design.parts.formats import Format, signed_for
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.arithmetic import RANDOM_BITS, UnitArithmetic
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import unawaited_words
from counterflow.hw.parts.narrow import half_of, shape_of
from counterflow.hw.weighted.place import DECISIVE, shapes_of

STROBES = ("issue", "line_end", "row_begin", "row_end", "place_down", "finish")

# What a slot is: the kind of the token that goes forward; whether it has a token that comes back,
# that one has a gradient, and weights move by it.
Slot = wiring.Signature(
    {"kind": Out(KIND_BITS), "returning": Out(1), "learning": Out(1), "moving": Out(1)}
)

# How a walk gets on: between slots, the words that its next tile needs are there, it waits though
# a slot is due or under way; `hold`: it shall start no slot.
WalkState = wiring.Signature({"idle": Out(1), "arrived": Out(1), "stalled": Out(1), "hold": In(1)})

# What the host sets for all lanes of a unit.
Settings = wiring.Signature({"predict": Out(1), "compensate": Out(1), "extra_shift": Out(3)})

# The bus at the random generator: a state to begin with, the state to read.
GeneratorAccess = wiring.Signature(
    {"load": Out(1), "initial": Out(WORD_BITS), "state": In(WORD_BITS)}
)


def visit_signals(stage: Stage) -> wiring.Signature:
    """All that is said of a cycle of the walk.

    ``issue`` high in each cycle in which a tile is visited, with its ``phase``; where the tile lies
    (`hw.weighted.place.Place`); ``line_end``: the last tile of a row of the kernel, ``row_begin``,
    ``row_end`` the first and last cycle of a row of tiles, ``place_down`` the last one of a row of
    places, ``finish`` that of a slot; what the ``slot`` is.
    """
    return wiring.Signature(
        {
            **{name: Out(shape) for name, shape in shapes_of(stage).items()},
            **{name: Out(1) for name in STROBES},
            "phase": Out(2),
            "slot": Out(Slot),
        }
    )


def decision_signals(stage: Stage) -> wiring.Signature:
    """That part of `visit_signals` which the walk knows in the very cycle of its decision."""
    members = visit_signals(stage).members
    names = (*DECISIVE, *STROBES, "phase", "slot")
    found = {name: members[name] for name in names}
    return wiring.Signature(found | {"starts_slot": Out(1, init=1)})  # after a reset, too


def place_signals(stage: Stage) -> wiring.Signature:
    """The rest of it, which follows a cycle after the decision."""
    shapes = shapes_of(stage)
    return wiring.Signature({name: Out(shapes[name]) for name in shapes if name not in DECISIVE})


def walk_claims(stage: Stage) -> wiring.Signature:
    """What the walk takes of all that it waits for, in the very cycle of its decision.

    ``image``: the words of one are done with; ``error``: the gradient of a row; ``output``: room
    for a row of outputs; ``lines``: room for so many ``rows`` of input gradient.
    """
    rows = range(stage.tiling.geometry.image[0] + 1)
    names = ("image", "error", "output", "lines")
    return wiring.Signature({**{name: Out(1) for name in names}, "rows": Out(rows)})


def input_words(stage: Stage) -> wiring.Signature:
    """``arrived`` words from the current image on, and ``more``: another one arrives.

    They are less than none while words of earlier images are to come that nobody waited for.
    """
    most = 2 * stage.tiling.image_words + 2 * stage.depths.window
    _, least = unawaited_words(stage.tiling, stage.threshold)
    return wiring.Signature({"arrived": Out(range(-least, most + 1)), "more": Out(1)})


def memory_visits(words: int) -> wiring.Signature:
    """A tile is ``visited`` at its ``address``; another one's new word is ``learnt`` at its own.

    The latter in the cycle after that in which it is said.
    """
    address = range(max(2, words))
    return wiring.Signature(
        {
            "visited": Out(1),
            "address": Out(address),
            "learnt": Out(1),
            "learnt_address": Out(address),
        }
    )


def memory_access(width: int) -> wiring.Signature:
    """The register bus at a memory: ``fetch`` or ``store`` at ``address``; ``fetched`` comes back.

    What is stored goes through the lanes: `stored_word`.
    """
    return wiring.Signature(
        {"fetch": Out(1), "store": Out(1), "address": Out(16), "fetched": In(width)}
    )


def stored_word(stage: Stage) -> wiring.Signature:
    """``word`` {weight, velocity} a lane takes the place of what is learnt.

    In lanes that of their own, while ``weights`` is high.
    """
    width = stage.tiling.lane_count * stage.arithmetic.word_bits
    return wiring.Signature({"weights": Out(1), "word": Out(width)})


def lane_words(width: int) -> wiring.Signature:
    """A memory at the lanes: the ``word`` that was visited, the ``new`` one that was learnt."""
    return wiring.Signature({"word": Out(width), "new": In(width)})


def gradient_sums(width: int) -> wiring.Signature:
    """Gradients of what was visited: their ``earlier`` sum, and the one with the present added."""
    return wiring.Signature({"earlier": Out(width), "sum": In(width)})


def lane_learning(stage: Stage) -> wiring.Signature:
    """What lanes need to learn: ``random`` bits; whether a new word of theirs is ``clipped``.

    Where gradients are sums, those of ``weights``, and ``fresh``: none is earlier.
    """
    members: dict[str, In | Out] = {"random": Out(RANDOM_BITS), "clipped": In(1)}
    if stage.arithmetic.sums_gradients:
        bits, tiling = stage.arithmetic.gradient.bits, stage.tiling
        members["fresh"] = Out(1)
        members["weights"] = Out(gradient_sums(tiling.lane_count * bits))
    return wiring.Signature(members)


def bias_stream(stage: Stage) -> wiring.Signature:
    """What is added to the sums of rows of tiles: a bias is `asked` for, and there then.

    With half of what outputs count in, where they are rounded to the nearest.
    """
    numbers = stage.arithmetic
    bias = signed_for(numbers.bias_operand.magnitude + half_of_outputs(numbers), 0)
    return wiring.Signature({"asked": In(1), "bias": Out(shape_of(bias))})


def half_of_outputs(numbers: UnitArithmetic) -> int:
    """See `hw.parts.narrow.half_of`."""
    return half_of(numbers.forward_sum.frac - numbers.y.frac, numbers.round_activation)


def rounded_sum(numbers: UnitArithmetic) -> Format:
    """A finished sum with what `bias_stream` has of it."""
    sums = numbers.forward_sum
    return signed_for(sums.magnitude + half_of_outputs(numbers), sums.frac)


def backward_products(stage: Stage) -> wiring.Signature:
    """What input gradients are made of: ``products``, lane by lane."""
    shape = shape_of(stage.arithmetic.backward_sum)
    return wiring.Signature({"products": Out(shape).array(stage.tiling.lane_count)})
