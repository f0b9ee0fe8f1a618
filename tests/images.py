"""Small chains over images that together have every odd shape, and jobs to run on them."""

from __future__ import annotations

from functools import cache
from typing import Any

from counterflow.design.data.sets import Dataset, synthetic
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.exercise import mixed_tokens
from counterflow.sim.harsh import harsh
from counterflow.sim.shapes import network
from counterflow.sim.simulate import bench_verilog, quantised, record_depth
from tests import simulated

Layer = dict[str, Any]
CLASSES, SAMPLES = 3, 30


def convolution(outputs: int, kernel: tuple[int, int], **more: tuple[int, int]) -> Layer:
    pairs = {name: list(pair) for name, pair in {"kernel": kernel, **more}.items()}
    return {"kind": "convolution", "outputs": outputs, **pairs}


def maximum(*kernel: int, **more: Any) -> Layer:
    return {"kind": "max-pool", "kernel": list(kernel), **more}


def average(*kernel: int, **more: Any) -> Layer:
    return {"kind": "average-pool", "kernel": list(kernel), **more}


def folded(*lanes: tuple[int, int, bool]) -> dict[str, Any]:
    return {"lanes": [{"outputs": o, "inputs": i, "shared": s} for o, i, s in lanes]}


RECIPE = {"learning_rate": 2.0**-5, "momentum": 0.75}
NETWORKS: dict[str, tuple[tuple[int, int, int], list[Layer], dict[str, Any]]] = {
    "padded, pooled, several banks": (
        (6, 4, 2),
        [
            convolution(3, (3, 3), padding=(1, 1)),
            maximum(2, 2),
            convolution(4, (2, 2), padding=(1, 1)),
        ],
        {"fold": folded((2, 4, False), (1, 6, False), (1, 8, False))},
    ),
    "rows of tiles that wait for their outputs, products of LUTs": (
        (5, 6, 1),
        [
            convolution(5, (2, 3), padding=(1, 0)),
            maximum(2, 2),
            convolution(3, (2, 2), padding=(0, 1)),
        ],
        {
            "fold": {
                "lanes": [
                    {"outputs": 5, "inputs": 3, "in_luts": 4},  # five outputs, two cycles of taps
                    {"outputs": 2, "inputs": 5, "in_luts": 10},
                    {"outputs": 1, "inputs": 2, "shared": True, "in_luts": 1},
                ]
            },
            "recipe": {**RECIPE, "mitigation": "sc"},
        },
    ),
    "strided, edges uncovered, shared lanes": (
        (8, 7, 1),
        [
            convolution(3, (1, 1)),
            convolution(4, (3, 2), stride=(2, 2)),
            maximum(3, 1),
        ],
        {"fold": folded((1, 1, True), (3, 4, True), (1, 5, True))},
    ),
    "kernels as large as the image, three samples an update": (
        (2, 3, 2),
        [
            convolution(3, (4, 5), padding=(1, 1)),
            convolution(2, (3, 1), padding=(1, 0)),
            convolution(5, (1, 1)),
        ],
        {
            "fold": folded((2, 3, False), (1, 2, False), (2, 1, False), (1, 4, False)),
            "recipe": {**RECIPE, "mitigation": "none", "accumulate": 3},
        },
    ),
    "pool after pool, averages, three samples an update": (
        (4, 8, 1),
        [
            convolution(4, (1, 1)),
            average(2, 2),
            maximum(1, 2),
            average(2, 1),
            convolution(3, (1, 2)),
        ],
        {
            "fold": folded((1, 1, False), (2, 3, False), (1, 2, True)),
            "recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 3},
        },
    ),
    "windows that overlap, leave the image and are all of it": (
        (6, 5, 1),
        [
            convolution(3, (1, 2)),
            maximum(3, 3, stride=1, padding=1),
            average(3, 2, stride=[2, 1], padding=[1, 0]),
            convolution(4, (1, 1)),
            {"kind": "average-pool", "kernel": "all"},
        ],
        {
            "fold": folded((1, 2, False), (1, 3, False), (1, 2, True)),
            "recipe": {**RECIPE, "mitigation": "none"},
        },
    ),
    "unequal strides, convolution after convolution": (
        (7, 6, 3),
        [
            convolution(2, (3, 2), stride=(2, 1)),
            convolution(2, (3, 3), padding=(2, 2)),
            convolution(3, (3, 4), stride=(1, 3), padding=(0, 1)),
        ],
        {
            "fold": folded((1, 6, False), (2, 5, False), (1, 8, False), (1, 3, False)),
            "recipe": {**RECIPE, "mitigation": "sc"},
        },
    ),
    "pixels left out between windows, on both axes": (
        (7, 8, 2),
        [
            convolution(3, (1, 2), stride=(2, 3)),
            convolution(4, (1, 1), stride=(3, 2)),
        ],
        {"fold": folded((1, 4, False), (2, 2, False), (1, 2, False))},
    ),
    "images that are done with before they have come, lanes beside the kernel": (
        (5, 6, 1),
        [
            convolution(2, (1, 1)),
            convolution(2, (2, 3), stride=(4, 4)),
        ],
        {
            "fold": folded((1, 1, True), (2, 4, False), (1, 1, False)),
            "recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 3},
        },
    ),
    "one row, wide formats, nearest": (
        (1, 9, 2),
        [
            convolution(4, (1, 3), stride=(1, 2), padding=(0, 1)),
            {**convolution(3, (3, 3), padding=(1, 1)), "activation": "none"},
            convolution(2, (1, 1)),
        ],
        {
            "fold": folded((1, 4, True), (1, 8, False), (1, 3, False), (1, 2, False)),
            "formats": {
                "input": "s16.11",
                "activation": "s16.11",
                "operand": "s16.14",
                "weight": "s18.16",
                "velocity": "s14.16",
                "error": "s16.13",
                "logit": "s16.10",
            },
            "rounding": {"update": "nearest-even", "activation": "truncate", "error": "truncate"},
            "recipe": {**RECIPE, "mitigation": "none"},
        },
    ),
}


@cache
def design(name: str) -> Plan:
    image, layers, fields = NETWORKS[name]
    return plan(network(image, layers, **{"recipe": RECIPE, **fields}))


def data_of(planned: Plan, seed: int = 2) -> Dataset:
    description = planned.description
    return synthetic(description.elements, CLASSES, SAMPLES, seed)


@cache
def written(planned: Plan) -> str:
    """Verilog of a bench with the worst of memories: to write it takes longer than most runs."""
    return harsh(bench_verilog(planned))


def run(
    planned: Plan,
    bench: str = "counterflow.sim.bench.cycles",
    verilog: str | None = None,
    **changes: Any,
) -> Found:
    """One bench on the design, or on `verilog`, with mixed tokens unless others are given."""
    data = data_of(planned)
    fields = {
        "description": planned.description,
        "tokens": mixed_tokens(planned, SAMPLES),
        "samples": quantised(planned.description, data),
        "labels": data.train_y,
        "seed": 1,
        "depth": record_depth(planned),
    }
    job = Job(**{**fields, **changes})
    return simulated.run(verilog or written(planned), job, bench)
