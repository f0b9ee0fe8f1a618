"""What happens while nothing is counted, told to whoever wants to hear it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar

from counterflow.design.parts.meanwhile import meanwhile

Tell = Callable[[str], None]
_tell: ContextVar[Tell] = ContextVar("tell", default=lambda _text: None)


def telling(to: Tell) -> AbstractContextManager[None]:
    """Let `to` hear of what takes long meanwhile, as the building of a model."""
    return meanwhile(_tell, to)


def tell(text: str) -> None:
    """Say `text` to who hears, if anybody does."""
    _tell.get()(text)
