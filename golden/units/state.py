"""What a unit that learns remembers between updates."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

from counterflow.golden.parts.narrow import Integers


class State:
    """Arrays of integers by name, and the state of a random generator.

    A kind's own is a dataclass whose fields are the arrays, as `design.units.slotted.Parameter`
    names them, those that some units lack None, in between the ``generator``.
    """

    generator: int

    @property
    def arrays(self) -> dict[str, Integers]:
        """The parameters by name."""
        names: Any = fields(self)  # type: ignore[arg-type]  # of the dataclasses derived from this
        found = {one.name: getattr(self, one.name) for one in names if one.name != "generator"}
        return {name: values for name, values in found.items() if values is not None}

    def copy(self) -> Self:
        arrays: dict[str, Any] = {name: value.copy() for name, value in self.arrays.items()}
        made: Any = type(self)
        return made(**arrays, generator=self.generator)
