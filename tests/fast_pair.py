"""A golden chain and a fast one side by side, and networks to try them on."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.chain import Chain
from counterflow.golden.fast.chain import MITIGATIONS, FastChain
from counterflow.golden.training.start import initial_states
from counterflow.golden.units import state_of
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings

FORMATS: dict[str, dict[str, str]] = {
    "default": {},
    "8 bit": {
        "operand": "s8.6",
        "weight": "s16.14",
        "velocity": "s10.14",
        "error": "s8.6",
    },
    "16x16": {
        "input": "u8.8",
        "activation": "s16.11",
        "operand": "s16.14",
        "weight": "s16.14",
        "velocity": "s10.14",
        "error": "s16.13",
    },
    "18x18": {
        "input": "s12.11",
        "activation": "s18.13",
        "operand": "s18.16",
        "weight": "s18.16",
        "velocity": "s12.16",
        "error": "s18.15",
    },
    "no momentum": {
        "operand": "s8.6",
        "weight": "s12.10",
        "velocity": "s12.10",
        "error": "s12.10",
    },
    "deep": {"input": "u8.4", "activation": "u8.3", "error": "s12.9"},
    "wide": {
        "input": "s14.8",
        "activation": "u14.11",
        "logit": "s24.18",
        "operand": "s18.16",
        "weight": "s32.30",
        "velocity": "s30.30",
        "error": "s16.14",
    },
    "tiny": {
        "input": "u3.1",
        "activation": "u3.0",
        "logit": "s5.1",
        "operand": "s3.1",
        "weight": "s6.5",
        "velocity": "s4.5",
        "error": "s5.3",
    },
    "finer after than before": {
        "input": "u4.2",
        "activation": "u20.15",
        "logit": "s20.16",
        "operand": "s5.3",
        "weight": "s22.20",
        "velocity": "s18.20",
        "error": "s12.10",
    },
}
WORDS = {"16x16": 64, "18x18": 64, "wide": 64, "finer after than before": 64}
"""Bits of the machine words that a set of formats asks for, where these are not 32."""


def network(
    widths: tuple[int, ...] = (20, 12, 9, 5),
    *,
    formats: dict[str, str] | None = None,
    update: str = "stochastic",
    rounding: str = "nearest-even",
    fold: dict[str, Any] | None = None,
    errors: tuple[str, ...] = (),
    inputs: list[int] | None = None,
    layers: list[dict[str, Any]] | None = None,
    **recipe: Any,
) -> Description:
    """A network of dense layers, or of `layers` for `inputs`."""
    if layers is None:
        layers = [{"outputs": outputs} for outputs in widths[1:]]
    layers = [dict(layer) for layer in layers]
    layers[-1]["activation"] = "none"
    for layer, error in zip(layers, errors, strict=False):
        layer["formats"] = {"error": error}
    others = dict.fromkeys(("activation", "operand", "error"), rounding)
    return Description.model_validate(
        {
            "name": "net",
            "inputs": widths[0] if inputs is None else inputs,
            "layers": layers,
            "formats": formats or {},
            "rounding": {"update": update, **others},
            "recipe": {"learning_rate": 2.0**-6, **recipe},
            "fold": fold or {"multipliers": 24},
        }
    )


def random_states(schedule: Schedule, seed: int) -> list[State]:
    """Any values that the formats hold, the extreme ones often."""
    random = np.random.default_rng(seed)

    def values(target: Format, *shape: int) -> Any:
        inner = random.integers(target.min // 2, target.max // 2, shape, endpoint=True)
        extreme = random.choice(np.array([target.min, target.max]), shape)
        return np.where(random.random(shape) < 0.2, extreme, inner)

    return [
        state_of(
            stage,
            {one.name: values(one.number, *one.shape) for one in stage.parameters},
            int(random.integers(1, 2**32)),
        )
        for stage in schedule.stages
    ]


class Pair:
    """A golden chain and a fast one that are given the same and must stay the same."""

    def __init__(self, description: Description, *, seed: int = 1, extreme: bool = False) -> None:
        self.schedule = plan(description).schedule
        make = random_states(self.schedule, seed) if extreme else None
        states = make or initial_states(description, self.schedule, seed)
        self.golden = Chain(description, self.schedule, [state.copy() for state in states])
        self.fast = FastChain(description, self.schedule, states)
        random = np.random.default_rng(seed)
        x = self.schedule.graph.source.x
        shape = (16, description.elements)
        self.samples = random.integers(x.min, x.max, shape, endpoint=True)
        self.samples[random.random(shape) < 0.3] = x.max
        self.labels = random.integers(0, description.classes, len(self.samples))

    def set(self, settings: Settings) -> None:
        self.golden.set(settings)
        self.fast.set(settings)

    def run(self, tokens: list[Token]) -> None:
        kinds = np.array([token.kind for token in tokens], np.uint8)
        indices = np.array([token.sample for token in tokens], np.int64)
        expected = self.golden.run(tokens, self.samples, self.labels)
        scores, losses = self.fast.run_all(kinds, indices, self.samples, self.labels)
        ends = sorted(loss.unit.head for loss in self.schedule.losses)
        for place, end in enumerate(ends):  # the network's, then those of heads
            said = [one.heads[end] if end else one for one in expected]
            np.testing.assert_array_equal(scores[place], [one.scores for one in said] or scores[0])
            assert losses[place].tolist() == [one.loss for one in said]
        for stage, found, state in zip(
            self.schedule.stages, self.fast.states, self.golden.states, strict=True
        ):
            for name in stage.remembered:
                one, other = getattr(found, name), getattr(state, name)
                np.testing.assert_array_equal(one, other, err_msg=f"{stage.name} {name}")
        assert self.fast.saturations == [unit.saturations for unit in self.golden.units]


def mixed(count: int, seed: int, accumulate: int = 1) -> list[Token]:
    """Tokens of every kind in no order; at most so many samples make an update."""
    random = np.random.default_rng(seed)
    kinds = random.choice([Kind.TRAIN, Kind.INFER, Kind.BUBBLE], count, p=[0.6, 0.2, 0.2])
    tokens, waiting = [], 0
    for kind in map(Kind, kinds):
        if kind is Kind.TRAIN and waiting + 1 < accumulate and random.random() < 0.7:
            kind = Kind.ACCUMULATE
        waiting = {Kind.TRAIN: 0, Kind.ACCUMULATE: waiting + 1}.get(kind, waiting)
        tokens.append(Token(kind, -1 if kind is Kind.BUBBLE else int(random.integers(16))))
    if waiting:
        tokens.append(Token(Kind.TRAIN, 0))
    return tokens


def trained(count: int) -> list[Token]:
    """Samples learnt from, one after the other."""
    return [Token(Kind.TRAIN, index % 16) for index in range(count)]


def convolution(outputs: int, kernel: Any = 3, **others: Any) -> dict[str, Any]:
    return {"kind": "convolution", "outputs": outputs, "kernel": kernel, **others}


def pool(kind: str, kernel: Any = 2, **more: Any) -> dict[str, Any]:
    return {"kind": f"{kind}-pool", "kernel": kernel, **more}


def some_network(random: np.random.Generator, *, sliding: bool = False) -> Description:
    """A random network; `ValueError` where its parts do not fit together.

    Windows of its pools lie side by side, or anyhow if they are `sliding`.
    """

    def pair(low: int, high: int) -> list[int]:
        return [int(one) for one in random.integers(low, high, 2)]

    layers: list[dict[str, Any]] = []
    for _ in range(random.integers(1, 4)):
        layers.append(
            convolution(
                int(random.choice([1, 2, 3, 5, 17])),
                pair(1, 4),
                stride=pair(1, 4),
                padding=pair(0, 3),
            )
        )
        for _ in range(random.choice(3, p=[0.4, 0.4, 0.2])):
            kind, kernel = str(random.choice(["max", "average"])), pair(1, 3 + sliding)
            more = {"stride": pair(1, 4), "padding": pair(0, 3)} if sliding else {}
            layers.append(pool(kind, kernel, **more))
        if random.random() < 0.3:
            more = layers[-1].get("outputs", 0) + int(random.choice([0, 2, 16]))
            layers.append({"kind": "subsample", "stride": pair(1, 3), "outputs": max(1, more)})
    for outputs in random.integers(2, 9, random.integers(1, 3)):
        layers.append({"outputs": int(outputs)})
    signed = random.random() < 0.3
    for layer in layers:
        if (signed and "kernel" not in layer) or layer.get("kind") == "convolution":
            layer["activation"] = "none" if signed and random.random() < 0.5 else "relu"
    frac = int(random.integers(8, 20))
    formats = {
        "input": f"{random.choice(['u', 's'])}{random.integers(3, 10)}.{random.integers(0, 9)}",
        "activation": f"{'s' if signed else 'u'}{random.integers(3, 16)}.{random.integers(0, 8)}",
        "logit": f"s{random.integers(6, 16)}.3",
        "operand": f"s{random.integers(4, 16)}.{random.integers(2, 8)}",
        "weight": f"s{random.integers(frac, frac + 6)}.{frac}",
        "velocity": f"s{random.integers(frac - 4, frac + 4)}.{frac}",
        "error": f"s{random.integers(6, 13)}.{random.integers(4, 6)}",
    }
    return network(
        inputs=[*pair(3, 12), int(random.choice([1, 2, 3, 17]))],
        layers=layers,
        formats=formats,
        update=str(random.choice(["truncate", "nearest-even", "stochastic"])),
        rounding=str(random.choice(["truncate", "nearest-even"])),
        fold={"multipliers": int(random.integers(9, 200))},
        learning_rate=2.0 ** -random.integers(0, 12),
        momentum=1 - 2.0 ** -random.integers(0, 10),
        mitigation=str(random.choice(MITIGATIONS)),
        accumulate=int(random.choice([1, 3])),
        horizon=int(random.integers(1, 3)),
    )
