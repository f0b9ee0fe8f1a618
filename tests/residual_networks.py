"""Residual networks of many convolutions, as TOML: those of 32x32 and of 224x224 images."""

from __future__ import annotations

from counterflow.design.network.description import Description
from counterflow.design.network.files import parse

RECIPE = '[recipe]\nmitigation = "none"\nlearning_rate = 0.0009765625\n'
SIGNED = 'formats = { activation = "s9.4" }'


def conv(outputs: int, kernel: int, stride: int = 1, *, end: bool = False) -> str:
    """A convolution that keeps the size of the image, or divides it by `stride`."""
    padding = f", padding = {kernel // 2}" if kernel > 1 else ""
    strides = f", stride = {stride}" if stride > 1 else ""
    tail = f', activation = "none", {SIGNED}' if end else ""
    shape = f"outputs = {outputs}, kernel = {kernel}{padding}{strides}"
    return f'{{ kind = "convolution", {shape}{tail} }}'


def residual(body: list[str], shortcut: list[str]) -> str:
    return (
        f'{{ kind = "residual", body = [{", ".join(body)}], shortcut = [{", ".join(shortcut)}], '
        f"{SIGNED} }}"
    )


def small_images(blocks: int, widths: tuple[int, ...] = (16, 32, 64), size: int = 32) -> str:
    """2 x len(widths) x `blocks` + 1 convolutions, and projections where images get smaller."""
    layers = [conv(widths[0], 3)]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            body = [conv(width, 3, stride), conv(width, 3, end=True)]
            layers.append(residual(body, [conv(width, 3, 2, end=True)] if stride > 1 else []))
    last = size >> len(widths) - 1
    layers.append(f'{{ kind = "average-pool", kernel = {last} }}')
    return text(f"residual{2 * len(widths) * blocks + 2}", size, layers, 10)


def large_images() -> str:
    """Bottlenecks of 64 to 2048 channels, 3, 4, 6 and 3 of them, for images of 224x224 pixels."""
    layers = [conv(64, 7, 2), '{ kind = "max-pool", kernel = 2 }']
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            body = [conv(width, 1), conv(width, 3, stride), conv(4 * width, 1, end=True)]
            project = [conv(4 * width, 3 if stride > 1 else 1, stride, end=True)]
            layers.append(residual(body, [] if block else project))
    layers.append('{ kind = "max-pool", kernel = 7 }')
    return text("bottlenecks50", 224, layers, 256)


def text(name: str, size: int, layers: list[str], classes: int) -> str:
    layers = [*layers, f'{{ outputs = {classes}, activation = "none" }}']
    listed = ",\n    ".join(layers)
    return (
        f'name = "{name}"\ndataset = "synthetic"\ninputs = [{size}, {size}, 3]\n'
        f"layers = [\n    {listed},\n]\n{RECIPE}"
    )


def network(toml: str) -> Description:
    return parse(toml)
