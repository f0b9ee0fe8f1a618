"""The benchmark: it measures what it says, or says in a sentence why it cannot."""

from __future__ import annotations

import sys

import pytest

from counterflow.design.network.files import load
from counterflow.results import benchmark as module
from counterflow.results.benchmark import Benchmark, Contender, benchmark, main
from counterflow.results.peers import network_of_modules


def contender(name: str, *speeds: float) -> Contender:
    return Contender(name, lambda count: count / 10, 100, list(speeds))


def test_the_fastest_way_of_pytorch_counts() -> None:
    slow, fast = contender("slow", 10, 10, 30), contender("fast", 20, 25, 20)
    result = Benchmark("net", contender("golden", 100, 200, 120), (slow, fast), "")
    assert result.fastest is fast
    assert result.ratio == 6  # of 5, 8 and 6


def test_a_round_is_timed_after_a_warm_up() -> None:
    counts: list[int] = []

    def run(count: int) -> float:
        counts.append(count)
        return count / 5000

    one = Contender("one", run)
    one.prepare()
    one.measure()
    assert counts == [200, 1000, 2500]
    assert one.median == pytest.approx(5000)


def test_without_pytorch_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["tiny"]) == 1
    assert capsys.readouterr().err == (
        "error: PyTorch is missing: pip install 'counterflow[bench]' brings it.\n"
    )


def test_an_unknown_network_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no network 'nothing'")


def test_a_network_that_branches_has_a_peer_of_its_shape() -> None:
    torch = pytest.importorskip("torch")
    description = load("resnet8-w2")
    network = network_of_modules(description)
    scores = network(torch.zeros(2, 3, 32, 32))
    assert scores.shape == (2, description.classes)
    kinds = [type(module).__name__ for module in network.modules()]
    norms = [unit for unit in description.graph.units if unit.kind == "norm"]
    assert kinds.count("BatchNorm2d") == len(norms) == 6
    assert kinds.count("Conv2d") + kinds.count("Linear") == len(description.weighted)


def test_it_measures_both(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(module, "SECONDS", 0.01)
    result = benchmark(load("tiny"), rounds=2)
    assert result.network == "tiny"
    assert [len(one.speeds) for one in (result.golden, *result.torch)] == [2] * 5
    assert result.ratio > 0


@pytest.mark.parametrize("name", ["lenet5", "mnist"])
def test_pytorch_trains_the_same_network(name: str) -> None:
    torch = pytest.importorskip("torch")
    description = load(name)
    network = torch.nn.Sequential(*module._layers(description))
    assert sum(one.numel() for one in network.parameters()) == description.parameters
    height, width, channels = description.image
    shape = (1, channels, height, width) if height > 1 else (1, channels)
    assert network(torch.zeros(shape)).shape == (1, description.classes)


def test_every_way_of_pytorch_has_a_name() -> None:
    names = [way.name for way in module.ways(load("lenet5"))]
    assert len(set(names)) == len(names) == 7
    assert "PyTorch, fused, channels last" in names
    assert not any("channels" in way.name for way in module.ways(load("mnist")))
