"""What tokens see of beta, and of gamma if there is one: as they are, and predicted.

A token that trains sees the predicted ones.  Fields of words are named as `names` has it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Value

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.normal import Normal
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.weighted.update import Predict


def names(numbers: Normal) -> dict[str, str]:
    """The name of each predicted value, by that of what it predicts."""
    return {name: "ahead" if name == "beta" else f"{name}_ahead" for name in numbers.learnt}


def fields(numbers: Normal) -> dict[str, Any]:
    """The shapes of all of them, by name."""
    found: dict[str, Any] = {}
    for name, ahead in names(numbers).items():
        shape = shape_of(numbers.learnt[name][1])
        found |= {name: shape, ahead: shape} if numbers.parameters.predicts else {name: shape}
    return found


def predicted(m: Module, numbers: Normal, state: Any) -> dict[str, Value]:
    """All of them by name, of a channel's `state`, a cycle later."""
    found: dict[str, Value] = {}
    for name, of_ahead in names(numbers).items():
        moves, operand = numbers.learnt[name]
        m.submodules[of_ahead] = ahead = Predict(numbers=moves, target=operand, back=True)
        m.d.comb += [ahead.weight.eq(state[name]), ahead.enable.eq(1)]
        if not moves.frozen:
            m.d.comb += ahead.velocity.eq(state[f"{name}_velocity"])
        found[name] = ahead.backward
        if numbers.parameters.predicts:
            found[of_ahead] = ahead.forward
    return found


def chosen(numbers: Normal, view: Any, predict: Value, kind: Value) -> dict[str, Value]:
    """Those that a token of kind `kind` sees, of all that are in `view`, by name."""
    if not numbers.parameters.predicts:
        return {name: view[name] for name in names(numbers)}
    ahead = predict & (kind >= Kind.TRAIN)
    return {name: Mux(ahead, view[other], view[name]) for name, other in names(numbers).items()}
