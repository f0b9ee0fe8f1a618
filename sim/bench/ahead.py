"""Golden's side of a long comparison in a process of its own, so that it is made meanwhile."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final

from counterflow.design.parts.tokens import Token
from counterflow.design.schedule.planner import Plan
from counterflow.golden.chain import Chain
from counterflow.golden.units.update import Settings
from counterflow.sim.bench.expected import Block, Expected
from counterflow.sim.bench.job import Job

WORTH = 30_000  # cycles; a process more costs as much as golden does in a few thousand
FORK: Final = "fork"  # the simulator, in which a bench is, cannot be started anew


def expecting(plan: Plan, job: Job) -> Expected | Ahead:
    """What a run must show, made beside it where it is long and the system can."""
    here = Expected(plan, job)
    long = len(job.tokens) * plan.schedule.interval >= WORTH
    return Ahead(here) if long and FORK in multiprocessing.get_all_start_methods() else here


class Ahead:
    """Used as `Expected` is: what `here` would give, block by block, out of another process.

    That is a block ahead of who compares.  ``golden`` is as it was before the first token.
    """

    def __init__(self, here: Expected) -> None:
        self.golden, self.layout = here.golden, here.layout
        context = multiprocessing.get_context(FORK)
        self._from, to = context.Pipe(duplex=False)
        self._process = context.Process(target=_send, args=(here, self._from, to), daemon=True)
        self._process.start()
        to.close()

    def blocks(self, tokens: Sequence[Token], settings: Settings | None = None) -> Iterator[Block]:
        """See `Expected.blocks`; the runs are those of the job, one after the other."""
        while (block := self._received()) is not None:
            yield block

    def finish(self) -> Chain:
        """See `Expected.finish`; it has the states and counts of the end, and no more slots."""
        settings, states, saturations = self._received()
        self.golden.set(settings)
        for unit, state, count in zip(self.golden.units, states, saturations, strict=True):
            unit.state, unit.saturations = state, count
        return self.golden

    def close(self) -> None:
        """See `Expected.close`; what is still to come is given up."""
        self._from.close()
        self._process.join()

    def _received(self) -> Any:
        try:
            found = self._from.recv()
        except EOFError:
            raise RuntimeError("the process of the golden model ended before its run") from None
        if isinstance(found, Exception):
            raise found
        return found


def _send(here: Expected, theirs: Connection, to: Connection) -> None:
    """All blocks of all runs, None behind each, then what golden has at the end; or what failed."""
    theirs.close()  # or nobody would be missed
    try:
        for settings, tokens in here.job.runs():
            for block in here.blocks(tokens, settings):
                to.send(block)
            to.send(None)
        golden = here.finish()
        to.send((golden.settings, golden.states, [unit.saturations for unit in golden.units]))
    except BrokenPipeError:
        return  # who compared is gone
    except Exception as error:
        to.send(error)
