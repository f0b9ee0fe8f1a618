"""Fine-tuning: layers frozen by the command line, what is kept, what it saves."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from counterflow.cli import main
from counterflow.commands.frozen import with_frozen
from counterflow.commands.options import Limits, with_fold
from counterflow.design.network.files import load, load_file
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import Plan, plan
from counterflow.exchange.weights import load as load_weights
from counterflow.golden.chain import Chain
from counterflow.golden.training.checkpoint import load as load_checkpoint

PAGE = Path(__file__).parents[1] / "docs" / "fine-tuning.md"
SMALL = """
name = "small"
dataset = "digits"
inputs = [8, 8, 1]
layers = [
    { kind = "convolution", outputs = 3, kernel = 3 },
    { kind = "max-pool", kernel = 2 },
    { outputs = 8 },
    { outputs = 8 },
    { outputs = CLASSES, activation = "none" },
]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL.replace("CLASSES", "10"), encoding="utf-8")
    Path("spare.toml").write_text(SMALL.replace("CLASSES", "14"), encoding="utf-8")
    return tmp_path


def said(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == code, done.output
    return done


def trained(network: str, *words: str) -> dict[str, Any]:
    few = ("--samples", "200", "--epochs", "1", "--json", "--quiet")
    found: dict[str, Any] = json.loads(said("train", network, *few, *words).stdout)
    return found


# ---- which layers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "frozen"),
    [
        ("2", ["conv0", "dense2"]),
        ("conv0", ["conv0"]),
        ("dense3, conv0", ["conv0", "dense3"]),
        ("dense4", ["dense4"]),
    ],
)
def test_layers_are_frozen_by_number_or_by_name(layers: str, frozen: list[str]) -> None:
    found = with_frozen(load("small.toml"), layers)
    assert [unit.name for unit in found.weighted if unit.frozen] == frozen


def test_a_layer_in_a_residual_layer_is_frozen_by_its_name() -> None:
    plain = load("tiny-res")
    inner = next(unit for unit in plain.weighted if "body" in unit.where)
    found = with_frozen(plain, inner.name)
    assert [unit.where for unit in found.weighted if unit.frozen] == [inner.where]


@pytest.mark.parametrize(
    ("count", "norms"), [("1", ["norm1b0"]), ("3", ["norm1b0", "norm1b2", "norm2b0"])]
)
def test_a_number_of_layers_takes_along_the_norms_behind_them(count: str, norms: list[str]) -> None:
    """Of those behind layers that learn none can be frozen."""
    found = with_frozen(load("tiny-res"), count)
    assert len([unit for unit in found.weighted if unit.frozen]) == int(count)
    every = [one.unit for one in plan(found).schedule.norms]
    assert [unit.name for unit in every if unit.frozen] == norms
    assert with_frozen(load("tiny-res"), "conv0, norm1b0") == with_frozen(load("tiny-res"), "1")


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("0", "--frozen is 0, but of 4 layers with weights 1 to 3 can be frozen"),
        ("4", "--frozen is 4, but of 4 layers with weights 1 to 3 can be frozen"),
        (
            "conv0,conv7",
            "--frozen names 'conv7', but the layers that can be frozen are conv0, dense2",
        ),
        ("", "--frozen names ''"),
        ("conv0,dense2,dense3,dense4", "all layers with weights are frozen"),
    ],
)
def test_other_layers_are_refused_in_a_sentence(layers: str, sentence: str) -> None:
    done = said("train", "small.toml", "--frozen", layers, code=2)
    assert sentence in done.output
    assert not Path("build").exists()


# ---- what a training keeps ---------------------------------------------------------------------


def test_layers_that_are_frozen_with_random_weights_are_named_before_the_training() -> None:
    pretrained()
    few = ("train", "small.toml", "--epochs", "1", "--samples", "20", "-o", "out")
    words = "Frozen with random weights: conv0, dense2, as neither --weights nor --resume brings"
    assert words in said(*few, "--frozen", "2").output
    assert words not in said(*few).output
    assert words not in said(*few, "--frozen", "2", "--weights", "small.safetensors").output


def pretrained() -> None:
    trained("small.toml", "--checkpoint", "small.npz")
    said("export", "small.toml", "small.npz", "--to", "safetensors", "-o", "small.safetensors")


def test_frozen_layers_keep_the_weights_of_the_file_and_the_result_says_so() -> None:
    pretrained()
    found = trained(
        *("small.toml", "--weights", "small.safetensors", "--frozen", "2"),
        *("--checkpoint", "tuned.npz", "-o", "tuned"),
    )
    assert found["weights"]["saturated"] == {}
    description = load_file(Path("tuned/train.toml"))
    assert description == with_frozen(load("small.toml"), "2")
    schedule = plan(description).schedule
    before = load_weights(Path("small.safetensors"), description, schedule, 1).states
    after = load_checkpoint(Path("tuned.npz"), description, schedule).states
    for stage, old, new in zip(schedule.stages, before, after, strict=True):
        kept = all(np.array_equal(old.arrays[one], new.arrays[one]) for one in ("weight", "bias"))
        assert kept is stage.unit.frozen
        assert ("velocity" in new.arrays) is not stage.unit.frozen
    trained("tuned/train.toml", "--resume", "tuned.npz", "--epochs", "2")


