"""What AXI forbids, watched cycle by cycle (inside cocotb)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cocotb.triggers import RisingEdge

CHANNELS = {
    "m_axis_t": ("data", "last", "user"),
    "s_axil_b": ("resp",),
    "s_axil_r": ("data", "resp"),
}
"""Channels that the hardware drives, and what each carries."""


class Rules:
    """Collects in `broken` what goes against the rules on the channels that `dut` drives.

    Valid is low in reset; once high, valid and what it carries stay until ready.
    ``transfers`` counts what was handed over, by channel.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.broken: list[str] = []
        self.transfers = dict.fromkeys(CHANNELS, 0)

    async def watch(self) -> None:
        """Look at every rising edge, for ever."""
        offered: dict[str, list[int] | None] = dict.fromkeys(CHANNELS)
        reset = True
        cycle = 0
        while True:
            await RisingEdge(self.dut.aclk)
            cycle += 1
            for channel, carried in CHANNELS.items():
                valid, ready, *payload = self._levels(channel, carried)
                before = offered[channel]
                if reset:
                    before = None
                    if valid and not int(self.dut.aresetn.value):
                        self._broke(cycle, channel, "valid in reset")
                if before is not None and not valid:
                    self._broke(cycle, channel, "valid was withdrawn")
                elif before is not None and payload != before:
                    self._broke(cycle, channel, f"{payload} after {before} was offered")
                self.transfers[channel] += valid and ready
                offered[channel] = payload if valid and not ready else None
            reset = not int(self.dut.aresetn.value)

    def _levels(self, channel: str, carried: Sequence[str]) -> list[int]:
        names = ("valid", "ready", *carried)
        return [int(getattr(self.dut, channel + name).value) for name in names]

    def _broke(self, cycle: int, channel: str, what: str) -> None:
        self.broken.append(f"cycle {cycle}: {channel}: {what}")
