"""Surfer's side of its files, after its documentation: mappings, and commands of a file."""

from __future__ import annotations

from pathlib import Path

from pywellen import Waveform

from counterflow.waves import Names

BUILT_IN = ("Signed", "Unsigned", "Hexadecimal")


def named(path: Path) -> Names:
    """A mapping translator: ``Name = ...``, ``Bits = ...``, then a value and its word a line."""
    head, size, *rows = path.read_text(encoding="utf-8").splitlines()
    pairs = [row.split(" ", 1) for row in rows]
    bits = int(size.removeprefix("Bits = "))
    words = {int(value): word for value, word in pairs}
    assert all(0 <= value < 1 << bits for value in words), words
    return Names(head.removeprefix("Name = "), bits, words)


def misread(path: Path, mappings: Path, dump: Path) -> list[str]:
    """The commands in a file that Surfer would not take, started beside these mappings."""
    formats = {one.title: one.bits for one in map(named, sorted(mappings.glob("*.txt")))}
    waveform, focused, bad = Waveform(str(dump)), None, []
    for line in path.read_text(encoding="utf-8").splitlines():
        match line.split():
            case ["variable_add", name]:
                focused = found(waveform, name)
                good = focused is not None
            case ["item_set_format", title]:
                good = focused is not None and formats.get(title, focused) == focused
                good = good and title in (*BUILT_IN, *formats)
            case ["divider_add", name]:
                focused, good = None, name.isidentifier()
            case ["cursor_set", time]:
                good = time.isdecimal()
            case _:
                good = line in ("zoom_fit", "item_focus a")
        if not good:
            bad.append(line)
    return bad


def found(waveform: Waveform, path: str) -> int | None:
    """The bits of a signal, by a path that is parted at every point."""
    *scopes, name = path.split(".")
    there = waveform
    for scope in scopes:
        inner = [one for one in there.scopes() if one.name == scope]
        if not inner:
            return None
        (there,) = inner
    bits = [one.length for one in there.vars() if one.name == name]
    return bits[0] if bits else None
