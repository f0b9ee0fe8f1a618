"""Small networks with each loss and each source of targets, and tokens for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.network.description import Description
from counterflow.design.parts.tokens import Token
from counterflow.design.schedule.planner import Plan
from counterflow.sim.bench.job import Job
from counterflow.sim.exercise import mixed_tokens
from counterflow.sim.simulate import record_depth

INPUTS = 6


def _network(hidden: int, outputs: int, **fields: Any) -> dict[str, Any]:
    layers = ({"outputs": hidden}, {"outputs": outputs, "activation": "none"})
    return {"name": "net", "inputs": INPUTS, "layers": layers, **fields}


NETWORKS: dict[str, dict[str, Any]] = {
    "mse of the input": _network(3, INPUTS, loss="mse", targets="input"),
    "mse of data": _network(5, 2, loss="mse"),
    "mse of a label": _network(5, 3, loss="mse", targets="label"),
    "mse of a label, one output": _network(5, 1, loss="mse", targets="label"),
    "bce of a label": _network(5, 3, loss="bce"),
    "bce of a label, one output": _network(5, 1, loss="bce"),
    "bce of the input": _network(3, INPUTS, loss="bce", targets="input"),
    "bce of data": _network(5, 2, loss="bce", targets="data", formats={"input": "u8.7"}),
}


def described(name: str) -> Description:
    """The network of that name."""
    return Description.model_validate(NETWORKS[name])


def samples_of(description: Description, count: int, seed: int = 1) -> tuple[Any, Any]:
    """Random samples with their targets, [count, elements], and labels [count]."""
    random, number = np.random.default_rng(seed), description.formats.input
    samples = random.integers(number.min, number.max, (count, description.elements), endpoint=True)
    return samples, random.integers(0, description.classes, count).astype(np.uint8)


def job_of(planned: Plan, count: int = 24, **fields: Any) -> Job:
    """All kinds of tokens over random samples."""
    samples, labels = samples_of(planned.description, count)
    tokens: tuple[Token, ...] = mixed_tokens(planned, count)
    given = {"tokens": tokens, "samples": samples, "labels": labels, "seed": 1}
    return Job(description=planned.description, depth=record_depth(planned), **{**given, **fields})
