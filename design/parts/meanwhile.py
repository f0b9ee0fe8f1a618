"""Values that are others for a while: seen by all that is called meanwhile, in no other thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TypeVar

Value = TypeVar("Value")


@contextlib.contextmanager
def meanwhile(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """Let `variable` have this value within, and the one that it had again behind it."""
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)
