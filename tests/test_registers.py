"""The register map is one description: driver, C header, pages and addresses say the same."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from counterflow.design.bus.c_header import c_header
from counterflow.design.bus.driver import Driver
from counterflow.design.bus.register_page import general_page, page
from counterflow.design.bus.registers import (
    ADDRESS_BITS,
    NODE_BYTES,
    WORD_BITS,
    IntakeRegister,
    Register,
    UnitRegister,
    address,
    control_word,
    nodes,
)
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import KIND_BITS, LABEL_BITS, Kind
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.training.start import initial_states
from counterflow.hw.axi.packets import USER_BITS
from tests.headed import headed

PAGE = Path(__file__).parent.parent / "docs" / "registers.md"


class Chip:
    """Registers that are memory, with the shift register and the tiles of each unit behind them."""

    def __init__(self, design: Plan) -> None:
        self.words = {address(0, IntakeRegister.IDENTITY): int(design.description.hash()[:8], 16)}
        self.shift = [[(0, 0)] * stage.tiling.lane_count for stage in design.schedule.stages]
        self.lanes = [[one.lanes for one in stage.blocks] for stage in design.schedule.stages]
        self.tiles: dict[tuple[int, int, int], list[tuple[int, int]]] = {}

    def read32(self, place: int) -> int:
        node, register = divmod(place, NODE_BYTES)
        if node and register // 4 == UnitRegister.WEIGHT:
            return self.shift[node - 1][0][0]
        if node and register // 4 == UnitRegister.VELOCITY:
            pair = self.shift[node - 1].pop(0)
            self.shift[node - 1].append(pair)
            return pair[1]
        return self.words[place]

    def write32(self, place: int, word: int) -> None:
        assert 0 <= word < 1 << WORD_BITS
        node, offset = divmod(place, NODE_BYTES)
        register, r = offset // 4, UnitRegister
        self.words[place] = word
        if register == r.VELOCITY:
            pairs = self.shift[node - 1]
            pairs.append((self.words[address(node, r.WEIGHT)], word))
            del pairs[0]
        elif register in (r.STORE, r.STORE_BIAS):
            lanes = self.lanes[node - 1][register == r.STORE_BIAS]  # the uppermost
            self.tiles[node, register, word] = self.shift[node - 1][-lanes:]
        elif register in (r.FETCH, r.FETCH_BIAS):
            store = r.STORE if register == r.FETCH else r.STORE_BIAS
            found = self.tiles[node, store, word]
            self.shift[node - 1][: len(found)] = found  # to the lowest


@pytest.fixture(scope="module")
def design() -> Plan:
    return plan(load("tiny-conv"))


def test_the_driver_loads_and_reads_back_every_weight(design: Plan) -> None:
    states = initial_states(design.description, design.schedule, seed=3)
    source = np.random.default_rng(1)
    for state in states:  # negative ones, too
        state.velocity[:] = source.integers(-(1 << 15), 1 << 15, state.velocity.shape)
        state.bias[:] = source.integers(-(1 << 15), 1 << 15, state.bias.shape)
    driver = Driver(Chip(design), design)
    driver.load(states)
    for found, state in zip(driver.read_back(), states, strict=True):
        for name in ("weight", "velocity", "bias", "bias_velocity", "generator"):
            assert np.array_equal(getattr(found, name), getattr(state, name)), name


def test_registers_and_fields_have_names(design: Plan) -> None:
    chip = Chip(design)
    driver = Driver(chip, design)
    driver.set(predict=True, compensate=False, extra_shift=2)
    unit, place = driver.units[1], address(2, UnitRegister.CONTROL)
    assert chip.words[place] == control_word(True, False, 2)
    unit.extra_shift = 5
    unit.compensate = 1
    assert (unit.control, unit.extra_shift, unit.predict) == (control_word(True, True, 5), 5, 1)
    chip.words[address(0, IntakeRegister.BAD_LABELS)] = 7
    assert driver.intake.bad_labels == 7
    unit.weight = -3
    assert chip.words[address(2, UnitRegister.WEIGHT)] == (1 << WORD_BITS) - 3
    chip.shift[1][0] = ((1 << WORD_BITS) - 9, 0)
    assert unit.weight == -9


def test_what_a_register_cannot_do_is_said(design: Plan) -> None:
    unit = Driver(Chip(design), design).units[0]
    with pytest.raises(AttributeError, match="SLOTS of conv0 is read only"):
        unit.slots = 1
    with pytest.raises(AttributeError, match="FETCH of conv0 is written only"):
        _ = unit.fetch
    with pytest.raises(AttributeError, match="no register 'sluts'; it has tiles, control"):
        _ = unit.sluts
    with pytest.raises(ValueError, match="extra_shift of conv0 is to be 8; it takes 0 to 7"):
        unit.extra_shift = 8


def test_registers_can_be_copied(design: Plan) -> None:
    unit = copy.copy(Driver(Chip(design), design).units[0])
    unit.control = 3
    assert unit.control == 3


def test_another_network_behind_the_bus_is_refused(design: Plan) -> None:
    other = Driver(Chip(plan(load("tiny"))), design)
    with pytest.raises(ValueError, match=r"made from another description"):
        other.check()


def test_the_header_says_in_c_what_the_map_says(design: Plan, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
    assert compiler is not None
    expected = {"TINY_CONV_INPUTS": 36, "TINY_CONV_CLASSES": 3, "TINY_CONV_UNITS": 3}
    expected["TINY_CONV_USER(TINY_CONV_KIND_TRAIN, 5)"] = Kind.TRAIN | 5 << KIND_BITS
    expected |= {"TINY_CONV_KIND(0x56)": 2, "TINY_CONV_LOSS(0x56)": 0x15}
    expected["TINY_CONV_IDENTITY"] = int(design.description.hash()[:8], 16)
    for node in nodes(stage.name for stage in design.schedule.stages):
        for one in node.registers:
            name = f"TINY_CONV_{node.name.upper()}_{one.name}"
            expected[name] = address(node.number, one)
    for field in UnitRegister.CONTROL.fields:
        expected[f"TINY_CONV_CONTROL_{field.name.upper()}_MASK"] = field.mask
    checks = "".join(f'  if ({n} != {v}u) return puts("{n}"), 1;\n' for n, v in expected.items())
    (tmp_path / "design.h").write_text(c_header(design))
    source = tmp_path / "check.c"
    source.write_text(
        f'#include <stdio.h>\n#include "design.h"\nint main(void) {{\n{checks}  return 0;\n}}\n'
    )
    binary = tmp_path / "check"
    command = [compiler, "-Wall", "-Werror", "-o", str(binary), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    found = subprocess.run([binary], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{found.stdout} is wrong in the header"


def test_the_header_of_a_network_with_heads_names_their_destinations(design: Plan) -> None:
    found = re.findall(r"^#define HEADED_(HEADS|DEST_\w+) (\w+)$", c_header(headed()), re.MULTILINE)
    assert found == [
        ("HEADS", "2"),
        ("DEST_NETWORK", "0u"),
        *((f"DEST_HEAD{one}", f"{one}u") for one in (1, 2)),
    ]
    assert "TDEST" not in c_header(design)


def test_the_page_in_the_documentation_is_the_map() -> None:
    assert PAGE.read_text() == general_page(), (
        f"run python -m counterflow.design.bus.register_page > {PAGE}"
    )


def test_the_page_of_a_design_has_every_register_at_its_address(design: Plan) -> None:
    text = page(design)
    for node in nodes(stage.name for stage in design.schedule.stages):
        for one in node.registers:
            pattern = rf"\| 0x{address(node.number, one):02x} \| {one.name} \| {one.access.value} "
            assert re.search(pattern, text), (node.name, one.name)


@pytest.mark.parametrize("registers", [UnitRegister, IntakeRegister])
def test_numbers_widths_and_fields_fit(registers: type[Register]) -> None:
    for one in registers:
        assert 0 <= one < NODE_BYTES // 4
        assert 0 < one.bits <= WORD_BITS
        assert all(field.low + field.bits <= one.bits for field in one.fields)
        assert one.meaning
    assert address(255, 15) < 1 << ADDRESS_BITS


def test_the_sideband_of_the_stream_is_what_the_header_packs() -> None:
    assert USER_BITS == KIND_BITS + LABEL_BITS
