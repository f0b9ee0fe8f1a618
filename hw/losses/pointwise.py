"""A loss that treats each output by itself: what is around its arithmetic.

A score is taken with its target, and passes registers that never stop, since its places in the
queues behind them are reserved before:

    cycle after a score was taken  latency      its error and the score enter their queues, and its
                                                share is added to the loss, which enters one with
                                                the last score
                                   latency + 1  the error can leave; behind the last score, the
                                                first prediction
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple, Self

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.pointwise import Pointwise, PointwiseStage
from counterflow.hw.losses.predictions import prediction_stream
from counterflow.hw.parts.block_fifo import BlockFIFO, queue
from counterflow.hw.parts.fifo import SyncFIFO
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import activation_stream, error_stream, label_stream


class Taken(NamedTuple):
    """A score as it is taken, with its target; ``last`` of its token."""

    now: Value
    score: Value
    target: Value
    kind: Value
    last: Value


class PointwiseLoss(wiring.Component):
    """Scores, targets and labels in, predictions and gradient out; only train tokens have one.

    Parameters: ``numbers``; ``labels`` that can wait.
    Members: ``x``, stream of scores, or ``x0`` and ``x1``, stream of targets; ``labels`` stream;
    ``dx`` or ``dx0``, stream of errors, one token for each of x (zeros unless it trains);
    ``predictions`` stream, nothing for bubbles.
    Cost: the queues of `Pointwise.memories`; latency `Pointwise.latency` + 1 from a score to its
    error, one score a cycle.
    """

    def __init__(self, *, numbers: Pointwise, labels: int) -> None:
        self.numbers, self.label_depth = numbers, labels
        number = "0" if numbers.target else ""
        members: dict[str, In | Out] = {
            f"x{number}": In(activation_stream(numbers.logit)),
            "labels": In(label_stream()),
            f"dx{number}": Out(error_stream(numbers.error)),
            "predictions": Out(prediction_stream(numbers)),
        }
        if numbers.target:
            members["x1"] = In(activation_stream(numbers.target))
        super().__init__(members)

    @classmethod
    def of(cls, stage: PointwiseStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(numbers=stage.arithmetic, labels=schedule.label_tokens(stage))

    @abstractmethod
    def _worked_on(
        self, m: Module, score: Value, target: Value, platform: object
    ) -> tuple[Value, Value]:
        """(error, share of the loss) of a score, `numbers.latency` cycles later."""

    @property
    def _scores(self) -> stream.Interface:
        return self.x0 if self.numbers.target else self.x

    @property
    def _errors(self) -> stream.Interface:
        return self.dx0 if self.numbers.target else self.dx

    def elaborate(self, platform: object) -> Module:
        m, numbers = Module(), self.numbers
        room = Signal(name="room")
        taken = self._take(m, room, platform)
        error, share = self._worked_on(m, taken.score, taken.target, platform)
        late = Taken(
            *(
                delayed(m, value, numbers.latency, f"late_{name}")
                for name, value in taken._asdict().items()
            )
        )
        sent = self._send_errors(m, late, error)
        left = self._predict(m, late, share)
        self._reserve(m, room, taken.now, {"error": sent, "score": left})
        return m

    def _take(self, m: Module, room: Signal, platform: object) -> Taken:
        """Take a score when its target, the label and room for what it becomes are there."""
        numbers, scores = self.numbers, self._scores
        m.submodules.labels = labels = queue(
            platform, width=len(self.labels.payload.as_value()), depth=self.label_depth
        )
        index = Signal(range(max(2, numbers.classes)), name="index")
        now, last = Signal(name="now"), index == numbers.classes - 1
        target, there = self._target(m, labels.r_data[KIND_BITS:], index, now)
        m.d.comb += [
            labels.w_en.eq(self.labels.valid),
            labels.w_data.eq(self.labels.payload),
            self.labels.ready.eq(labels.w_rdy),
            labels.r_en.eq(now & last),
            scores.ready.eq(labels.r_rdy & there & room),
            now.eq(scores.valid & scores.ready),
        ]
        with m.If(now):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        return Taken(now, scores.payload.data, target, scores.payload.kind, last)

    def _target(self, m: Module, label: Value, index: Value, now: Value) -> tuple[Value, Value]:
        """(the target of the score that comes next, whether it is there)."""
        numbers = self.numbers
        if numbers.target is None:
            return (label[0] if numbers.classes == 1 else label == index), C(1, 1)
        kind = BlockFIFO if numbers.targets > READ_AT_ONCE else SyncFIFO
        m.submodules.targets = waiting = kind(width=numbers.target.bits, depth=numbers.targets)
        target = Signal(shape_of(numbers.target), name="target")
        m.d.comb += [
            waiting.w_en.eq(self.x1.valid),
            waiting.w_data.eq(self.x1.payload.data),
            self.x1.ready.eq(waiting.w_rdy),
            waiting.r_en.eq(now),
            target.eq(waiting.r_data),
        ]
        return target, waiting.r_rdy

    def _reserve(self, m: Module, room: Signal, taken: Value, left: dict[str, Value]) -> None:
        """Take a score only if there is a place in each queue, also for those under way."""
        words = {"error": self.numbers.error_words, "score": self.numbers.score_words}
        open_ = []
        for name, count in words.items():
            free = Signal(range(count + 1), init=count, name=f"{name}_free")
            m.d.sync += free.eq(free - taken + left[name])
            open_.append(free != 0)
        m.d.comb += room.eq(Cat(open_).all())

    def _send_errors(self, m: Module, late: Taken, error: Value) -> Value:
        """Queue errors, zero of what is not learnt from; whether one leaves."""
        numbers, errors = self.numbers, self._errors
        m.submodules.errors = waiting = BlockFIFO(
            width=numbers.error.bits, depth=numbers.error_words
        )
        m.d.comb += [
            waiting.w_en.eq(late.now),
            waiting.w_data.eq(Mux(late.kind >= Kind.TRAIN, error, 0)),
            errors.payload.eq(waiting.r_data),
            errors.valid.eq(waiting.r_rdy),
            waiting.r_en.eq(errors.ready),
        ]
        return errors.valid & errors.ready

    def _predict(self, m: Module, late: Taken, share: Value) -> Value:
        """Sum up the loss of a token and send its scores with it; whether a score's place is free.

        Those of a bubble go at once.
        """
        numbers, sends = self.numbers, late.now & (late.kind != Kind.BUBBLE)
        m.submodules.results = results = BlockFIFO(
            width=numbers.logit.bits, depth=numbers.score_words
        )
        m.submodules.losses = losses = SyncFIFO(
            width=numbers.loss.bits + KIND_BITS, depth=numbers.loss_words
        )
        before = Signal(numbers.total.bits, name="before")
        total = Signal(numbers.total.bits, name="total")
        out, taken = self.predictions, Signal(name="prediction_taken")
        place = Signal(range(max(2, numbers.classes)), name="place")
        loss = losses.r_data[: numbers.loss.bits]
        m.d.comb += [
            total.eq(before + share),
            results.w_en.eq(sends),
            results.w_data.eq(late.score),
            losses.w_en.eq(sends & late.last),
            losses.w_data.eq(Cat(total[numbers.dropped :], late.kind)),
            out.payload.score.eq(results.r_data),
            out.payload.loss.eq(loss),
            out.payload.kind.eq(losses.r_data[numbers.loss.bits :]),
            out.payload.last.eq(place == numbers.classes - 1),
            out.valid.eq(losses.r_rdy),
            taken.eq(out.valid & out.ready),
            results.r_en.eq(taken),
            losses.r_en.eq(taken & out.payload.last),
        ]
        with m.If(late.now):
            m.d.sync += before.eq(Mux(late.last, 0, total))
        with m.If(taken):
            m.d.sync += place.eq(Mux(out.payload.last, 0, place + 1))
        bubble = late.now & (late.kind == Kind.BUBBLE)
        return taken + bubble
