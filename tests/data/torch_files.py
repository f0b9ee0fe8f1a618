"""Writes the files beside it with PyTorch: run it where torch and onnxscript are installed.

Weights and inputs are sixteenths, so that what PyTorch computes in float32 is exact: a network with
formats wide enough gives the same numbers, bit for bit.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import nn

from counterflow.design.data.sets import load

FOLDER = Path(__file__).parent


class Cnn(nn.Module):
    """Functions in `forward`, as tutorials write it; the ReLU behind a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 4, 2)
        self.fc1 = nn.Linear(16, 6)
        self.fc2 = nn.Linear(6, 5)

    def forward(self, x: Any) -> Any:
        x = torch.nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(x)


class Block(nn.Module):
    """The residual block of He et al., with a projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.block1, self.block2 = Block(4, 4, 1), Block(4, 6, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        x = self.block2(self.block1(torch.relu(self.stem(x))))
        return self.head(torch.flatten(self.pool(x), 1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def filled(module: nn.Module, seed: int) -> nn.Module:
    """With sixteenths from -1 to 1; statistics of norms are not of them."""
    random = np.random.default_rng(seed)
    for name, value in module.state_dict().items():
        if value.dtype == torch.float32:
            drawn = random.integers(-16, 17, tuple(value.shape)) / 16
            drawn = np.abs(drawn) + 0.5 if name.endswith("running_var") else drawn
            value.copy_(torch.tensor(drawn))
    return module.eval()


def write(name: str, module: nn.Module, shape: tuple[int, ...], *, modern: bool) -> None:
    random = np.random.default_rng(7)
    x = torch.tensor(random.integers(0, 16, (8, *shape)) / 16, dtype=torch.float32)
    save_file(module.state_dict(), FOLDER / f"{name}.safetensors")
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["scores"]}
    content = io.BytesIO()
    axes = {"dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(module, (x[:1],), content, dynamo=False, **names, **axes)
    (FOLDER / f"{name}.onnx").write_bytes(content.getvalue())
    if modern:
        program = torch.onnx.export(module, (x,), dynamo=True, verbose=False, **names)
        model = program.model_proto
        for node in model.graph.node:  # where each was traced, which names source files
            del node.metadata_props[:]
        del model.metadata_props[:]
        onnx.save(model, FOLDER / f"{name}-dynamo.onnx")
    with torch.no_grad():
        np.savez_compressed(FOLDER / f"{name}.npz", x=x.numpy(), scores=module(x).numpy())


def trained(module: nn.Module) -> nn.Module:
    """Trained on the digits, whose pixels are 0..16."""
    digits = load("digits")
    x = torch.tensor(digits.train_x).float().reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(digits.train_y).long()
    torch.manual_seed(1)
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(60):
        for batch in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimiser.step()
    return module.eval()


def lenet() -> nn.Module:
    """LeNet-5's layers for images of 8x8 pixels."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 10)),
    )


def save_trained(name: str, module: nn.Module) -> None:
    torch.onnx.export(trained(module), (torch.zeros(2, 1, 8, 8),), FOLDER / name, dynamo=False)


if __name__ == "__main__":
    torch.manual_seed(1)
    save_trained("digits-lenet.onnx", lenet())
    perceptron = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    save_trained("digits-mlp.onnx", perceptron)
    write("mlp", filled(mlp(), 1), (6,), modern=False)
    write("cnn", filled(Cnn(), 2), (2, 6, 6), modern=True)
    write("resnet", filled(ResNet(), 3), (1, 8, 8), modern=True)
