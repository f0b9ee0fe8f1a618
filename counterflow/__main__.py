"""``python -m counterflow``: the command line, ready for Ctrl-C from the start."""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT  # the exit status, as shells have it


def run() -> None:
    """Run the command line; its own modules take a while to import."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored
    if ours:
        signal.signal(signal.SIGINT, _leave)
    from counterflow.cli import main

    try:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main(prog_name="counterflow")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once: there is nothing yet to be tidied up, and what is imported may be half there."""
    os.write(2, b"\nInterrupted.\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    run()
