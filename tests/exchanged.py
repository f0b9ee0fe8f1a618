"""What tests of exports and imports share: states at random, files that PyTorch has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.chain import Chain
from counterflow.golden.fast.chain import FastChain, offered
from counterflow.golden.training.epochs import train
from counterflow.golden.training.models import tokens_of
from counterflow.golden.units import state_of
from counterflow.golden.units.state import State

FILES = Path(__file__).parent / "data"

WIDE = {
    "input": "u12.8",
    "activation": "u30.16",
    "logit": "s30.20",
    "operand": "s8.4",
    "weight": "s20.16",
    "velocity": "s14.16",
}
"""Formats in which what tests/data/torch_files.py computes in sixteenths is exact."""
COARSE = {
    "rounding": {"update": "truncate"},
    "recipe": {"learning_rate": 0.5, "momentum": 0.5, "mitigation": "none"},
}
"""A way to learn that such formats leave room for; nothing is learnt."""

MLP = {
    "name": "mlp",
    "inputs": 6,
    "layers": [{"outputs": 5}, {"outputs": 4}, {"outputs": 3, "activation": "none"}],
    "formats": WIDE,
    **COARSE,
}
CNN = {
    "name": "cnn",
    "inputs": [6, 6, 2],
    "layers": [
        {"kind": "convolution", "outputs": 3, "kernel": 3, "padding": 1},
        {"kind": "max-pool"},
        {"kind": "convolution", "outputs": 4, "kernel": 2},
        {"kind": "flatten"},
        {"outputs": 6},
        {"outputs": 5, "activation": "none"},
    ],
    "formats": WIDE,
    **COARSE,
}


def described(fields: dict[str, Any], **changes: Any) -> tuple[Description, Schedule]:
    """A network and its schedule."""
    network = Description.model_validate({**fields, **changes})
    return network, plan(network).schedule


def drawn(schedule: Schedule, seed: int) -> list[State]:
    """States in which every parameter is any number of its format."""
    random = np.random.default_rng(seed)
    states = initial_states_of(schedule)
    for stage, state in zip(schedule.stages, states, strict=True):
        for one in stage.parameters:
            values = random.integers(one.number.min, one.number.max, one.shape, endpoint=True)
            setattr(state, one.name, values)
    return states


def initial_states_of(schedule: Schedule) -> list[State]:
    """Those that a schedule's units begin with, without weights."""
    return [state_of(stage, stage.initial(), 1) for stage in schedule.stages]


def trained(network: Description, schedule: Schedule, samples: int = 200) -> list[State]:
    """States after some training on the network's own data."""
    data = training_data(network)
    result = train(network, schedule, data, epochs=1, limit=samples, evaluate=False)
    assert result.checkpoint is not None
    return result.checkpoint.states


def golden_scores(
    network: Description, schedule: Schedule, states: list[State], samples: Any
) -> Any:
    """The golden model's logits [N, classes] of samples [N, elements], as integers."""
    return head_scores(network, schedule, states, samples)[0]


def head_scores(network: Description, schedule: Schedule, states: list[State], samples: Any) -> Any:
    """As `golden_scores`, then those of the heads; [1 + heads, N, classes]."""
    labels = np.zeros(len(samples), np.int64)
    kinds, indices = np.full(len(samples), Kind.INFER, np.uint8), np.arange(len(samples))
    own = [state.copy() for state in states]
    if offered(network):
        return FastChain(network, schedule, own).run_all(kinds, indices, samples, labels)[0]
    found = Chain(network, schedule, own).run(tokens_of(kinds, indices), samples, labels)
    heads = sorted(found[0].heads)
    every = [found, *([one.heads[head] for one in found] for head in heads)]
    return np.array([[one.scores for one in some] for some in every])


def first(samples: Any, image: tuple[int, int, int]) -> Any:
    """Samples [N, elements] as an exported graph takes them: channels first."""
    if image[:2] == (1, 1):
        return samples.astype(np.int64)
    return samples.reshape(-1, *image).transpose(0, 3, 1, 2).astype(np.int64)


def flat(images: Any) -> Any:
    """Images [N, channels, height, width] as samples [N, elements], channels last."""
    last = images.transpose(0, 2, 3, 1) if images.ndim == 4 else images
    return last.reshape(len(images), -1)


def expected(name: str, frac: int = 8) -> tuple[Any, Any]:
    """Samples of a file of PyTorch's as integers, and the scores that it gave."""
    with np.load(FILES / f"{name}.npz") as arrays:
        return (flat(arrays["x"]) * 2**frac).astype(np.int64), arrays["scores"]
