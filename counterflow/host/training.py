"""Training a device, from wherever it stands, beside the golden model if that is wanted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from counterflow.design.bus import link
from counterflow.design.bus.link import POSITIONS
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.losses import LossNumbers
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.models import IntegerModel
from counterflow.golden.units.state import State
from counterflow.host.course import Course, Leg
from counterflow.host.device import WORD, Device
from counterflow.host.journal import Journal, Predictions, beside
from counterflow.host.outcome import LINE_BITS, Outcome
from counterflow.host.progress import Progress
from counterflow.host.tally import Tally
from counterflow.host.transport import LinkError


class DifferenceError(ValueError):
    """The device is not where the golden model is."""


Report = Callable[[int, Tally], None]
OnEpoch = Callable[[Leg, list[State]], None]


class Training:
    """One training of one device; `run` goes on from where the device stands.

    ``initial``: the states that the course begins with.  ``verify``: compare all weights with the
    golden model's after so many tokens, and at the end of each leg; 0 never.
    """

    def __init__(
        self, device: Device, way: Course, initial: Sequence[State], *, verify: int = 0
    ) -> None:
        self.device, self.course, self.verify = device, way, verify
        self.initial = [state.copy() for state in initial]
        self.numbers: LossNumbers = device.plan.schedule.loss.arithmetic
        self.outcome = Outcome(numbers=self.numbers, ruler=way.ruler)
        self._heads = device.plan.schedule.heads
        self._golden_at = 0
        self._golden: IntegerModel | None = None
        if verify:
            plan = device.plan
            self._golden = IntegerModel(plan.description, plan.schedule, self.initial)

    def begin(self, progress: Progress, path: Path) -> int:
        """Load the initial weights and begin anew, with the progress file at `path`."""
        # The board forgets the training before, if any, first: from then on none can go on with it.
        session = self.device.session
        journal = session.journal or Journal(beside(path))
        session.journal = None
        session.mark(0)
        self.device.empty()
        self.device.load(self.initial)
        base, mark = self.device.rest().tokens, 1 + secrets.randbelow(POSITIONS - 1)
        journal.begin(mark, session.position)
        session.journal = journal
        replace(progress, mark=mark, base=base, tokens=self.course.tokens).save(path)
        session.mark(mark)
        return 0

    def resume(self, progress: Progress) -> int:
        """Find where the device stands in the course; the number of tokens it has had.

        What it has said of their samples is in the outcome then.
        """
        if self.device.session.refresh().mark != progress.mark:
            raise LinkError(
                "the board has been reset or used otherwise since this training began, so its "
                "weights are lost; give --fresh to begin anew, or --resume with a checkpoint"
            )
        done = (self.device.rest().tokens - progress.base) % WORD
        if done > self.course.tokens:
            raise LinkError(
                f"the board has accepted {done} tokens of a training that has "
                f"{self.course.tokens}; give --fresh to begin anew"
            )
        self._recall(done)
        return done

    def _recall(self, done: int) -> None:
        """Take from the journal what the device has said of the tokens before number `done`."""
        legs = [(leg, min(leg.end, done)) for leg in self.course.legs if leg.first < done]
        count = sum(len(self._labels(leg, leg.first, stop)) for leg, stop in legs)
        due = dict.fromkeys((0, *self._heads), count)
        self.device.session.keep()
        journal = self.device.session.journal
        said = {one: iter([None] * count) for one in due} if journal is None else journal.read(due)
        past = {number: iter(predictions) for number, predictions in said.items()}
        for leg, stop in legs:
            tally = self.outcome.tally(leg, self._heads)
            for label in self._labels(leg, leg.first, stop):
                for number, predictions in past.items():
                    self.outcome.count(tally, number, next(predictions), int(label))
        self.outcome.recalled = len(self.outcome.losses)

    def run(
        self, start: int, *, report: Report | None = None, on_epoch: OnEpoch | None = None
    ) -> Outcome:
        """Send all tokens from number `start` on; ``on_epoch`` gets the states at ends of epochs.

        Raises LinkError where verification finds a difference.
        """
        began, self.outcome.resumed_at = time.perf_counter(), start
        if self._golden is not None:
            self.check(start)
        for leg in self.course.legs:
            if leg.end > start:
                self.device.set(leg.settings)
                self._leg(leg, max(start, leg.first), report)
            if on_epoch and self.course.ends_epoch(leg) and leg.end >= start:
                self.device.rest()
                on_epoch(leg, self.device.read_back())
        self.outcome.counters = self.device.rest()
        self.outcome.states = self.device.read_back()
        self.outcome.seconds = time.perf_counter() - began
        return self.outcome

    def measure(self, leg: Leg, report: Report | None = None) -> Tally:
        """Try the samples of a leg that is no part of the course."""
        tally = self.outcome.begun(leg, self._heads)
        self._stretch(leg, leg.first, leg.end, tally, report)
        return tally

    def check(self, token: int) -> None:
        """Compare all weights of the device at rest with the golden model's after `token` tokens.

        Raises DifferenceError; wants ``verify``.
        """
        self._follow(token)
        self._compare(token)

    def _labels(self, leg: Leg, start: int, stop: int) -> Integers:
        """Of the samples among the tokens `start` to `stop` - 1 of the course, all in `leg`."""
        block = slice(start - leg.first, stop - leg.first)
        kinds, indices = leg.kinds[block], leg.indices[block]
        found: Integers = self.course.part(leg).labels[indices[kinds != Kind.BUBBLE]]
        return found

    def _leg(self, leg: Leg, start: int, report: Report | None) -> None:
        """The tokens of `leg` from number `start` of the course on."""
        tally = self.outcome.tally(leg, self._heads)
        at = start
        while at < leg.end:
            stop = leg.end
            if self.verify and not leg.tests:
                stop = min(stop, at + self.verify - (at - leg.first) % self.verify)
            before = {number: (one.right, one.bits) for number, one in tally.losses.items()}
            self._stretch(leg, at, stop, tally, report)
            at = stop
            if self._golden is not None:
                self.device.rest()
                golden = self._follow(at)
                for number, one in tally.losses.items():
                    right, bits = before[number]
                    if (one.right - right, one.bits - bits) != golden[number]:
                        whose = f" of head {number}" if number else ""
                        self._differ(at, f"the predictions{whose} since the last comparison")
                self._compare(at)

    def _stretch(
        self, leg: Leg, start: int, stop: int, tally: Tally, report: Report | None
    ) -> None:
        """Tokens without a pause between them."""
        part, block = self.course.part(leg), slice(start - leg.first, stop - leg.first)
        kinds, indices = leg.kinds[block], leg.indices[block]
        expected = self._labels(leg, start, stop)
        before = {number: one.samples for number, one in tally.losses.items()}

        def take(found: Predictions) -> None:
            for number, one in tally.losses.items():
                seen = one.samples - before[number]
                fresh = found.get(number, [])[seen:]
                for prediction, label in zip(fresh, expected[seen:], strict=False):
                    self.outcome.count(tally, number, prediction, int(label))

        def sent(done: int, found: Predictions) -> None:
            take(found)
            if report:
                report(start + done, tally)

        began = self.device.cycles()
        take(self.device.run(kinds, indices, part, sent))
        payload = len(expected) * link.token_bytes(self.device.plan.description)
        took = (self.device.cycles() - began) % WORD
        info = self.device.info
        if info.baud:  # a line takes its time; the counter may have gone round
            least = payload * LINE_BITS * round(info.frequency / info.baud)
            took += max(0, -(-(least - took) // WORD)) * WORD
        self.outcome.payload += payload
        self.outcome.cycles += took

    def _follow(self, token: int) -> dict[int, tuple[int, int]]:
        """Let the golden model run up to `token`: how many were right, and the losses' sum.

        Of the network as number 0, and of each head.
        """
        assert self._golden is not None
        found = dict.fromkeys((0, *self._heads), (0, 0))
        for leg in self.course.legs:
            start, stop = max(leg.first, self._golden_at), min(leg.end, token)
            if start >= stop:
                continue
            if start == leg.first:
                self._golden.set(leg.settings)
            block = slice(start - leg.first, stop - leg.first)
            kinds, indices = leg.kinds[block], leg.indices[block]
            more = self._golden.run(kinds, indices, self.course.part(leg)).every
            for number, (right, loss) in zip(found, more, strict=True):
                before = found[number]
                found[number] = before[0] + right, before[1] + round(loss / self.numbers.one_loss)
        self._golden_at = token
        return found

    def _compare(self, token: int) -> None:
        """All that the device's units remember against the golden model's."""
        assert self._golden is not None
        pairs = zip(self.device.read_back(), self._golden.states, strict=True)
        for stage, (found, wanted) in zip(self.device.plan.schedule.stages, pairs, strict=True):
            for name in stage.remembered:
                if not np.array_equal(getattr(found, name), getattr(wanted, name)):
                    self._differ(token, f"{stage.name}.{name}")
                self.outcome.compared += np.size(getattr(wanted, name))
        self.outcome.verified += 1

    def _differ(self, token: int, what: str) -> None:
        raise DifferenceError(
            f"after {token} tokens {what} of the board differ from the golden model's"
        )
