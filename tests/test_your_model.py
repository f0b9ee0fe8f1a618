"""The page on models of one's own: every command on it works, in the order in which it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

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
