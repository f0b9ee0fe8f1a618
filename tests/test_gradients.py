"""Gradients: those of finite differences in the float reference, the same numbers in golden.

The forward passes are held to sums written out in loops, so that a gradient cannot be right for a
wrong function.  Where central differences are taken no ReLU and no maximum is near its kink, and
what is left of their error is rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.parts.geometry import Geometry
from counterflow.design.parts.tokens import BUBBLE, Kind, Token
from counterflow.design.schedule.planner import plan
from counterflow.design.units.windows import Windows
from counterflow.golden.reference.chain import Chain, reference_chain
from counterflow.golden.reference.rules import Floats, Rule
from counterflow.golden.reference.units.convolution import Convolution
from counterflow.golden.reference.units.pool import Pool
from counterflow.golden.reference.units.tanh import Tanh
from counterflow.golden.training.start import initial_chain

STEP = 1e-5  # of the differences
MARGIN = 1e-3  # from every kink, more than any step moves anything
CLOSE = 1e-6  # relative to the largest gradient of the array

SHAPES = [
    Geometry((5, 4, 3), 5, (3, 3), padding=(1, 1)),
    Geometry((6, 5, 2), 7, (3, 2), (2, 1), (1, 0)),
    Geometry((7, 4, 1), 2, (2, 3), (2, 2), (0, 1)),
    Geometry((6, 7, 2), 3, (3, 3), (2, 3)),  # the last row and column are never covered
    Geometry((4, 3, 5), 7),
    Geometry((3, 5, 2), 4, (3, 5)),  # one place, as in a dense layer
    Geometry((2, 3, 2), 3, (4, 5), padding=(1, 1)),
    Geometry((3, 4, 2), 2, (3, 3), (2, 2), (2, 2)),  # windows that hold one pixel
    Geometry.dense(7, 5),
    Geometry((5, 7, 2), 3, (1, 1), (2, 3)),  # pixels between the places are never covered
    Geometry((8, 6, 1), 2, (2, 2), (3, 4), (0, 1)),
]

POOLS = [
    Windows.of((4, 6, 5), (2, 2), (2, 2)),
    Windows.of((3, 4, 7), (1, 2), (1, 2)),
    Windows.of((4, 3, 2), (2, 1), (2, 1)),
    Windows.of((2, 2, 1), (2, 2), (2, 2)),
    Windows.of((3, 5, 2), (3, 5), (3, 5)),  # the whole image
    Windows.of((5, 7, 2), (3, 3), (2, 2)),
    Windows.of((4, 5, 2), (3, 3), (1, 1), (1, 1)),
    Windows.of((5, 4, 1), (2, 2), (1, 1), (1, 0)),
    Windows.of((7, 6, 2), (2, 1), (3, 2)),  # pixels in no window
    Windows.of((5, 5, 1), (3, 2), (2, 3), (2, 1)),
]


def conv(outputs: int, kernel: Any, stride: Any = 1, padding: Any = 0) -> dict[str, Any]:
    return {
        "kind": "convolution",
        "outputs": outputs,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
    }


def pool(kind: str, kernel: Any, **more: Any) -> dict[str, Any]:
    return {"kind": f"{kind}-pool", "kernel": kernel, **more}


def hyperbolic(layer: dict[str, Any]) -> dict[str, Any]:
    """`layer` with a tanh, which has its own formats."""
    return {**layer, "activation": "tanh", "formats": {"activation": "s8.7"}}


NETWORKS = {
    "stride, maximum": (
        [7, 5, 1],
        [conv(5, 3, 1, 1), conv(2, [2, 3], [1, 2]), pool("max", [2, 2])],
    ),
    "average": ([5, 6, 2], [conv(7, [2, 1]), pool("average", [2, 2]), conv(5, [1, 2])]),
    "maximum of an average": (
        [8, 4, 1],
        [conv(3, 3, padding=1), pool("average", [2, 1]), pool("max", [1, 2]), conv(2, 2)],
    ),
    "average of a maximum": (
        [4, 8, 1],
        [conv(3, [1, 3], padding=[0, 1]), pool("max", [1, 2]), pool("average", [2, 2]), conv(5, 1)],
    ),
    "uncovered": ([6, 7, 1], [conv(5, 1), conv(3, 3, [2, 3]), pool("max", [2, 1])]),
    "pixels left out": ([7, 8, 2], [conv(5, [1, 2], [2, 3]), conv(4, 1, [3, 2])]),
    "kernel of the padded image": ([3, 2, 2], [conv(5, 1), conv(7, [5, 4], 1, 1)]),
    "hidden dense": ([4, 4, 1], [conv(2, 3), pool("max", 2), {"outputs": 7}]),
    "tanh": (
        [5, 6, 2],
        [hyperbolic(conv(4, [2, 3])), pool("average", [2, 2]), hyperbolic(conv(3, 1))],
    ),
    "maximum of a tanh": (
        [4, 4, 1],
        [hyperbolic(conv(3, 3, padding=1)), pool("max", 2), hyperbolic({"outputs": 5})],
    ),
    "maximum of overlapping windows": (
        [6, 7, 1],
        [conv(3, 3, padding=1), pool("max", 3, stride=2, padding=1), conv(4, 2)],
    ),
    "average of overlapping windows, and of all": (
        [5, 6, 1],
        [
            conv(3, 2),
            pool("average", 2, stride=1, padding=1),
            conv(4, [4, 5]),
            pool("average", "all"),
        ],
    ),
    "pixels in no window": ([7, 6, 1], [conv(3, [1, 2]), pool("max", 2, stride=3), conv(2, 1)]),
    "linear": ([3, 4, 1], [{**conv(5, 2), "activation": "none"}, pool("max", [2, 1]), conv(2, 1)]),
}


def described(name: str, **fields: Any) -> Description:
    """A network of the table, with a dense layer of three classes behind it."""
    inputs, layers = NETWORKS[name]
    return Description.model_validate(
        {
            "name": "net",
            "inputs": inputs,
            "layers": [*layers, {"outputs": 3, "activation": "none"}],
            "formats": {"activation": "s16.8"},
            "recipe": {"mitigation": "none", "momentum": 0.0, "learning_rate": 1.0},
            "rounding": {"update": "nearest-even"},
            **fields,
        }
    )


# ---- written out in loops ----------------------------------------------------------------------


def sums(geometry: Geometry, weight: Floats, bias: Floats, x: Floats) -> Floats:
    """What a layer computes before its ReLU, as a textbook has it; [height, width, outputs]."""
    image = x.reshape(geometry.image)
    kernel = weight.reshape(geometry.outputs, *geometry.kernel, geometry.channels)
    found = np.zeros(geometry.result)
    for place in np.ndindex(geometry.result):
        down, across, output = place
        found[place] = bias[output]
        for i, j in np.ndindex(geometry.kernel):
            row = down * geometry.stride[0] + i - geometry.padding[0]
            column = across * geometry.stride[1] + j - geometry.padding[1]
            if 0 <= row < geometry.image[0] and 0 <= column < geometry.image[1]:
                for channel in range(geometry.channels):
                    found[place] += kernel[output, i, j, channel] * image[row, column, channel]
    return found


def pooled(windows: Windows, x: Floats, beyond: float = np.nan) -> Floats:
    """The elements of each window, `beyond` outside; [height, width, channels, elements]."""
    down, across, (height, width, channels) = windows.down, windows.across, windows.result
    image = x.reshape(down.size, across.size, channels)
    kernel = down.kernel, across.kernel
    found = np.full((height, width, channels, kernel[0] * kernel[1]), beyond)
    for above, before, channel in np.ndindex(height, width, channels):
        for number, (i, j) in enumerate(np.ndindex(kernel)):
            row = above * down.stride + i - down.padding
            column = before * across.stride + j - across.padding
            if 0 <= row < down.size and 0 <= column < across.size:
                found[above, before, channel, number] = image[row, column, channel]
    return found


def result(windows: Floats, *, average: bool) -> Floats:
    """The mean of each window, with zeros beyond the image, or its largest element in it."""
    return np.nan_to_num(windows).mean(axis=-1) if average else np.nanmax(windows, axis=-1)


def smooth(windows: Floats) -> bool:
    """Whether the largest of each window stays the largest, or all are zero behind a ReLU."""
    inside = np.where(np.isnan(windows), -np.inf, windows)
    two = np.sort(inside, axis=-1)[..., -2:]
    zero = (two[..., 0] <= 0) & (two[..., 1] == 0)
    return bool(((two[..., 1] - two[..., 0] > MARGIN) | zero).all())


def forward(chain: Chain, x: Floats) -> tuple[Floats, bool]:
    """Scores of `x`, and whether no kink is near."""
    far = True
    for unit in chain.parts:
        if isinstance(unit, Convolution):
            y = sums(unit.geometry, unit.weight.value, unit.bias.value, x)
            if unit.relu:
                far = far and bool((np.abs(y) > MARGIN).all())
                y = np.maximum(y, 0)
        elif isinstance(unit, Tanh):
            y = np.tanh(x)
        else:
            windows = pooled(unit.windows, x)
            far = far and (unit.average or smooth(windows))
            y = result(windows, average=unit.average)
        x = y.ravel()
    return x, far


# ---- finite differences ------------------------------------------------------------------------


def differences(function: Callable[[], float], array: Floats) -> Floats:
    """The slope of `function` in each element of `array`, which it reads."""
    slopes = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept, around = array[place], []
        for moved in (kept + STEP, kept - STEP):
            array[place] = moved
            around.append(function())
        array[place] = kept
        slopes[place] = (around[0] - around[1]) / (2 * STEP)
    return slopes


def assert_close(found: Floats, slopes: Floats) -> None:
    assert found.shape == slopes.shape
    assert np.abs(slopes).max() > 0
    assert np.abs(found - slopes).max() < CLOSE * np.abs(slopes).max()


def layer(geometry: Geometry, *, masks: bool, relu: bool = True, seed: int = 0) -> Convolution:
    random = np.random.default_rng([seed, geometry.taps, geometry.outputs])
    weight = random.normal(size=(geometry.outputs, geometry.taps))
    bias = random.normal(size=geometry.outputs)
    rule = Rule(rate=1.0, momentum=0.0)
    return Convolution(geometry, weight, bias, relu=relu, masks=masks, delay=0, rule=rule)


def check_layer(geometry: Geometry, masks: bool) -> None:
    """dx, dW and db of a weighted sum of what a linear layer puts out, against differences.

    With `masks`, a ReLU stands below: the input is that of the ReLU.
    """
    unit = layer(geometry, masks=masks, relu=False)
    random = np.random.default_rng(geometry.taps)
    x = random.choice([-1, 1], geometry.inputs) * random.uniform(0.1, 2, geometry.inputs)
    dy = random.normal(size=geometry.elements)
    slots = itertools.count()

    def output() -> float:
        below = np.maximum(x, 0) if masks else x
        return float(dy @ unit.forward(next(slots), below, Kind.TRAIN))

    expected = [differences(output, one) for one in (x, unit.weight.value, unit.bias.value)]
    output()
    token = next(slots) - 1
    unit.receive(token, dy)
    assert_close(unit.backward(token), expected[0])
    unit.finish(token, Kind.TRAIN)
    assert_close(unit.weight.step, expected[1])
    assert_close(unit.bias.step, expected[2])


@pytest.mark.parametrize("geometry", SHAPES, ids=str)
@pytest.mark.parametrize("masks", [False, True])
def test_gradients_of_a_layer_are_those_of_finite_differences(
    geometry: Geometry, masks: bool
) -> None:
    check_layer(geometry, masks)


@pytest.mark.parametrize("geometry", SHAPES, ids=str)
def test_a_layer_is_the_sum_over_its_kernel_at_every_place(geometry: Geometry) -> None:
    unit = layer(geometry, masks=False)
    x = np.random.default_rng(1).normal(size=geometry.inputs)
    expected = np.maximum(sums(geometry, unit.weight.value, unit.bias.value, x), 0)
    np.testing.assert_allclose(unit.forward(0, x, Kind.INFER), expected.ravel(), rtol=1e-12)
    assert (expected > 0).any()


def test_the_uncovered_part_of_an_image_has_no_gradient() -> None:
    geometry = SHAPES[3]
    unit = layer(geometry, masks=False)
    unit.forward(0, np.ones(geometry.inputs), Kind.TRAIN)
    unit.receive(0, np.ones(geometry.elements))
    dx = unit.backward(0).reshape(geometry.image)
    assert not dx[5].any()
    assert not dx[:, 6].any()
    assert dx[:5, :6].all()


def test_pixels_between_windows_have_no_gradient() -> None:
    geometry = SHAPES[-2]
    unit = layer(geometry, masks=False)
    unit.forward(0, np.ones(geometry.inputs), Kind.TRAIN)
    unit.receive(0, np.ones(geometry.elements))
    dx = unit.backward(0).reshape(geometry.image)
    assert dx[::2, ::3].all()
    assert np.count_nonzero(dx) == dx[::2, ::3].size


@pytest.mark.parametrize("shape", POOLS, ids=str)
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("masks", [False, True])
def test_gradients_of_pooling_are_those_of_finite_differences(
    shape: Windows, average: bool, masks: bool
) -> None:
    """Behind a maximum the next layer masks; here, that is whatever its output lets through."""
    unit = Pool(shape, average=average, masks=masks)
    size = shape.down.size * shape.across.size * shape.channels
    random = np.random.default_rng(size)
    x = random.permutation(np.linspace(-1, 1, 2 * size)[::2])  # no two are near each other, or zero
    dy = random.normal(size=math.prod(shape.result))
    slots = itertools.count()

    def output() -> float:
        return float(dy @ unit.forward(next(slots), np.maximum(x, 0) if masks else x))

    windows = pooled(shape, np.maximum(x, 0) if masks else x)
    assert smooth(windows)
    assert np.abs(x).min() > MARGIN
    expected = result(windows, average=average)
    np.testing.assert_allclose(
        unit.forward(next(slots), np.maximum(x, 0) if masks else x), expected.ravel(), rtol=1e-15
    )
    slopes = differences(output, x)
    output()
    token = next(slots) - 1
    if masks and not average:
        dy = dy * (expected.ravel() > 0)
    assert_close(unit.backward(token, dy), slopes)


@pytest.mark.parametrize(
    ("window", "place"),
    [([3, 3, 3, 3], 0), ([1, 3, 3, 3], 1), ([1, 2, 3, 3], 2), ([3, 1, 1, 3], 0), ([0, 0, 0, 1], 3)],
)
def test_the_gradient_of_a_maximum_goes_to_the_first_of_equals(
    window: list[int], place: int
) -> None:
    unit = Pool(Windows.of((2, 2, 1), (2, 2), (2, 2)), average=False, masks=False)
    unit.forward(0, np.array(window, float))
    assert unit.backward(0, np.array([5.0])).tolist() == [5.0 * (i == place) for i in range(4)]


# ---- whole networks ----------------------------------------------------------------------------


def random_network(name: str) -> tuple[Chain, Floats]:
    """A network of the table and a sample, the first at random that has no kink near."""
    description = described(name)
    for seed in range(100):
        chain = reference_chain(description, plan(description).schedule, seed)
        random = np.random.default_rng(seed)
        for unit in chain.units:
            unit.bias.value = random.uniform(0, 0.5, len(unit.bias.value))
        sample = random.random((1, description.elements))
        scores, far = forward(chain, sample[0])
        if far and np.abs(scores).max() > MARGIN:
            return chain, sample
    raise AssertionError(f"{name} is near a kink with every seed")


def check_network(name: str) -> None:
    """One update from rest at rate 1 without momentum leaves u = gradient of the loss in nats."""
    chain, sample = random_network(name)
    labels = np.array([1])
    parameters = [one for unit in chain.units for one in (unit.weight, unit.bias)]

    def loss() -> float:
        return chain.run([Token(Kind.INFER, 0)], sample, labels)[0].loss

    expected = [differences(loss, one.value) for one in parameters]
    chain.run([Token(Kind.TRAIN, 0)] + [BUBBLE] * chain.delay, sample, labels)
    for one, slopes in zip(parameters, expected, strict=True):
        assert_close(one.step, slopes)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_a_network_are_those_of_finite_differences(name: str) -> None:
    check_network(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_its_layers_one_after_the_other(name: str) -> None:
    chain, sample = random_network(name)
    found = chain.run([Token(Kind.INFER, 0)], sample, np.array([0]))[0].scores
    np.testing.assert_allclose(found, forward(chain, sample[0])[0], rtol=1e-12)


def unsummed(self: Geometry, windows: Floats) -> Floats:
    """`Geometry.scattered` that forgets all windows but the last at a pixel."""
    image = np.zeros(self.inputs + 1, windows.dtype)
    image[self.covered] = windows
    return image[:-1]


def test_a_gradient_that_forgets_overlapping_windows_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Geometry, "scattered", unsummed)
    check_layer(Geometry((2, 2, 2), 3, (2, 2), (2, 2)), masks=False)  # windows side by side
    with pytest.raises(AssertionError):
        check_layer(SHAPES[0], masks=False)
    with pytest.raises(AssertionError):
        check_network("stride, maximum")


def test_a_gradient_without_the_mask_of_a_relu_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Convolution.backward

    def unmasked(self: Convolution, token: int) -> Floats:
        self.masks = False
        return kept(self, token)

    monkeypatch.setattr(Convolution, "backward", unmasked)
    with pytest.raises(AssertionError):
        check_layer(SHAPES[0], masks=True)
    with pytest.raises(AssertionError):
        check_network("hidden dense")


# ---- golden's integers -------------------------------------------------------------------------

OPERAND = 3  # fraction bits of the weights: a layer's sums have so many more than its input
PIXEL = 2  # of the samples
ERROR = 1  # of the gradients at the scores
WHOLE = 9  # bits above the fraction, enough for whatever is summed here


def exact(name: str) -> Description:
    """A network of the table whose formats drop no bit of one update from rest.

    Activations gain fraction bits on their way up, and gradients the same on their way down: those
    of the weights, and two for an average.
    """
    inputs, layers = NETWORKS[name]
    layers = [{**one} for one in [*layers, {"outputs": 3, "activation": "none"}]]
    weighted = [index for index, one in enumerate(layers) if "outputs" in one]
    gains = []
    for index, until in itertools.pairwise([*weighted, len(layers)]):
        averages = sum(one.get("kind") == "average-pool" for one in layers[index:until])
        gains.append(OPERAND + 2 * averages)
    for number, index in enumerate(weighted):
        up = PIXEL + sum(gains[: number + 1])
        down = ERROR + sum(gains[number:-1])
        layers[index]["formats"] = {"error": f"s{down + WHOLE}.{down}"}
        if index < len(layers) - 1:
            layers[index]["formats"]["activation"] = f"s{up + WHOLE}.{up}"
    scores = PIXEL + sum(gains)
    return Description.model_validate(
        {
            "name": "net",
            "inputs": inputs,
            "layers": layers,
            "formats": {
                "input": f"u{PIXEL + 1}.{PIXEL}",
                "logit": f"s{scores + WHOLE}.{scores}",
                "operand": f"s6.{OPERAND}",
                "weight": "s28.18",
                "velocity": "s28.18",
            },
            "recipe": {
                "mitigation": "none",
                "momentum": 0.0,
                "learning_rate": 1.0,
                "accumulate": 3,
            },
            "rounding": {"update": "nearest-even"},
        }
    )


@pytest.mark.parametrize("name", [one for one in NETWORKS if "tanh" not in one])
def test_where_no_bit_is_dropped_goldens_gradients_are_those_of_the_reference(name: str) -> None:
    """Scores, and what one update by the summed gradients of three samples leaves, are equal.

    The gradient at the scores is a number of few bits for each class and label, since a softmax
    never is.
    """
    description = exact(name)
    schedule = plan(description).schedule
    random = np.random.default_rng(7)
    errors = random.integers(-2, 3, (3, 3))
    golden = initial_chain(description, schedule)
    golden.losses["loss"] = lambda scores, label: (errors[label].copy(), 0)  # type: ignore[assignment]
    reference = reference_chain(
        description, schedule, loss=lambda scores, label: (errors[label] * 2.0**-ERROR, 0.0)
    )
    for ours, theirs in zip(golden.units, reference.units, strict=True):
        state = ours.state
        fine = ours.stage.arithmetic.weight.frac
        state.weight = random.integers(-4, 5, state.weight.shape) << (fine - OPERAND)
        state.bias = random.integers(-4, 5, state.bias.shape) << (fine - OPERAND)
        theirs.weight.value = state.weight * 2.0**-fine
        theirs.bias.value = state.bias * 2.0**-fine
    samples = random.integers(0, 2**PIXEL + 1, (4, description.elements))
    labels = np.array([2, 0, 1, 0])
    kinds = [Kind.ACCUMULATE, Kind.INFER, Kind.ACCUMULATE, Kind.TRAIN]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)] + [BUBBLE] * schedule.delay
    found = golden.run(tokens, samples, labels)
    expected = reference.run(tokens, samples * 2.0**-PIXEL, labels)
    fine = description.formats.logit.frac
    for one, other in zip(found, expected, strict=True):
        assert (one.scores * 2.0**-fine).tolist() == other.scores.tolist()
    for ours, theirs in zip(golden.units, reference.units, strict=True):
        state, fine = ours.state, ours.stage.arithmetic.weight.frac
        np.testing.assert_array_equal(state.velocity * 2.0**-fine, theirs.weight.step)
        np.testing.assert_array_equal(state.bias_velocity * 2.0**-fine, theirs.bias.step)
        np.testing.assert_array_equal(state.weight * 2.0**-fine, theirs.weight.value)
        np.testing.assert_array_equal(state.bias * 2.0**-fine, theirs.bias.value)
        assert theirs.weight.step.any()
        assert ours.saturations == 0
