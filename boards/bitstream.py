"""What device a bitstream is for, from its first bytes."""

from __future__ import annotations

from collections.abc import Mapping

ECP5_PREAMBLE, ICE40_PREAMBLE = b"\xff\xff\xbd\xb3", b"\x7e\xaa\x99\x7e"
VERIFY_ID = b"\xe2\x00\x00\x00"  # command of ECP5: the identity of the device follows
HEAD = 4096  # bytes within which the identity stands

IDENTITIES: Mapping[int, str] = {  # of Project Trellis' devices.json
    0x21111043: "LFE5U-12F",
    0x41111043: "LFE5U-25F",
    0x41112043: "LFE5U-45F",
    0x41113043: "LFE5U-85F",
    0x01111043: "LFE5UM-25F",
    0x01112043: "LFE5UM-45F",
    0x01113043: "LFE5UM-85F",
    0x81111043: "LFE5UM5G-25F",
    0x81112043: "LFE5UM5G-45F",
    0x81113043: "LFE5UM5G-85F",
}
SIZES: Mapping[tuple[int, int], str] = {  # of a bank of configuration memory, from IceStorm
    (332, 144): "iCE40HX1K",
    (692, 176): "iCE40UL4K",
    (692, 336): "iCE40UP5K",
    (872, 272): "iCE40HX8K",
}


def device(data: bytes) -> str:
    """The device that a bitstream is for, as LFE5U-85F; ValueError where it is none that is known.

    The error is a sentence without a subject: the caller knows the file's name.
    """
    head = data[:HEAD]
    start = head.find(ECP5_PREAMBLE)
    if start >= 0:
        place = head.find(VERIFY_ID, start)
        if place >= 0:
            identity = int.from_bytes(head[place + 4 : place + 8], "big")
            return IDENTITIES.get(identity, f"an ECP5 of identity {identity:#010x}")
    start = head.find(ICE40_PREAMBLE)
    if start >= 0:
        size = _ice40_size(head[start + len(ICE40_PREAMBLE) :])
        if size is not None:
            return SIZES.get(size, f"an iCE40 of {size[0]} x {size[1]} bits a bank")
    raise ValueError("is no bitstream for an ECP5 or an iCE40")


def _ice40_size(commands: bytes) -> tuple[int, int] | None:
    """(width, height) of a bank, set by commands 6 and 7 before the first data, command 1.

    A command is its number and the number of bytes behind it, four bits each.
    """
    found: dict[int, int] = {}
    place = 0
    while place < len(commands) and not {6, 7} <= found.keys():
        number, length = commands[place] >> 4, commands[place] & 15
        found[number] = int.from_bytes(commands[place + 1 : place + 1 + length], "big")
        if number == 0 and found[number] == 1:
            return None  # bits of a bank: sizes come before
        place += 1 + length
    return (found[6] + 1, found[7]) if {6, 7} <= found.keys() else None


def expected(part: str) -> str:
    """The device of a part number: LFE5U-85F of LFE5U-85F-6BG381C."""
    return part.rsplit("-", 1)[0]
