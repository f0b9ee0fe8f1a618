"""Whatever carries bytes to a device: a serial port, or what pretends to be one."""

from __future__ import annotations

import errno
import os
from typing import Protocol

import serial
from serial.tools import list_ports

READ_SECONDS = 0.01  # after which a read without bytes returns


class LinkError(ValueError):
    """The device cannot be reached, or what it says is not what was expected; one sentence."""


class Transport(Protocol):
    """Bytes in both directions, which may be lost, doubled or spoilt on the way.

    ``read`` returns what has come; with ``wait``, b"" only after a moment without any.  Both raise
    LinkError once nothing can come any more.
    """

    name: str

    def read(self, *, wait: bool) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class SerialPort:
    """The serial port `name`, for this process alone.

    Raises LinkError, one sentence, where there is none, or where it is in use or not allowed.
    """

    def __init__(self, name: str, baud: int) -> None:
        self.name = name
        try:
            self._port = serial.Serial(name, baud, timeout=READ_SECONDS, exclusive=True)
            self._port.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            raise LinkError(_reason(name, baud, error)) from error

    def read(self, *, wait: bool) -> bytes:
        try:
            first: bytes = self._port.read(1) if wait else b""
            return first + self._port.read(self._port.in_waiting)
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkError(self._gone()) from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkError(self._gone()) from error

    def close(self) -> None:
        self._port.close()

    def _gone(self) -> str:
        return (
            f"{self.name}: the port has gone, as if unplugged; what the board has accepted it has "
            "trained on whole, so plug it in and give the same command again"
        )


def _reason(name: str, baud: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number is None and "lock" in str(error):
        number = errno.EBUSY
    if number in (errno.EBUSY, errno.EAGAIN):
        return f"{name}: the port is in use by another program; end that first"
    if number == errno.EACCES:
        return f"{name}: you may not open the port; join the group that owns it (often dialout)"
    if number == errno.ENOENT or not os.path.exists(name):
        found = ", ".join(sorted(port.device for port in list_ports.comports())) or "none"
        return f"{name}: there is no such port; serial ports here: {found}"
    if isinstance(error, ValueError):
        return f"{name}: the port cannot be set to {baud} baud"
    text = str(error).split("]")[-1].strip(" .")
    return f"{name}: cannot be used as a serial port ({text})"
