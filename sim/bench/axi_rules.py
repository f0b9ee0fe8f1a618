"""What AXI forbids, watched cycle by cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cocotb.triggers import RisingEdge

CHANNELS = {
    "m_axis_t": ("data", "last", "user"),
    "s_axil_b": ("resp",),
    "s_axil_r": ("data", "resp"),
}
"""Channels that the hardware drives, and what each carries."""

WITH_HEADS = {**CHANNELS, "m_axis_t": (*CHANNELS["m_axis_t"], "dest")}
"""The same where several losses have predictions."""


class Rules:
    """Collects in `broken` what goes against the rules on the channels that the hardware drives.

    Valid is low in reset, but for the first cycle of it; once high, valid and what it carries stay
    until ready.
    """

    def __init__(self, channels: Mapping[str, Sequence[str]] = CHANNELS) -> None:
        self.broken: list[str] = []
        self._channels = channels
        self._offered: dict[str, Sequence[int | None] | None] = dict.fromkeys(channels)
        self._reset = False
        self._cycle = 0

    async def watch(self, dut: Any) -> None:
        """Look at every rising edge of `dut`, for ever (inside cocotb)."""
        while True:
            await RisingEdge(dut.aclk)
            levels = {
                channel: [
                    _level(getattr(dut, channel + name)) for name in ("valid", "ready", *carried)
                ]
                for channel, carried in self._channels.items()
            }
            self.look(levels, reset=not int(dut.aresetn.value))

    def look(self, levels: Mapping[str, Sequence[int | None]], *, reset: bool) -> None:
        """Check a cycle: valid, ready and what is carried, of each channel; None is unknown."""
        self._cycle += 1
        for channel, (valid, ready, *payload) in levels.items():
            if valid is None:
                self._broke(channel, "valid is unknown (X)")
            elif valid and None in payload:
                name = self._channels[channel][payload.index(None)]
                self._broke(channel, f"{name} is unknown (X) while valid")
            before = self._offered[channel]
            if self._reset and reset and valid:
                self._broke(channel, "valid in reset")
            if not self._reset and before is not None and not valid:
                self._broke(channel, "valid was withdrawn")
            elif not self._reset and before is not None and payload != before:
                self._broke(channel, f"{payload} after {before} was offered")
            self._offered[channel] = payload if valid and not ready else None
        self._reset = reset

    def _broke(self, channel: str, what: str) -> None:
        self.broken.append(f"cycle {self._cycle}: {channel}: {what}")


def _level(handle: Any) -> int | None:
    """A signal's value; None where a simulator with four states does not know it."""
    return int(handle.value) if handle.value.is_resolvable else None
