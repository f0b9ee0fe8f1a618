"""What jobs that run beside each other in threads tell: how far they are, and when it is enough."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Is called with what is done and what is to do, of all jobs together."""


class StoppedError(Exception):
    """Ends a job from within its report of progress."""


class Beside:
    """So many jobs, numbered from 0."""

    def __init__(self, jobs: int, on_progress: Progress | None) -> None:
        self._lock = threading.Lock()
        self._done, self._on_progress = [0] * jobs, on_progress
        self._last = jobs - 1

    def tell(self, job: int, done: int, total: int) -> None:
        """A job has `done` so much of the `total` of all; StoppedError where it shall end."""
        with self._lock:
            if job > self._last:
                raise StoppedError
            self._done[job] = done
            if self._on_progress:
                self._on_progress(sum(self._done), total)

    def end(self, last: int = -1) -> None:
        """All jobs behind the `last` that counts shall end, by default all that there are."""
        with self._lock:
            self._last = min(self._last, last)