def test_what_a_frozen_layer_has_goes_out_as_exact_as_the_rest() -> None:
    reference = pytest.importorskip("onnx.reference")
    Path("mixed.toml").write_text(
        SMALL.replace("CLASSES", "10").replace("kernel = 3", "kernel = 3, frozen = true"),
        encoding="utf-8",
    )
    trained("mixed.toml", "--checkpoint", "mixed.npz")
    said("export", "mixed.toml", "mixed.npz", "--to", "onnx", "-o", "mixed.onnx")
    description = load("mixed.toml")
    schedule = plan(description).schedule
    states = load_checkpoint(Path("mixed.npz"), description, schedule).states
    samples = np.random.default_rng(1).integers(0, 256, (8, 64))
    tokens = [Token(Kind.INFER, index) for index in range(8)]
    said_here = Chain(description, schedule, states).run(tokens, samples, np.zeros(8, np.int64))
    images = {"samples": samples.reshape(8, 1, 8, 8)}
    (logits,) = reference.ReferenceEvaluator("mixed.onnx").run(["logits"], images)
    np.testing.assert_array_equal(logits, [one.scores for one in said_here])


def test_a_training_does_not_complain_that_frozen_weights_have_not_moved() -> None:
    few = ("--samples", "200", "--epochs", "1", "-o", "said")
    assert "has moved" not in said("train", "small.toml", "--frozen", "2", *few).output


def test_outputs_beyond_the_classes_of_the_data_are_spare() -> None:
    """A description may have room for classes that come later."""
    found = json.loads(said("train", "spare.toml", "--epochs", "4", "--json", "--quiet").stdout)
    assert 0.6 < found["accuracy"] <= 1


# ---- what it saves -----------------------------------------------------------------------------


def both() -> tuple[Plan, Plan]:
    """lenet5, and its fine-tuning at the same interval."""
    whole = plan(load("lenet5"))
    tuned = plan(with_fold(load("lenet5-finetune"), Limits(interval=whole.schedule.interval)))
    assert tuned.schedule.interval == whole.schedule.interval == 8000
    return whole, tuned


def test_lenet5_with_three_frozen_layers_takes_less_than_half() -> None:
    whole, tuned = both()
    assert (whole.schedule.multipliers, tuned.schedule.multipliers) == (143, 55)
    assert (whole.memory_bits, tuned.memory_bits) == (2_268_934, 821_322)
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert "| multipliers | 143 | 55 | 38 % |" in page
    assert "| memory, bits | 2,268,934 | 821,322 | 36 % |" in page
    assert [round(55 / 143, 2), round(821_322 / 2_268_934, 2)] == [0.38, 0.36]


@pytest.mark.parametrize(
    ("frozen", "multipliers", "memory", "of_norms"), [("3", 83, 305_368, 8), ("5", 49, 70_472, 4)]
)
def test_a_residual_network_with_a_frozen_trunk_takes_what_the_page_says(
    frozen: str, multipliers: int, memory: int, of_norms: int
) -> None:
    whole = plan(load("digits-resnet"))
    fewer = with_frozen(load("digits-resnet"), frozen)
    part = plan(with_fold(fewer, Limits(interval=whole.schedule.interval)))
    assert part.schedule.interval == whole.schedule.interval == 3072
    assert (whole.schedule.multipliers, whole.memory_bits) == (150, 528_368)
    assert (part.schedule.multipliers, part.memory_bits) == (multipliers, memory)
    assert sum(one.unit.multipliers for one in part.schedule.norms) == of_norms
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"{multipliers}, {multipliers / 150:.0%}".replace("%", " %") in page
    assert f"{memory:,}, {memory / 528_368:.0%}".replace("%", " %") in page


def test_a_frozen_trunk_keeps_statistics_and_all_of_the_file() -> None:
    net, few = "digits-resnet", ("--samples", "100", "--epochs", "1", "--quiet")
    said("train", net, *few, "--checkpoint", "before.npz")
    said("export", net, "before.npz", "--to", "safetensors", "-o", "before.safetensors")
    tuned = ("--weights", "before.safetensors", "--frozen", "5", "--checkpoint", "after.npz")
    said("train", net, *few, *tuned, "-o", "tuned")
    description = load_file(Path("tuned/train.toml"))
    schedule = plan(description).schedule
    before = load_weights(Path("before.safetensors"), description, schedule, 1).states
    after = load_checkpoint(Path("after.npz"), description, schedule).states
    for stage, old, new in zip(schedule.stages, before, after, strict=True):
        assert old.arrays.keys() == new.arrays.keys()
        kept = all(np.array_equal(old.arrays[one], new.arrays[one]) for one in old.arrays)
        assert kept is stage.unit.frozen, stage.name
    variances = [state.arrays["variance"] for state in after if "variance" in state.arrays]
    assert all(len(np.unique(one)) > 1 for one in variances)
    said("train", "tuned/train.toml", *few[:2], "--resume", "after.npz", "--epochs", "2")


def test_the_networks_differ_in_their_data_and_in_what_is_frozen() -> None:
    tuned, whole = load("lenet5-finetune"), with_frozen(load("lenet5"), "3")
    assert tuned.layers == whole.layers
    assert (tuned.recipe, tuned.formats) == (whole.recipe, whole.formats)


# ---- the page ----------------------------------------------------------------------------------


def test_the_commands_of_the_page_work() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for line in blocks[0].splitlines() if line]
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words.pop(0) == "counterflow"
        said(*words, *(["--samples", "100", "--epochs", "1"] if words[0] == "train" else []))
