"""The host's side of a board: `Device` trains it, checks it and saves it over a serial port."""

from counterflow.host.device import Device
from counterflow.host.transport import LinkError

__all__ = ["Device", "LinkError"]
