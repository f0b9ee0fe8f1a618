"""What is exported in floats, and in C, computes what the golden model does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx.reference import ReferenceEvaluator

from counterflow.cli import main
from counterflow.design.data.training import training_data
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.exchange import weights
from counterflow.exchange.floats.network import UNITS, float_model
from counterflow.exchange.header import header
from counterflow.golden.training.models import parts
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.state import State
from tests.exchanged import (
    CNN,
    COARSE,
    FILES,
    MLP,
    described,
    drawn,
    expected,
    first,
    golden_scores,
    trained,
)
from tests.test_onnx_export import SMALL, samples_of

FINE = {
    "activation": "u24.16",
    "logit": "s28.20",
    "operand": "s18.16",
    "weight": "s20.18",
    "velocity": "s14.18",
}
PLAIN = ("tiny", "tiny-conv", "deep-digits-pairwise", "tanh and averages")
NORMED = ("tiny-res", "digits-resnet", "a gamma", "groups", "groups and a gamma")


def floats(network: Any, schedule: Any, states: Any, samples: Any) -> Any:
    """The scores of the exported graph."""
    model = onnx.load_from_string(float_model(network, schedule, states, {}))
    given = first(samples, network.image) * 2.0**-network.formats.input.frac
    return ReferenceEvaluator(model).run(None, {"samples": given.astype(np.float32)})[0]


@pytest.mark.parametrize(("name", "fields"), [("mlp", MLP), ("cnn", CNN)])
def test_floats_are_exact_where_floats_can_be(name: str, fields: dict[str, Any]) -> None:
    """In sixteenths: what PyTorch gave for the same weights, bit for bit."""
    network, schedule = described(fields)
    states = weights.load(FILES / f"{name}.safetensors", network, schedule, seed=1).states
    samples, scores = expected(name)
    np.testing.assert_array_equal(floats(network, schedule, states, samples), scores)


def fields_of(name: str) -> dict[str, Any]:
    if name in SMALL:
        return {"name": "small", **SMALL[name]}
    return load(name).model_dump(mode="json", exclude_none=True)


def difference(network: Description, schedule: Schedule, states: list[State]) -> float:
    """The largest of floats and golden scores, as a share of the spread of these."""
    samples = samples_of(network)[:40]
    golden = golden_scores(network, schedule, states, samples)
    golden = golden * 2.0**-network.formats.logit.frac
    given = floats(network, schedule, states, samples)
    return float(np.abs(given - golden).max() / np.abs(golden - golden.mean(axis=0)).max())


@pytest.mark.parametrize("name", PLAIN)
def test_floats_differ_by_roundings_alone(name: str) -> None:
    """In formats so fine that little is rounded; but tables of tanh have twelve bits at most."""
    tanh = "tanh" in name
    formats = {**FINE, **({"activation": "s12.11", "preactivation": "s12.9"} if tanh else {})}
    network, schedule = described(fields_of(name), formats=formats, **COARSE)
    states = initial_states(network, schedule, seed=1)
    assert difference(network, schedule, states) < (0.02 if tanh else 0.001)


def finer(layer: dict[str, Any]) -> dict[str, Any]:
    """With as many fraction bits of activations as there can be."""
    found = {**layer, "formats": dict(layer.get("formats", {}))}
    found["formats"].pop("activation", None)
    if layer.get("kind") == "norm":
        found["formats"]["activation"] = "s16.8"
    for chain in ("body", "shortcut"):
        if chain in layer:
            found[chain] = [finer(one) for one in layer[chain]]
    return found if found["formats"] else {k: v for k, v in found.items() if k != "formats"}


@pytest.mark.parametrize("name", NORMED)
def test_floats_of_norms_are_close(name: str) -> None:
    """A norm of hardware has up to 1.6 % of error in its root, and several stand in a row."""
    fields = fields_of(name)
    formats = {**fields["formats"], "activation": "s18.8", "logit": "s28.20", "operand": "s14.12"}
    layers = [finer(one) for one in fields["layers"]]
    network, schedule = described({**fields, "layers": layers, "formats": formats})
    assert difference(network, schedule, trained(network, schedule)) < 0.05


def test_the_float_graph_says_the_formats() -> None:
    network = load("tiny")
    schedule = plan(network).schedule
    content = float_model(network, schedule, drawn(schedule, seed=1), {"epoch": 3})
    texts = {one.key: one.value for one in onnx.load_from_string(content).metadata_props}
    assert texts["formats"] == '{"samples": "u8.8", "dense0": "u8.4", "dense1": "s12.6"}'
    assert texts["operands"] == '{"dense0": "s9.7", "dense1": "s9.7"}'
    assert texts["epoch"] == "3"


def test_every_kind_of_unit_has_its_export() -> None:
    from counterflow.design.units import KINDS

    assert set(UNITS) == set(KINDS) - {"split", "loss", "mse", "bce"}


C = """
#include <stdio.h>
#include "NET.h"

