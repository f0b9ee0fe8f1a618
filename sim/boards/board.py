"""A simulated board: the board core's Verilog, with bytes in and out at its serial pins."""

from __future__ import annotations

import ctypes
import importlib.resources

import numpy as np

from counterflow.design.schedule.planner import Plan
from counterflow.hw.parts.modules import convert
from counterflow.hw.tops.board_core import BoardCore
from counterflow.sim.compiled.library import build_library

DRIVER = importlib.resources.files("counterflow.sim.boards") / "board.cpp"
TOP = "board"
FOUND_ROOM = 1 << 16
FRAME_BITS = 10  # of a byte on the line


class Step(ctypes.Structure):
    """`Step` in board.cpp, field for field."""

    _fields_ = (
        ("given", ctypes.c_void_p),
        ("given_count", ctypes.c_int64),
        ("found", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("found_room", "found_count", "waiting")),
        *((name, ctypes.c_int64) for name in ("cycles", "lamps")),
    )


def board_verilog(plan: Plan, frequency: float, baud: int, board: str) -> str:
    """Verilog of the board core."""
    core = BoardCore(plan=plan, frequency=frequency, baud=baud, board=board)
    return convert(core, TOP, compact=plan.compact)


class Board:
    """The board core of `plan` in simulation, to be closed after use.

    Its line runs at exactly the rate that the clock makes.  ``cycles`` counts the clock since
    power-on, ``waiting`` the bytes that are not yet on the line, ``lamps`` has alive, training and
    error, lowest first.
    """

    def __init__(
        self, plan: Plan, *, frequency: float, baud: int, board: str, verilog: str | None = None
    ) -> None:
        text = verilog or board_verilog(plan, frequency, baud, board)
        self._calls = ctypes.CDLL(str(build_library(text, TOP, DRIVER)))
        self._calls.board_open.restype = ctypes.c_void_p
        self._board: ctypes.c_void_p | None = ctypes.c_void_p(
            self._calls.board_open(ctypes.c_int64(round(frequency / baud)))
        )
        self._found = np.zeros(FOUND_ROOM, np.uint8)
        self._step = Step(found=self._found.ctypes.data, found_room=FOUND_ROOM)
        self.cycles_a_byte = FRAME_BITS * round(frequency / baud)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the simulation, which cannot be used afterwards."""
        if self._board is not None:
            self._calls.board_close(self._board)
        self._board = None

    def run(self, cycles: int, given: bytes = b"") -> bytes:
        """Put bytes on the line and simulate; the bytes that the board sent meanwhile."""
        if self._board is None:
            raise ValueError("the simulation is closed")
        step = self._step
        text = ctypes.create_string_buffer(given, len(given))
        step.given, step.given_count = ctypes.addressof(text), len(given)
        self._calls.board_run(self._board, ctypes.byref(step), ctypes.c_int64(cycles))
        return self._found[: step.found_count].tobytes()

    @property
    def cycles(self) -> int:
        return int(self._step.cycles)

    @property
    def waiting(self) -> int:
        return int(self._step.waiting)

    @property
    def lamps(self) -> int:
        return int(self._step.lamps)
