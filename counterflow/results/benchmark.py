"""Speed of training one sample at a time: the golden model against PyTorch, on one thread each.

    python -m counterflow.results.benchmark [mnist] [--out docs/results]

Both train the same network with SGD and momentum on the same samples in the same order.  They take
turns, so that whatever else the machine does meets both; processor time and the median over the
rounds count.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from counterflow.design.data.sets import Dataset, load, synthetic
from counterflow.design.data.sources import DataError
from counterflow.design.network.description import Description
from counterflow.design.network.files import load as network_of
from counterflow.design.network.provenance import provenance
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.models import IntegerModel, parts
from counterflow.golden.training.start import initial_states
from counterflow.results import records
from counterflow.results.peers import network_of_modules

Round = Callable[[int], float]
"""Trains that many samples and returns the seconds of processor time that it took."""

ROUNDS = 7
SECONDS = 0.5  # that one round of one contender is meant to take


@dataclass
class Contender:
    """Something that trains, and the speeds measured, in samples a second."""

    name: str
    run: Round
    samples: int = 0
    speeds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.speeds)

    def prepare(self) -> None:
        """Warm up and find out how many samples make a round."""
        self.run(200)
        self.samples = max(200, int(1000 * SECONDS / self.run(1000)))

    def measure(self) -> None:
        self.speeds.append(self.samples / self.run(self.samples))


@dataclass(frozen=True)
class Way:
    """How PyTorch trains: SGD's option for its step, order in memory, and gradients' memory."""

    step: str = ""
    channels_last: bool = False
    keeps_gradients: bool = False

    @property
    def name(self) -> str:
        parts = ["PyTorch", self.step, "channels last" if self.channels_last else ""]
        return ", ".join(filter(None, [*parts, "kept gradients" if self.keeps_gradients else ""]))


@dataclass(frozen=True)
class Benchmark:
    """Speeds of the golden model and of each way to train with PyTorch."""

    network: str
    golden: Contender
    torch: tuple[Contender, ...]
    versions: str
    load: float = 0.0  # the mean number of programs that ran in the minute before

    @property
    def fastest(self) -> Contender:
        """The fastest of PyTorch's ways."""
        return max(self.torch, key=lambda contender: contender.median)

    @property
    def ratio(self) -> float:
        """Median over the rounds of golden's speed over that of PyTorch's fastest way."""
        pairs = zip(self.golden.speeds, self.fastest.speeds, strict=True)
        return statistics.median(one / other for one, other in pairs)

    def to_json(self) -> dict[str, object]:
        """What the page of results is made of; speeds in samples a second, one for each round."""
        return {
            "golden": self.golden.speeds,
            "torch": {one.name: one.speeds for one in self.torch},
            "fastest": self.fastest.name,
            "ratio": self.ratio,
            "versions": self.versions,
            "load": self.load,
        }


def benchmark(description: Description, rounds: int = ROUNDS) -> Benchmark:
    """Measure both; `ValueError` if PyTorch is missing."""
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            "PyTorch is missing: pip install 'counterflow[bench]' brings it."
        ) from error
    data = _samples(description)
    golden = Contender("golden, int", _golden(description, data))
    contenders = [Contender(way.name, _torch(description, data, way)) for way in ways(description)]
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # or velocities that decay to nothing slow it down
    try:
        for contender in (golden, *contenders):
            contender.prepare()
        for _ in range(rounds):
            for contender in (golden, *contenders):
                contender.measure()
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    versions = f"PyTorch {torch.__version__}, NumPy {np.__version__}, {_processor()}"
    return Benchmark(description.name, golden, tuple(contenders), versions, round(busy, 1))


def _samples(description: Description) -> Dataset:
    """The network's data set, or synthetic samples of its shape where that is not at hand."""
    try:
        return load(description.dataset)
    except DataError:
        return synthetic(description.features, description.classes, 10_000, seed=1)


def _golden(description: Description, data: Dataset) -> Round:
    schedule = plan(description).schedule
    states = initial_states(description, schedule, description.recipe.seed)
    model = IntegerModel(description, schedule, states)
    part, _ = parts(description, data)

    def run(count: int) -> float:
        kinds = np.full(count, Kind.TRAIN, np.uint8)
        indices = np.arange(count) % len(part)
        began = time.process_time()
        model.run(kinds, indices, part)
        return time.process_time() - began

    return run


def ways(description: Description) -> list[Way]:
    """The ways that PyTorch offers to train a network."""
    convolves = any(unit.geometry.image[:2] != (1, 1) for unit in description.weighted)
    layouts = (False, True) if convolves else (False,)
    steps = [Way(*one) for one in product(("", "foreach", "fused"), layouts)]
    return [*steps, Way("fused", keeps_gradients=True)]


def _torch(description: Description, data: Dataset, way: Way) -> Round:
    import torch

    torch.manual_seed(description.recipe.seed)
    network: Any = network_of_modules(description)
    height, width, channels = description.image
    images = data.train_x.reshape(-1, height, width, channels).astype(np.float32)
    samples: Any = torch.from_numpy(images / data.scaling.scale[0]).permute(0, 3, 1, 2).contiguous()
    if way.channels_last:
        network = network.to(memory_format=torch.channels_last)
        samples = samples.contiguous(memory_format=torch.channels_last)
    if (height, width) == (1, 1):
        samples = samples.flatten(1)
    targets: Any = torch.from_numpy(data.train_y.astype(np.int64))
    inputs, labels = samples.split(1), targets.split(1)
    rate, momentum = description.recipe.learning_rate, description.recipe.momentum
    options = {way.step: True} if way.step else {}
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum, **options)
    criterion: Any = torch.nn.functional.cross_entropy

    def run(count: int) -> float:
        began = time.process_time()
        for index in range(count):
            at = index % len(inputs)
            optimizer.zero_grad(set_to_none=not way.keeps_gradients)
            criterion(network(inputs[at]), labels[at]).backward()
            optimizer.step()
        return time.process_time() - began

    return run


def _keep(folder: Path, description: Description, result: Benchmark) -> None:
    command = [
        "python",
        "-m",
        "counterflow.results.benchmark",
        description.name,
        "--out",
        str(folder),
    ]
    about = provenance(description, seed=description.recipe.seed, command=command)
    records.keep(folder, records.record("speed", description, about, result.to_json()))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m counterflow.results.benchmark``; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m counterflow.results.benchmark")
    parser.add_argument(
        "network", nargs="?", default="mnist", help="name or TOML file (default: mnist)"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each contender (default: 7)")
    parser.add_argument("--out", type=Path, help="folder for JSON that the page of results reads")
    options = parser.parse_args(arguments)
    try:
        description = network_of(options.network)
        result = benchmark(description, max(1, options.rounds))
        if options.out is not None:
            _keep(options.out, description, result)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{result.network}: training samples a second at batch size one, one thread each")
    for contender in (result.golden, *result.torch):
        low, high = min(contender.speeds), max(contender.speeds)
        print(f"{contender.name:30} {contender.median:9,.0f}   ({low:,.0f} to {high:,.0f})")
    print(f"golden is {result.ratio:.1f} times as fast as {result.fastest.name}")
    print(f"median of {len(result.golden.speeds)} interleaved rounds; {result.versions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
