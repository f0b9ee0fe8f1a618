"""Norms of any formats in a small network, and streams of tokens through one of them alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import plan
from counterflow.design.units.norm_times import NormStage
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units import state_of
from counterflow.golden.units.norm import Norm, NormState
from counterflow.sim.shapes import network

GENERATOR = 12345


class Numbers(NamedTuple):
    """Formats of a norm: of x, y, dy and dx, of beta and its velocity."""

    x: str = "s12.5"
    y: str = "s9.5"
    dy: str = "s12.12"
    dx: str = "s12.12"
    weight: str = "s20.18"
    velocity: str = "s14.18"


PLAIN = Numbers()


FORMATS = {
    "plain": PLAIN,
    "coarse": Numbers("s6.2", "s5.2", "s6.4", "s6.3", "s8.6", "s7.6"),
    "fine": Numbers("s16.10", "s13.8", "s18.14", "s16.12", "s28.24", "s24.24"),
    "unsigned": Numbers("u8.8", "s8.4", "s9.9", "s12.10", "s20.18", "s18.18"),
    "no fraction": Numbers("s8.0", "s4.0", "s6.0", "s7.4", "s12.10", "s12.10"),
}
STREAMS: dict[str, tuple[Numbers, dict[str, Any]]] = {
    **{name: (numbers, {}) for name, numbers in FORMATS.items() if name != "unsigned"},
    "unsigned, at the input": (FORMATS["unsigned"], {"first": True}),
    "predicted": (PLAIN, {"mitigation": "lwpv", "horizon": 2}),
    "compensated, stochastic": (PLAIN, {"mitigation": "lwpv+sc", "update": "stochastic"}),
    "three samples an update": (FORMATS["coarse"], {"mitigation": "lwpv+sc", "accumulate": 3}),
    "pixels of a power of two": (PLAIN, {"image": (4, 4, 3), "update": "stochastic"}),
    "before a pool, no ReLU": (PLAIN, {"returned": False, "activation": "none"}),
    "before a pool": (FORMATS["fine"], {"returned": False}),
    "gamma": (PLAIN, {"gamma": True}),
    "gamma, predicted, at the input": (
        FORMATS["unsigned"],
        {"gamma": True, "first": True, "mitigation": "lwpv"},
    ),
    "gamma, compensated, three samples an update, no ReLU": (
        Numbers("s6.2", "s5.2", "s6.4", "s6.3", "s10.8", "s8.8"),
        {
            **{"gamma": True, "activation": "none", "mitigation": "lwpv+sc"},
            **{"accumulate": 3, "update": "stochastic"},
        },
    ),
    "gamma, before a pool": (FORMATS["fine"], {"gamma": True, "returned": False}),
}


def around(
    numbers: Numbers = PLAIN,
    image: tuple[int, int, int] = (4, 3, 2),
    *,
    first: bool = False,
    returned: bool = True,
    activation: str = "relu",
    gamma: bool = False,
    update: str = "nearest-even",
    **recipe: Any,
) -> Description:
    """A network with a norm; `first`: behind its input; not `returned`: before a pool."""
    layers: list[dict[str, Any]] = []
    formats = {"input": numbers.x} if first else {}
    if not first:
        own = {"activation": numbers.x, "error": numbers.dx}
        layers.append(
            {
                "kind": "convolution",
                "outputs": image[2],
                "kernel": 1,
                "activation": "none",
                "formats": own,
            }
        )
    own = {"activation": numbers.y, "error": numbers.dy}
    own |= {"weight": numbers.weight, "velocity": numbers.velocity}
    layers.append({"kind": "norm", "activation": activation, "gamma": gamma, "formats": own})
    if not returned:
        layers.append({"kind": "max-pool", "kernel": [1, image[1]]})
    layers.append({"kind": "convolution", "outputs": 2, "kernel": 1})
    recipe = {"mitigation": "none", "learning_rate": 2.0**-7, "momentum": 0.75, **recipe}
    rounding = {"update": update}
    return network(image, layers, formats=formats, recipe=recipe, rounding=rounding)


@cache
def stage_of(numbers: Numbers = PLAIN, **fields: Any) -> NormStage:
    """The norm of `around`, in its schedule."""
    found = plan(around(numbers, **fields)).schedule.stages
    (stage,) = (one for one in found if isinstance(one, NormStage))
    return stage


def golden(stage: NormStage, **arrays: Integers) -> Norm:
    """The integer unit of a stage, with other `arrays` in its state than it begins with."""
    state: Any = state_of(stage, {**stage.initial(), **arrays}, GENERATOR)
    return Norm(stage, state)


def noise(random: np.random.Generator, number: Format, *shape: int) -> Integers:
    """Whole ranges; zeros and both ends are frequent."""
    wide = random.integers(number.min, number.max, shape, endpoint=True)
    ends = random.choice(np.array([number.min, number.max, 0]), shape)
    return np.where(random.random(shape) < 0.3, ends, wide)


def kinds_of(count: int, seed: int) -> list[Kind]:
    """Tokens of all kinds, most of which train."""
    random = np.random.default_rng(seed)
    return [Kind(int(one)) for one in random.choice(4, count, p=[0.1, 0.1, 0.6, 0.2])]


class Passed(NamedTuple):
    """What a unit made of a stream: y by slot, dx by token, its state after each slot."""

    ys: list[Integers]
    dxs: dict[int, Integers]
    states: list[NormState]


def passed(unit: Norm, kinds: Sequence[Kind], xs: Integers, dys: Integers, come: int) -> Passed:
    """Pass a stream, [tokens, elements] each way; gradients come `come` slots behind."""
    found, waiting = Passed([], {}, []), {}
    rectified = unit.stage.unit.outputs[0].rectified

    def back() -> None:
        for token in sorted(waiting):
            if not unit.returns(token):
                return
            dy, y = waiting.pop(token), found.ys[token]
            dy = np.where(y > 0, dy, 0) if rectified else dy
            both = np.stack([dy, y]) if unit.stage.unit.outputs[0].returned else dy
            found.dxs[token] = unit.backward(both, kinds[token].learns)

    for slot, kind in enumerate(kinds):
        found.ys.append(unit.forward(xs[slot], kind.learns))
        if slot >= come:
            waiting[slot - come] = dys[slot - come]
        back()
        token = slot - unit.stage.delay
        unit.update(moves=token >= 0 and kinds[token] is Kind.TRAIN)
        back()
        found.states.append(unit.state.copy())
    return found
