"""The LiteX SoC in docs/examples is built by LiteX itself, and trains as golden does."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from counterflow.sim import simulator
from tests import headed
from tests.bench_litex import CSRS, FLIPPED, MEMORY, REGISTERS

pytest.importorskip("litex", reason="LiteX is not installed: pip install litex migen")

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "litex_soc.py"
TOP = "trainer_soc"
pytestmark = pytest.mark.xdist_group("litex")  # they share a build


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("litex_soc", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_host(example: ModuleType, folder: Path) -> str:
    """Verilog of the SoC with a master of its bus on pins; its CSRs are left in `folder`."""
    from litex.build.generic_platform import Pins
    from litex.build.lattice import LatticeECP5Platform
    from litex.soc.integration.builder import Builder
    from litex.soc.interconnect import axi

    design, verilog = example.generated("tiny", folder)
    host = axi.AXILiteInterface(data_width=32, address_width=32)
    pins = [(name, number, *rest) for name, number, *rest in example.PINS]
    platform: Any = LatticeECP5Platform(
        "LFE5U-85F-6BG381C", [*pins, *_placed(host.get_ios("host"), Pins)], toolchain="trellis"
    )
    soc = example.TrainingSoC(platform, design, verilog)
    soc.bus.add_master("host", host)
    soc.comb += host.connect_to_pads(platform.request("host"), mode="slave")
    builder = Builder(
        soc, output_dir=str(folder), compile_software=False, csr_json=str(folder / "csr.json")
    )
    builder.build(build_name=TOP, run=False)
    text = (folder / "gateware" / f"{TOP}.v").read_text()
    # What memories start with is not there at run time: an identifier and zeros.  Without dates in
    # comments the same design is built once.
    text = re.sub(r"\$readmemh\([^)]*\);", ";", text)
    return re.sub(r"//.*", "", text) + verilog.read_text()


def _placed(ports: list[Any], pins: Any) -> list[Any]:
    """Ports of a bus with made-up places, which LiteX asks for."""
    (name, number, *signals) = ports[0]
    for signal in signals:
        width = signal.constraints[0].identifiers
        signal.constraints = [pins(" ".join(f"X{i}" for i in range(len(width))))]
    return [(name, number, *signals)]


@pytest.fixture(scope="module")
def soc(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of the simulation, and that of what LiteX made."""
    made = tmp_path_factory.mktemp("litex")
    return simulator.build(with_host(example, made), TOP, quick=True), made


def trained(soc: tuple[Path, Path], example: ModuleType, log: Path, **extra: str) -> None:
    """Run the bench; SimulationError where it fails."""
    extra[CSRS] = str(soc[1] / "csr.json")
    extra[REGISTERS], extra[MEMORY] = str(example.COUNTERFLOW), str(example.MAIN_RAM)
    simulator.run(soc[0], TOP, "tests.bench_litex", log=log, **extra)


@pytest.mark.slow
def test_a_soc_of_litex_trains_from_its_memory(
    soc: tuple[Path, Path], example: ModuleType, tmp_path: Path
) -> None:
    trained(soc, example, tmp_path / "run.log")


@pytest.mark.slow
def test_a_wrong_bit_of_a_sample_is_found(
    soc: tuple[Path, Path], example: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(simulator.SimulationError):
        trained(soc, example, tmp_path / "run.log", **{FLIPPED: "20"})
    assert "AssertionError" in (tmp_path / "run.log").read_text()


def test_the_example_builds_by_itself(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["litex_soc.py", "--out", str(tmp_path)])
    example.main()
    made = (tmp_path / "gateware" / "platform.ys").read_text()
    assert "tiny_axi.v" in made
    assert "tiny_axi tiny_axi" in (tmp_path / "gateware" / "platform.v").read_text()


def test_the_example_refuses_a_network_with_heads(example: ModuleType, tmp_path: Path) -> None:
    net = tmp_path / "headed.toml"
    net.write_text(headed.TOML)
    with pytest.raises(ValueError, match="headed has heads, but a word of memory has no room"):
        example.generated(str(net), tmp_path)