/* Shifts and rounds to the nearest, ties to the even one, then clips. */
static long narrow(long x, int drop, long low, long high) {
    long odd = (x >> drop) & 1;
    x = (x + (1L << (drop - 1)) - 1 + odd) >> drop;
    return x < low ? low : x > high ? high : x;
}

int main(void) {
    long x[6], h[5];
    while (scanf("%ld %ld %ld %ld %ld %ld", x, x + 1, x + 2, x + 3, x + 4, x + 5) == 6) {
        for (int o = 0; o < 5; o++) {
            long sum = NET_dense0_bias[o];
            for (int i = 0; i < 6; i++) sum += NET_dense0_weight[o][i] * x[i];
            if (sum < 0) sum = 0;
            h[o] = narrow(sum, UPPER_DENSE0_BIAS_FRAC - UPPER_DENSE0_OUTPUT_FRAC, 0, 255);
        }
        for (int o = 0; o < OUTPUTS; o++) {
            long sum = NET_dense1_bias[o];
            for (int i = 0; i < 5; i++) sum += NET_dense1_weight[o][i] * h[i];
            printf("%ld ", narrow(sum, UPPER_DENSE1_BIAS_FRAC - UPPER_DENSE1_OUTPUT_FRAC,
                                  -2048, 2047));
        }
        printf("\\n");
    }
    return 0;
}
"""


def compiled(folder: Path, text: str, network: Description) -> list[list[int]]:
    """The scores of a C program that includes a header, of the test half of a network's data."""
    name = network.name.replace("-", "_")
    program = C.replace("NET", name).replace("UPPER", name.upper())
    (folder / f"{name}.h").write_text(text)
    (folder / "main.c").write_text(program.replace("OUTPUTS", str(network.outputs)))
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    built = folder / "main"
    subprocess.run([compiler, "-Wall", "-Werror", "-o", built, folder / "main.c"], check=True)
    samples = samples_of(network)[:, : network.features].tolist()  # without their targets
    lines = "\n".join(" ".join(map(str, one)) for one in samples)
    done = subprocess.run([built], input=lines, text=True, capture_output=True, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "network",
    [load("tiny"), load("tiny-mse"), load("tiny").model_copy(update={"loss": "bce"})],
    ids=lambda one: f"{one.name}, {one.loss}",
)
def test_a_program_in_c_gives_the_golden_logits(network: Description, tmp_path: Path) -> None:
    """Bit for bit, whatever the loss behind them was; and not with another bias."""
    schedule = plan(network).schedule
    states = drawn(schedule, seed=4)
    _, test = parts(network, training_data(network))
    wanted = golden_scores(network, schedule, states, test.samples).tolist()
    assert compiled(tmp_path, header(network, schedule, states, {}), network) == wanted
    states[1].bias += 1 << 14
    assert compiled(tmp_path, header(network, schedule, states, {}), network) != wanted


def test_a_header_has_the_statistics_of_norms() -> None:
    network = load("digits-resnet")
    schedule = plan(network).schedule
    text = header(network, schedule, drawn(schedule, seed=1), {"epoch": 1})
    assert "static const int32_t digits_resnet_norm1b0_running_mean[8] = {" in text
    assert "#define DIGITS_RESNET_NORM1B0_RUNNING_VAR_FRAC 18" in text
    assert " * epoch: 1\n" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("to", ["onnx", "onnx-float", "header"])
def test_the_command_writes_it(to: str, tmp_path: Path) -> None:
    checkpoint, path = tmp_path / "c.npz", tmp_path / "out"
    run = CliRunner().invoke
    options = ["--quiet", "-o", str(tmp_path), "--epochs", "1", "--samples", "20"]
    assert run(main, ["train", "tiny", "--checkpoint", str(checkpoint), *options]).exit_code == 0
    done = run(main, ["export", "tiny", str(checkpoint), "--to", to, "-o", str(path)])
    assert done.exit_code == 0, done.output
    if to == "header":
        assert "tiny_dense0_weight[5][6]" in path.read_text()
    else:
        onnx.checker.check_model(onnx.load(path), full_check=True)
    wrong = run(main, ["export", "digits", str(checkpoint), "--to", to, "-o", str(path)])
    assert wrong.exit_code == 2
    assert "not of digits" in wrong.output
