"""Signals: images of height one, convolved and pooled along their length, alike in all columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterflow.design.data import sets
from counterflow.design.data.sources import DataError
from counterflow.design.data.training import training_data
from counterflow.design.data.waveforms import HALF, KINDS, LENGTH, WAVEFORMS, waveforms
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.parts.geometry import Geometry
from counterflow.design.schedule.planner import plan
from counterflow.golden.training.epochs import train
from tests import all_kinds
from tests.commands import run, succeed
from tests.fast_pair import Pair, convolution, mixed, pool, trained
from tests.test_hardware import assert_equal

SIGNED = {"activation": "none", "formats": {"activation": "s12.5"}}


def network(*, norm: bool = True) -> Description:
    """Everything that there is along a signal: strides, windows that overlap, a norm, a branch."""
    layers = [
        convolution(3, [1, 5], stride=[1, 2], padding=[0, 2]),
        pool("max", [1, 3], stride=[1, 2], padding=[0, 1]),
        convolution(4, [1, 3], padding=[0, 1], **SIGNED),
        *[{"kind": "norm"}] * norm,
        {
            "kind": "residual",
            "body": [convolution(4, [1, 3], padding=[0, 1], **SIGNED)],
            "formats": {"activation": "s9.4"},
        },
        pool("average", [1, 2]),
        {"outputs": 4, "activation": "none"},
    ]
    return Description.model_validate(
        {
            "name": "signal",
            "inputs": [1, 26, 2],
            "layers": layers,
            "recipe": {"learning_rate": 2.0**-6},
            "fold": {"multipliers": 40},
        }
    )


# What a convolution along a signal is


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 1), (3, 0)])
def test_windows_along_a_signal_make_the_correlation_of_each_channel(
    stride: int, padding: int
) -> None:
    random, kernel, channels = np.random.default_rng(1), 4, 3
    signal, weight = random.normal(size=(20, channels)), random.normal(size=(kernel, channels))
    geometry = Geometry((1, 20, channels), 1, (1, kernel), (1, stride), (0, padding))
    padded = np.pad(signal, ((padding, padding), (0, 0)))
    expected = sum(np.correlate(padded[:, c], weight[:, c]) for c in range(channels))
    found = geometry.gathered(signal.ravel()) @ weight.ravel()
    np.testing.assert_allclose(found, expected[::stride])  # type: ignore[index]


def test_the_fast_chain_is_the_golden_chain() -> None:
    pair = Pair(network())
    pair.run(trained(30))
    pair.run(mixed(30, seed=2))


@pytest.mark.slow
def test_every_cycle_equals_golden() -> None:
    assert_equal(all_kinds.run(plan(network(norm=False))), 20_000)


# What is refused, and with what remedy


def convolved(**layer: Any) -> dict[str, Any]:
    return {"kind": "convolution", "outputs": 2, **layer}


ALONG = "along a signal, an image of height one, write kernel"
HEIGHT = "[height, width, channels], of height 1 for a signal"


@pytest.mark.parametrize(
    ("inputs", "layer", "said"),
    [
        ([1, 9, 1], convolved(kernel=5), f"{ALONG} = [1, 5]"),
        ([1, 9, 1], {"kind": "max-pool", "kernel": 2}, f"{ALONG} = [1, 2]"),
        ([1, 9, 1], {"kind": "average-pool"}, f"{ALONG} = [1, 2]"),
        ([1, 9, 1], convolved(kernel=[1, 5], padding=2), "at most 0, as in padding = [0, 2]"),
        (
            [1, 9, 1],
            {"kind": "max-pool", "kernel": [1, 3], "padding": 1},
            "at most 0, as in padding = [0, 1]",
        ),
        ([1, 9, 1], convolved(kernel=[1, 10]), "a width of 10, but the padded image only 9; use a"),
        (9, convolved(kernel=[1, 3]), f"give inputs = {HEIGHT}"),
        ([9, 1], convolved(kernel=[1, 3]), HEIGHT),
    ],
)
def test_what_cannot_be_is_refused_with_what_a_signal_needs(
    inputs: Any, layer: dict[str, Any], said: str
) -> None:
    layers = [layer, {"outputs": 2, "activation": "none"}]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Description.model_validate({"name": "n", "inputs": inputs, "layers": layers})
    assert said in str(caught.value)


# Data


def test_signals_come_as_arrays_with_and_without_a_height() -> None:
    description, random = network(), np.random.default_rng(3)
    x, y = random.integers(0, 256, (30, 26, 2)), np.arange(30) % 4
    sets_ = [
        training_data(description, {"x": one, "y": y}) for one in (x, x[:, None], x.reshape(30, -1))
    ]
    assert all(np.array_equal(sets_[0].train_x, other.train_x) for other in sets_)
    with pytest.raises(
        ValueError, match=r"or bring channels to the end, as x\.transpose\(0, 2, 1\)"
    ):
        training_data(description, {"x": x.transpose(0, 2, 1), "y": y})


def test_a_signal_is_not_taken_for_an_image_of_as_many_elements() -> None:
    last = {"outputs": 2, "activation": "none"}
    image = Description.model_validate({"name": "n", "inputs": [13, 4, 1], "layers": [last]})
    with pytest.raises(ValueError, match=r"has inputs = \[13, 4, 1\], but"):
        training_data(image, {"x": np.zeros((9, 26, 2), np.uint8), "y": np.arange(9) % 2})


def test_waveforms_are_the_same_bits_everywhere() -> None:
    data = sets.load("waveforms")
    assert data.sha256 == WAVEFORMS.sha256  # `load` checks it
    assert data.train_x.shape == (6_000, LENGTH)
    assert data.test_x.shape == (1_000, LENGTH)
    counts = np.bincount(np.concatenate([data.train_y, data.test_y]))
    assert counts.tolist() == [1_400] * len(KINDS)
    # No entry of the sine's table is near the edge between two integers.
    exact = HALF * np.sin(2 * np.pi * (np.arange(256) + 0.5) / 256)
    assert np.abs(exact % 1 - 0.5).min() > 1e-3


def test_a_waveform_has_the_shape_of_its_kind() -> None:
    x, y = waveforms(500, seed=5)
    signals = x.astype(float)
    turns = np.abs(np.diff(signals, axis=1))
    largest = [np.median(np.sort(turns[y == kind], axis=1)[:, -2]) for kind in range(len(KINDS))]
    sine, square, triangle, sawtooth, _ = largest
    assert min(square, sawtooth) > 2 * max(sine, triangle)  # jumps
    later = []
    for kind in ("sine", "chirp"):
        found = signals[y == KINDS.index(kind)]
        above = found > found.mean(axis=1, keepdims=True)
        crossings = (above[:, 1:] != above[:, :-1]).sum(axis=0)
        later.append(crossings[LENGTH // 2 :].sum() / crossings[: LENGTH // 2].sum())
    assert later[1] > 1.2 > 1.1 > later[0] > 0.9


def test_waveforms_are_in_no_folder() -> None:
    with pytest.raises(DataError, match="waveforms is made by a formula of Counterflow's and not"):
        sets.load("waveforms", Path())
    with pytest.raises(DataError, match="waveforms is part of Counterflow: there is nothing to"):
        sets.fetch("waveforms")
    assert "waveforms" in succeed("data", "list").output
    assert "waveforms: right." in succeed("data", "check", "waveforms").output
    assert run("data", "fetch", "waveforms").exit_code == 2


def test_the_named_network_tells_waveforms_apart() -> None:
    description = load("waveforms")
    result = train(description, plan(description).schedule, training_data(description))
    accuracy = result.epochs[-1].test_accuracy
    assert accuracy is not None
    assert accuracy > 0.96
