"""A lane's products are exact, two cycles after their operands, with and without sharing."""

from __future__ import annotations

import random
from itertools import product

import pytest

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.schedule.planner import plan
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.hw.weighted.multiply import Multiply
from counterflow.sim.streams import respond

LATENCY = 2
FORMATS: tuple[dict[str, str], ...] = (
    {},
    {"input": "u16.12", "activation": "u16.10", "operand": "s16.14", "error": "s16.10"},
    {"input": "s8.4", "activation": "u4.2", "operand": "s6.4", "error": "s14.8"},
)


def numbers_of(formats: dict[str, str], first: bool) -> UnitArithmetic:
    """The arithmetic of the first unit or the second one, which makes an input gradient."""
    fields = {"weight": "s20.18", "velocity": "s14.18", **formats}
    description = Description.model_validate(
        {
            "name": "lane",
            "inputs": 4,
            "layers": [{"outputs": 3}, {"outputs": 2, "activation": "none"}],
            "formats": fields,
            "rounding": {"update": "truncate"},
        }
    )
    return plan(description).schedule.stages[0 if first else 1].arithmetic


def operands(numbers: UnitArithmetic) -> dict[str, list[int]]:
    """Columns of operands: all combinations of extremes, then random rows."""
    roles: dict[str, Format] = {
        "forward": numbers.operand,
        "backward": numbers.operand,
        "x": numbers.x,
        "dy": numbers.dy,
        "stash": numbers.x,
    }
    source = random.Random(1)
    rows = list(product(*((number.min, number.max) for number in roles.values())))
    rows += [
        tuple(source.randint(number.min, number.max) for number in roles.values())
        for _ in range(100)
    ]
    return {name: [row[n] for row in rows] for n, name in enumerate(roles)}


def products(columns: dict[str, list[int]], first: bool) -> dict[str, list[int]]:
    """By output, in the order of the phases."""
    pairs = {"y": ("forward", "x"), "dx": ("backward", "dy"), "gradient": ("dy", "stash")}
    if first:
        del pairs["dx"]
    return {
        name: [a * b for a, b in zip(columns[left], columns[right], strict=True)]
        for name, (left, right) in pairs.items()
    }


def made(
    numbers: UnitArithmetic, columns: dict[str, list[int]], shared: bool, outputs: list[str]
) -> dict[str, list[int]]:
    """The outputs that belong to each row of operands."""
    held = {name: values + [0] * LATENCY for name, values in columns.items()}
    multiply = Multiply(numbers=numbers, shared=shared)
    assert hasattr(multiply, "dx") == ("dx" in outputs)  # nobody asks a first unit for it
    seen = respond(multiply, held, outputs)[LATENCY:]
    return dict(zip(outputs, map(list, zip(*seen, strict=True)), strict=True))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("formats", FORMATS)
def test_three_multipliers_make_all_products_at_once(formats: dict[str, str], first: bool) -> None:
    numbers = numbers_of(formats, first)
    columns = operands(numbers)
    expected = products(columns, first)
    columns["phase"] = [0] * len(columns["x"])
    assert made(numbers, columns, False, list(expected)) == expected


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("formats", FORMATS)
def test_a_shared_multiplier_makes_the_product_of_the_phase_asked_for_in_any_order(
    formats: dict[str, str], first: bool
) -> None:
    numbers = numbers_of(formats, first)
    columns = operands(numbers)
    expected = products(columns, first)
    names = list(expected)
    source = random.Random(2)
    columns["phase"] = [source.randrange(len(names)) for _ in columns["x"]]
    found = made(numbers, columns, True, names)
    for row, phase in enumerate(columns["phase"]):
        name = names[phase]
        assert found[name][row] == expected[name][row], f"{name} of row {row}"
