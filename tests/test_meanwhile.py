"""A value that is another one for a while is the old one again afterwards, whatever happens."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Thread

import pytest

from counterflow.design.parts.meanwhile import meanwhile

NUMBER: ContextVar[int] = ContextVar("number", default=0)


def test_it_is_seen_within_and_the_one_before_it_behind() -> None:
    with meanwhile(NUMBER, 1):
        with meanwhile(NUMBER, 2):
            assert NUMBER.get() == 2
        assert NUMBER.get() == 1
    assert NUMBER.get() == 0


def test_an_error_ends_it_too() -> None:
    with pytest.raises(KeyError), meanwhile(NUMBER, 1):
        raise KeyError
    assert NUMBER.get() == 0


def test_other_threads_do_not_see_it() -> None:
    seen = []
    with meanwhile(NUMBER, 1):
        thread = Thread(target=lambda: seen.append(NUMBER.get()))
        thread.start()
        thread.join()
    assert seen == [0]
