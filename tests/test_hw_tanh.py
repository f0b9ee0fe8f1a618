"""The activation unit equals its golden twin and leaves at the times foretold, whatever stalls."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal

from counterflow.design.parts.formats import Rounding
from counterflow.design.units.tanh import Tanh as Description
from counterflow.golden.units.tanh import Tanh as Golden
from counterflow.hw.parts.modules import convert
from counterflow.hw.pooling.rings import Stash
from counterflow.hw.units.tanh import Tanh
from counterflow.sim.bench.stalls import pattern
from tests.test_hw_pool import STALLS, Tokens, at, run, stalled
from tests.test_tanh import FORMATS, tanh


def tokens_of(unit: Description, count: int, seed: int = 1) -> Tokens:
    """Tokens of all kinds; the least and the largest numbers are among them."""
    random, golden = np.random.default_rng(seed), Golden(unit)

    def noise(number: Any) -> Any:
        wide = random.integers(number.min, number.max + 1, (count, unit.elements))
        ends = random.choice([number.min, number.max, 0, -1], wide.shape)
        return np.where(random.random(wide.shape) < 0.3, ends, wide)

    x, dy = noise(unit.x), noise(unit.dy)
    y = np.array([golden.forward(token) for token in x])
    dx = np.array([golden.backward(token) for token in dy])
    return Tokens(x, y, dy, dx, random.integers(0, 3, count).tolist())


def check(
    unit: Description, count: int = 6, stalls: str = "none", kind: type[Tanh] = Tanh, lag: int = 0
) -> Any:
    """What leaves is what golden makes of it, element by element, with the kinds that came."""
    tokens = tokens_of(unit, count)
    seen = run(kind(unit=unit), tokens, stalled(stalls), lag)  # type: ignore[arg-type]
    found = np.array([taken.payload.data for taken in seen.y]).reshape(tokens.y.shape)
    np.testing.assert_array_equal(found, tokens.y)
    kinds = [taken.payload.kind for taken in seen.y]
    assert kinds == np.repeat(tokens.kinds, unit.elements).tolist()
    found = np.array([taken.payload for taken in seen.dx]).reshape(tokens.dx.shape)
    np.testing.assert_array_equal(found, tokens.dx)
    return seen


@pytest.mark.parametrize(("x", "y"), FORMATS)
def test_tanh_and_its_gradient_equal_golden(x: str, y: str) -> None:
    check(tanh(x, y), count=20)
    check(replace(tanh(x, y), round_error=Rounding.TRUNCATE))


def test_every_x_has_its_y() -> None:
    unit = tanh("s8.4", elements=256, stash_words=256)
    codes = np.arange(unit.x.min, unit.x.max + 1)[None]
    tokens = tokens_of(unit, 1)
    golden = Golden(unit)
    tokens = tokens._replace(x=codes, y=golden.forward(codes[0])[None])
    tokens = tokens._replace(dx=golden.backward(tokens.dy[0])[None])
    seen = run(Tanh(unit=unit), tokens, stalled("none"))  # type: ignore[arg-type]
    assert [taken.payload.data for taken in seen.y] == tokens.y[0].tolist()
    assert [taken.payload for taken in seen.dx] == tokens.dx[0].tolist()


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("words", [1, 7, 12])
def test_nothing_is_lost_doubled_or_reordered_whatever_stalls(words: int, stalls: str) -> None:
    check(tanh(stash_words=words), 5, stalls)


def test_as_many_elements_as_promised_go_ahead_of_their_gradients_and_then_x_waits() -> None:
    seen = check(tanh(stash_words=15), 8, "late gradients", lag=15)
    assert sum(cycle < seen.dy[0] for cycle in seen.x) == 15


@pytest.mark.parametrize("gaps", ["none", "random", "burst"])
def test_every_element_leaves_in_the_cycle_foretold_and_a_word_less_stalls(gaps: str) -> None:
    source, count = pattern(gaps, 7), 5
    arrivals = np.flatnonzero([next(source) for _ in range(100)])[:6]
    interval = 40
    x = interval * np.arange(count)[:, None] + arrivals - arrivals[0]
    dy = x + 70
    unit = tanh().sized(x[0], dy[0], interval)
    for words in (unit.stash_words, unit.stash_words - 1):
        unit = replace(unit, stash_words=words)
        gates = (at(x), pattern("none", 0), at(dy), pattern("none", 0))
        seen = run(Tanh(unit=unit), tokens_of(unit, count), gates)  # type: ignore[arg-type]
        if words < tanh().sized(x[0], dy[0], interval).stash_words:
            assert seen.x != x.ravel().tolist()
            continue
        assert seen.x == x.ravel().tolist()
        assert [taken.cycle for taken in seen.y] == unit.output_times(x).ravel().tolist()
        assert [taken.cycle for taken in seen.dx] == unit.gradient_times(dy).ravel().tolist()


def test_a_stall_free_run_moves_one_element_a_cycle() -> None:
    seen = check(tanh(stash_words=40), 12)
    for cycles in (seen.x, [taken.cycle for taken in seen.y], [taken.cycle for taken in seen.dx]):
        assert all(after - before == 1 for before, after in itertools.pairwise(cycles))


class NoSign(Tanh):
    """y is its magnitude."""

    def _forward(self, m: Module, stash: Stash) -> None:
        negative = self.x.payload.data < 0
        del negative
        super()._forward(m, stash)
        m.d.comb += self.y.payload.data.eq(abs(m.submodules.outputs.o.payload.as_signed()))


class LeastIsZero(Tanh):
    """The magnitude of the least x is cut off instead of limited."""

    def _magnitude(self, m: Module) -> Signal:
        result = super()._magnitude(m)
        m.d.sync += result.eq(abs(self.x.payload.data))
        return result


class LateSlope(Tanh):
    """The slope is that of the element before."""

    def _backward(self, m: Module, stash: Stash) -> None:
        late = Stash(words=stash.words, bits=stash.bits)
        m.d.comb += [stash.read.eq(late.read)]
        m.d.sync += late.oldest.eq(stash.oldest)
        super()._backward(m, late)


FAULTS = {"no sign": NoSign, "the least is zero": LeastIsZero, "a late slope": LateSlope}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: type[Tanh]) -> None:
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        check(tanh(), count=20, kind=fault)


def test_the_verilog_has_no_signal_of_zero_bits_and_the_memory_that_is_planned() -> None:
    for formats in FORMATS:
        unit = tanh(*formats, stash_words=50)
        text = convert(Tanh(unit=unit), "tanh")
        assert not re.findall(r"\[-\d+:|(?<![\w'])0'[sS]?[bodhBODH]", text)
        assert f"memory_50x{unit.kept_bits}" in text
