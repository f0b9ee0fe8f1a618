"""And-inverter graphs of sequential circuits, as AIGER files hold them.

A literal is twice the number of a node, plus one where it is inverted; 0 and 1 are the constants.
Every register starts at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FALSE, TRUE = 0, 1


@dataclass
class Aig:
    """A circuit under construction: inputs and registers first, then gates, each made once.

    Node 0 is the constant, nodes up to ``inputs`` are inputs, then come ``registers``.
    ``nexts`` of the registers and ``outputs`` are literals.
    """

    inputs: int
    registers: int
    gates: list[tuple[int, int]] = field(default_factory=list)
    nexts: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    _made: dict[tuple[int, int], int] = field(default_factory=dict)

    def input(self, index: int) -> int:
        """The literal of an input."""
        return 2 * (1 + index)

    def register(self, index: int) -> int:
        """The literal of what a register holds."""
        return 2 * (1 + self.inputs + index)

    def both(self, a: int, b: int) -> int:
        """a and b."""
        if a > b:
            a, b = b, a
        if a == FALSE or a == b ^ 1:
            return FALSE
        if a in (TRUE, b):
            return b
        found = self._made.get((a, b))
        if found is None:
            found = 2 * (1 + self.inputs + self.registers + len(self.gates))
            self._made[a, b] = found
            self.gates.append((a, b))
        return found

    def differ(self, a: int, b: int) -> int:
        """a xor b."""
        return self.both(self.both(a, b) ^ 1, self.both(a ^ 1, b ^ 1) ^ 1)

    def any(self, literals: Iterable[int]) -> int:
        """The or of all."""
        none = TRUE
        for one in literals:
            none = self.both(none, one ^ 1)
        return none ^ 1

    def copy(
        self, into: Aig, inputs: Sequence[int], registers: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """(next values, outputs) of this circuit in another one, of literals there."""
        place = [FALSE, *inputs, *registers]
        both = into.both
        for a, b in self.gates:
            place.append(both(place[a >> 1] ^ (a & 1), place[b >> 1] ^ (b & 1)))

        def there(literals: Sequence[int]) -> list[int]:
            return [place[one >> 1] ^ (one & 1) for one in literals]

        return there(self.nexts), there(self.outputs)

    def step(self, inputs: Sequence[int], registers: Sequence[int]) -> tuple[list[int], list[int]]:
        """(next values, outputs) for values of 0 and 1."""
        values = [0, *inputs, *registers]
        for a, b in self.gates:
            values.append((values[a >> 1] ^ (a & 1)) & (values[b >> 1] ^ (b & 1)))

        def seen(literals: Sequence[int]) -> list[int]:
            return [values[one >> 1] ^ (one & 1) for one in literals]

        return seen(self.nexts), seen(self.outputs)

    def write(self, path: Path) -> None:
        """As a binary AIGER file."""
        first = 1 + self.inputs + self.registers
        counts = self.inputs, self.registers, len(self.outputs), len(self.gates)
        head = f"aig {sum(counts) - counts[2]} {' '.join(map(str, counts))}"
        lines = [head, *map(str, self.nexts), *map(str, self.outputs)]
        body = bytearray()
        for number, (a, b) in enumerate(self.gates, start=first):
            for delta in (2 * number - b, b - a):  # b is the greater one
                while delta >= 128:
                    body.append(delta & 127 | 128)
                    delta >>= 7
                body.append(delta)
        path.write_bytes("\n".join(lines).encode() + b"\n" + bytes(body))


def read(path: Path) -> Aig:
    """A binary AIGER file whose registers all start at 0."""
    data = path.read_bytes()
    head, rest = data.split(b"\n", 1)
    _, inputs, registers, outputs, gates = map(int, head.split()[1:6])
    lines = rest.split(b"\n", registers + outputs)
    numbers = [int(line) for line in lines[:-1]]
    found = Aig(inputs, registers, nexts=numbers[:registers], outputs=numbers[registers:])
    bytes_left = iter(lines[-1])

    def delta() -> int:
        value = shift = 0
        while True:
            byte = next(bytes_left)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    for number in range(1 + inputs + registers, 1 + inputs + registers + gates):
        greater = 2 * number - delta()
        found.gates.append((greater - delta(), greater))
    return found
