"""The norm in exact integers, against plain Python; the table of its roots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterflow.design.parts.tokens import Kind
from counterflow.design.units.normal import ROOTS
from counterflow.golden.units import norm as norm_module
from counterflow.golden.units import normal
from counterflow.golden.units.norm import Norm
from counterflow.golden.units.update import Settings
from tests.norm_streams import (
    FORMATS,
    STREAMS,
    Passed,
    around,
    golden,
    kinds_of,
    noise,
    passed,
    stage_of,
)
from tests.plain_norm import Plain

COUNT = 40


def stream(name: str, seed: int = 0) -> tuple[Norm, list[Kind], Any, Any]:
    """A unit and tokens of all kinds: noise of whole ranges, then images that are nearly still."""
    numbers, fields = STREAMS[name]
    unit, random = golden(stage_of(numbers, **fields)), np.random.default_rng(seed)
    unit.settings = Settings(
        unit.stage.numbers.parameters.predicts, unit.stage.numbers.parameters.compensates
    )
    size = unit.numbers.elements
    xs = noise(random, unit.numbers.x, COUNT, size)
    xs[COUNT // 2 :] //= 16
    dys = noise(random, unit.numbers.dy, COUNT, size)
    dys[::2] //= 32
    return unit, kinds_of(COUNT, seed), xs, dys


def check(name: str, early: int = 0) -> Norm:
    """Every y, every dx, every state and the count of saturations.

    Gradients come `early` slots before the one whose update they belong to.
    """
    unit, kinds, xs, dys = stream(name)
    numbers, fields = STREAMS[name]
    delay = unit.stage.delay
    plain = Plain(numbers, around(numbers, **fields), delay)
    found = passed(unit, kinds, xs, dys, delay - early)
    compare(plain, unit, found, kinds, xs, dys)
    if not early:  # else the last gradients have been sent back, too
        assert unit.saturations == plain.clipped
    return unit


def compare(plain: Plain, unit: Norm, found: Passed, kinds: list[Kind], xs: Any, dys: Any) -> None:
    shape, returned = (-1, plain.channels), unit.stage.unit.outputs[0]
    fine = {
        "beta": plain.weight.frac,
        "beta_velocity": plain.weight.frac,
        "gamma": plain.weight.frac,
        "gamma_velocity": plain.weight.frac,
        "mean": plain.x.frac + 8,
        "variance": 2 * plain.x.frac + 8,
        "scale_control": 16,
        "shift_control": 18,
    }
    plains = ("beta", "u", "gamma", "v", "mean", "variance", "c", "shift")
    names = dict(zip(fine, plains, strict=True))
    for j in range(COUNT):
        token, dy = j - plain.delay, [[0] * plain.channels] * plain.pixels
        if token >= 0:
            masked = dys[token]
            if returned.rectified:
                masked = np.where(found.ys[token] > 0, masked, 0)
            dy = masked.reshape(shape).tolist()
        ys, dx = plain.slot(j, xs[j].reshape(shape).tolist(), dy, kinds)
        expected = np.array([[int(one * 2**plain.y.frac) for one in ch] for ch in ys]).T
        if returned.rectified and not returned.returned:
            expected = np.maximum(expected, 0)
        assert found.ys[j].reshape(shape).tolist() == expected.tolist()
        if dx is not None:
            scale = 2**plain.dx.frac if plain.wanted else 1
            wanted = np.array([[int(one * scale) for one in ch] for ch in dx]).T
            assert found.dxs[token].reshape(shape).tolist() == wanted.tolist()
        for name, values in found.states[j].arrays.items():
            exact = [now[names[name]] * 2 ** fine[name] for now in plain.channel]
            assert values.tolist() == exact, (j, name)
        assert found.states[j].generator == plain.generator


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_all_kinds_of_tokens_is_what_plain_python_makes_of_it(name: str) -> None:
    check(name)


@pytest.mark.parametrize("early", [1, 2, 3])
def test_gradients_that_come_early_wait_and_see_the_same(early: int) -> None:
    """They leave at most two slots before the update that they belong to."""
    unit = check("three samples an update", early)
    assert unit.stage.delay == 3
    assert unit.returns(token=COUNT + 1 - 3)
    assert not unit.returns(token=COUNT + 2 - 3)


def test_the_streams_have_all_that_can_be() -> None:
    stages = [stage_of(numbers, **fields) for numbers, fields in STREAMS.values()]
    outputs = [stage.unit.outputs[0] for stage in stages]
    assert {edge.returned for edge in outputs} == {edge.rectified for edge in outputs} == {0, 1}
    assert {stage.numbers.dx is None for stage in stages} == {False, True}
    assert {stage.numbers.x.signed for stage in stages} == {False, True}
    assert {stage.unit.gamma for stage in stages} == {False, True}
    assert any(stage.numbers.lift for stage in stages)
    assert any(not stage.numbers.lift for stage in stages)
    assert min(stage.numbers.scale_share.shift for stage in stages) <= 0
    assert all(check(name).saturations > 0 for name in ("coarse", "fine"))


def replaced(name: str, change: Any) -> Any:
    """A fault: a method of the unit, changed."""
    return (norm_module.Norm, name, change(getattr(norm_module.Norm, name)))


def of_now(update: Any) -> Any:
    def changed(self: Norm, moves: bool) -> Any:
        found = update(self, moves)
        self._views[self.updates - 2] = self._views[self.updates - 1]
        return found

    return changed


def always(update: Any) -> Any:
    return lambda self, moves: update(self, moves or bool(self._backward))


def unseen(forward: Any) -> Any:
    return lambda self, x, training: forward(self, x, True)


FAULTS = {
    "a slot too new": replaced("update", of_now),
    "every token moves beta": replaced("update", always),
    "every token moves statistics": replaced("forward", unseen),
    "rounded down": (norm_module, "half_up", lambda value, drop: value >> drop),
    "half the way": (norm_module, "DECAY", 8),
    "no image's share": (norm_module, "shared", lambda total, share: total),
    "roots off by one": (normal, "ROOTS", tuple(one - 1 for one in ROOTS)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*fault)
    with pytest.raises(AssertionError):
        check("three samples an update")
    with pytest.raises(AssertionError):
        check("fine")


# ---- roots -------------------------------------------------------------------------------------


def test_roots_are_within_the_bound_that_they_are_said_to_have() -> None:
    """Every octave and step, at both of its ends: between them the root falls."""
    unit = golden(stage_of(FORMATS["fine"]))
    lowest, highest = unit.numbers.halvings
    worst = 0.0
    for h in range(lowest, highest + 1):
        first = [2 ** (2 * h - 4) * (16 + i) for i in range(48)]
        ends = [one - 1 for one in first[1:]] + [4 ** (h + 1) - 1]
        variances = np.array(first + ends) - 256  # the unit adds a squared last place
        found = seen(unit, variances)
        exact = 1 / np.sqrt(np.array(first + ends) / 256)
        worst = max(worst, float(np.abs(found / exact - 1).max()))
    assert 0.0150 < worst < 0.016


def test_every_small_variance_has_the_root_of_its_step() -> None:
    """All of 0 to 2^16: the octaves of 1 to 257 squared last places, without leaving any out."""
    unit, variances = golden(stage_of(FORMATS["fine"])), np.arange(2**16)
    exact = 1 / np.sqrt((variances + 256) / 256)
    assert np.abs(seen(unit, variances) / exact - 1).max() < 0.016
    assert len(ROOTS) == 48
    assert ROOTS[0] < 2**8
    assert sorted(ROOTS, reverse=True) == list(ROOTS)
    assert ROOTS[-1] >= 2**7


def seen(unit: Norm, variances: Any) -> Any:
    """One over the deviation that tokens see, in last places of x."""
    unit.state.variance = variances
    channels = len(variances)
    unit.state.beta = unit.state.beta_velocity = np.zeros(channels, np.int64)
    root = unit.view().root
    return root.root / 2**8 / 2.0 ** (root.halvings - 4)
