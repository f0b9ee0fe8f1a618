"""The page on models of one's own: every command on it works, in the order in which it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner
from safetensors.numpy import load_file

from counterflow.cli import main
from tests.graphs import Graph

PAGE = Path(__file__).parents[1] / "docs" / "your-model.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return [block for kind, block in BLOCK.findall(text) if kind == language]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks for the digits and for a table, and an autoencoder, in a folder of their own."""
    narrow = np.eye(64, 16, dtype=np.float32)
    autoencoder = Graph(64)
    autoencoder.then("MatMul", narrow)
    autoencoder.then("MatMul", narrow.T.copy())
    autoencoder.save(tmp_path / "autoencoder.onnx")
    graph = Graph(1, 8, 8)
    graph.convolution(2, 1, strides=[2, 2])
    graph.then("Relu")
    graph.then("Flatten")
    graph.dense(10, 18)
    flowers = Graph(2)
    flowers.dense(2, 2)
    flowers.save(tmp_path / "flowers.onnx")
    lines = [f"{n % 7},{n % 11},{'ab'[n % 7 > 3]}" for n in range(60)]
    (tmp_path / "flowers.csv").write_text("\n".join(["x,z,kind", *lines]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return graph.save(tmp_path / "model.onnx")


def test_the_commands_work(model: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 8
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "counterflow"
        if words[1] == "simulate":  # which builds: tests of simulations try it with weights
            continue
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}"
    assert Path("model.safetensors").exists()


def test_the_python_works(model: Path) -> None:
    (code,) = [block for block in blocks("python") if "from_onnx" in block]
    exec(code, {"Path": Path})
    assert sorted(path.name for path in Path("mine").iterdir()) == [
        "model.safetensors",
        "model.toml",
    ]


WANTED = {"0.weight": (2, 1, 3, 3), "0.bias": (2,), "3.weight": (10, 18), "3.bias": (10,)}
"""What the module that `model` would be of has, in this order."""


class Module:
    """What a renaming needs of a module of PyTorch's."""

    def __init__(self) -> None:
        self.values = {name: np.zeros(shape) for name, shape in WANTED.items()}

    def state_dict(self) -> dict[str, Any]:
        return self.values

    def load_state_dict(self, values: dict[str, Any]) -> None:
        assert list(values) == list(self.values)
        self.values = values


def renamed(module: Any, package: Any) -> None:
    """Run the block that gives a file's weights to `module`; `package` reads them."""
    (code,) = [block for block in blocks("python") if "load_state_dict" in block]
    exec(code, {"re": re, "safetensors": SimpleNamespace(torch=package), "module": module})


def exported() -> dict[str, Any]:
    """What the page's commands leave of `model` in model.safetensors: what they have imported."""
    done = CliRunner().invoke(main, ["import", "model.onnx", "-o", "."])
    assert done.exit_code == 0, done.output
    return dict(load_file("model.safetensors"))


def test_weights_are_renamed_for_a_module(model: Path) -> None:
    values, module = exported(), Module()
    renamed(module, safetensors.numpy)
    for unit, number in (("conv0", 0), ("dense2", 3)):
        for leaf in ("weight", "bias"):
            given = module.values[f"{number}.{leaf}"]
            assert given.shape == WANTED[f"{number}.{leaf}"]
            np.testing.assert_array_equal(given, values[f"{unit}.{leaf}"])


def test_a_module_of_torch_takes_renamed_weights(model: Path) -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("safetensors.torch")
    values, nn = exported(), torch.nn
    flat = nn.Flatten()
    module = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), flat, nn.Linear(18, 10))
    renamed(module, package)
    np.testing.assert_array_equal(module[0].weight.detach().numpy(), values["conv0.weight"])
    np.testing.assert_array_equal(module[3].bias.detach().numpy(), values["dense2.bias"])


def test_an_export_of_torch_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")  # the exporter of the page needs it
    monkeypatch.chdir(tmp_path)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    (code,) = [block for block in blocks("python") if "torch.onnx" in block]
    exec(code, {"torch": torch, "module": module})
    done = CliRunner().invoke(main, ["import", "model.onnx", "-o", "mine"])
    assert done.exit_code == 0, done.output
    assert Path("mine/model.toml").exists()
