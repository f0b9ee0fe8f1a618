"""The loss unit: zero-sum softmax cross-entropy in base-2 logarithms, twin of `golden.units.loss`.

A token's logits are collected in one of two banks while the token before is worked on in passes
over its n classes, one step a cycle:

    step 0 ...              sum the exponentials                      n steps, 6 to finish
    step n + 6, n + 7       logarithm of the sum                      2 steps
    step n + 6 ...          probabilities, in their third step by     n steps, 8 to finish
                            the logarithm; their sum
    step 2 n + 14 ...       error and score of each class             n steps
"""

from __future__ import annotations

from typing import Self

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.latency import LOSS_TAIL
from counterflow.design.units.loss import (
    EXP2,
    EXP_FRAC,
    LOG2,
    LOG2E_NUMERATOR,
    LOG_FRAC,
    LossArithmetic,
    SoftmaxStage,
)
from counterflow.hw.losses.predictions import prediction_stream
from counterflow.hw.parts.block_fifo import BlockFIFO, queue
from counterflow.hw.parts.block_memory import falling_memory
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.narrow import narrow, shape_of
from counterflow.hw.parts.pipeline import delayed, looked_up, summed, terms_of
from counterflow.hw.parts.streams import activation_stream, error_stream, label_stream

BANKS = 2
EXPONENT, POWER, ERROR = 4, 6, 7  # cycles from a class' index to its exponent, power and error


class Loss(wiring.Component):
    """Scores and labels in, prediction and gradient out; only train tokens have a gradient.

    Parameters: ``numbers``; ``labels`` that can wait.
    Members: ``x`` stream of logits; ``labels`` stream; ``dx`` stream of errors, one token for each
    of x (zeros unless it trains); ``predictions`` stream, nothing for bubbles.
    Cost: no multiplier; two tables of 64 entries, memories of a few tokens; latency
    2 n + LOSS_FIXED from the last logit to the first error, one token in 3 n + LOSS_TAIL cycles.
    """

    def __init__(self, *, numbers: LossArithmetic, labels: int) -> None:
        self.numbers, self.label_depth = numbers, labels
        super().__init__(
            {
                "x": In(activation_stream(numbers.logit)),
                "labels": In(label_stream()),
                "dx": Out(error_stream(numbers.error)),
                "predictions": Out(prediction_stream(numbers)),
            }
        )
        n = numbers.classes
        self.step = Signal(range(3 * n + LOSS_TAIL), name="step")
        self.index = Signal(range(n), name="index")
        self.bank = Signal(name="bank")
        self.next_index = Signal.like(self.index, name="next_index")
        self.next_bank = Signal(name="next_bank")
        # The class in the next cycle of the last pass
        self.sent = Signal(range(n), name="sent", reset_less=True)
        self.token_kind = Signal(KIND_BITS, name="token_kind")
        self.token_max = Signal(shape_of(numbers.logit), name="token_max")
        self.logarithm = Signal(numbers.sum.bits, name="logarithm")
        # The steps with which passes begin.  That of the sum's logarithm is the second's third one,
        # in which its first exponent needs it.
        self._second = n + POWER
        self._third = self._second + n + ERROR + 1
        self._final = 3 * n + LOSS_TAIL - 1

    @classmethod
    def of(cls, stage: SoftmaxStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(numbers=stage.arithmetic, labels=schedule.label_tokens(stage))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n = self.numbers.classes
        m.submodules.labels = labels = queue(
            platform, width=len(self.labels.payload.as_value()), depth=self.label_depth
        )
        m.submodules.errors = errors = BlockFIFO(width=self.numbers.error.bits, depth=2 * n)
        m.submodules.results = results = BlockFIFO(
            width=len(self.predictions.payload.as_value()), depth=2 * n
        )
        done = Signal(name="done")
        full, logit = self._collect(m, done, platform)
        m.d.comb += [
            labels.w_en.eq(self.labels.valid),
            labels.w_data.eq(self.labels.payload),
            self.labels.ready.eq(labels.w_rdy),
            labels.r_en.eq(done),
        ]
        # For a token more, as known a cycle before, in which the last of another may enter.
        room = delayed(
            m, (errors.level + errors.w_en <= n) & (results.level + results.w_en <= n), 1, "room"
        )
        under_way = Signal(name="under_way")  # the step is not 0
        advance = under_way | (full & labels.r_rdy & room)
        m.d.sync += under_way.eq(advance & ~done)
        self._sequence(m, advance, done)
        label = labels.r_data[KIND_BITS:]
        exponent, power = self._exponential(m, logit, platform)
        self._sum(m, power, platform)
        error, loss = self._probability(m, label, exponent, power, platform)
        self._send(m, errors, results, logit, error, loss)
        return m

    def _collect(self, m: Module, done: Value, platform: object) -> tuple[Value, Value]:
        """Fill the banks; (the current bank is full, the logit that `index` names)."""
        n, shape = self.numbers.classes, shape_of(self.numbers.logit)
        depth, place = BANKS << len(self.index), Cat(self.index, self.bank)
        if is_compact(platform):
            write, read = falling_memory(m, "logits", shape=shape, depth=depth)
        else:
            m.submodules.logits = logits = Memory(shape=shape, depth=depth, init=[])
            write = logits.write_port()
            read = logits.read_port(domain="sync", transparent_for=(write,))
            place = Cat(self.next_index, self.next_bank)
        filling, count = Signal(name="filling"), Signal(range(n), name="count")
        full = Signal(BANKS, name="full")
        least = self.numbers.logit.min
        largest = [Signal(shape, name=f"max_{bank}", init=least) for bank in range(BANKS)]
        kinds = [Signal(KIND_BITS, name=f"kind_{bank}") for bank in range(BANKS)]
        accepted, last = self.x.valid & self.x.ready, count == n - 1
        # A cycle later, since it comes from another unit and is compared with the largest.
        here = delayed(m, accepted, 1, "accepted")
        fills = [
            delayed(m, accepted & (filling == bank), 1, f"fills_{bank}") for bank in range(BANKS)
        ]
        x = Signal.like(self.x.payload, name="x_1", reset_less=True)
        place_1 = delayed(m, Cat(count, filling), 1, "place")
        last_1 = delayed(m, last, 1, "last")
        m.d.sync += x.eq(self.x.payload)
        m.d.comb += [
            self.x.ready.eq(~full.bit_select(filling, 1)),
            write.en.eq(here),
            write.addr.eq(place_1),
            write.data.eq(x.data),
            read.addr.eq(place),
            self.token_kind.eq(Mux(self.bank, kinds[1], kinds[0])),
            self.token_max.eq(Mux(self.bank, largest[1], largest[0])),
        ]
        for bank in range(BANKS):
            with m.If(fills[bank]):
                with m.If(x.data > largest[bank]):
                    m.d.sync += largest[bank].eq(x.data)
                m.d.sync += kinds[bank].eq(x.kind)
                with m.If(last_1):
                    m.d.sync += full[bank].eq(1)
            with m.If(done & (self.bank == bank)):
                m.d.sync += [full[bank].eq(0), largest[bank].eq(least)]
        with m.If(accepted):
            m.d.sync += [count.eq(Mux(last, 0, count + 1)), filling.eq(filling ^ last)]
        m.d.comb += self.next_bank.eq(self.bank ^ done)
        m.d.sync += self.bank.eq(self.next_bank)
        return full.bit_select(self.bank, 1), read.data

    def _sequence(self, m: Module, advance: Value, done: Signal) -> None:
        """The step counter, and the class index that each pass runs through."""
        m.d.comb += done.eq(self._is(m, "ends", self._final))
        begins = self._is(m, "begins", self._second - 1, self._third - 1, self._final)
        m.d.comb += self.next_index.eq(self.index)
        with m.If(advance):
            m.d.comb += self.next_index.eq(Mux(begins, 0, self.index + 1))  # a pass, or goes on
            m.d.sync += self.step.eq(Mux(done, 0, self.step + 1))
        m.d.sync += [
            self.index.eq(self.next_index),
            self.sent.eq(self.step - (self._third - 2)),
        ]

    def _is(self, m: Module, name: str, *steps: int) -> Value:
        """Whether this is one of `steps`, as the step before it knew."""
        return delayed(m, self.step.matches(*(step - 1 for step in steps)), 1, name)

    def _within(self, m: Module, first: int, count: int, name: str) -> Value:
        """Whether this is one of `count` steps from `first` on, as the step before it knew."""
        before = (self.step >= first - 1) & (self.step < first - 1 + count)
        return delayed(m, before, 1, name)

    def _exponential(self, m: Module, logit: Value, platform: object) -> tuple[Value, Value]:
        """t = (max - logit) log2(e) + L EXPONENT cycles after `index`, 2**-t after POWER."""
        numbers = self.numbers
        s1_difference = Signal(numbers.logit.bits, name="s1_difference")
        m.d.sync += s1_difference.eq(self.token_max - logit)
        shift = numbers.exponent_shift
        s3_scaled = summed(m, terms_of(s1_difference, LOG2E_NUMERATOR), "scaled", radix=3)
        # In the first pass none; later the logarithm, and the half that rounds, which is constant.
        summing = self.step <= numbers.classes + POWER
        offset = self.logarithm << shift
        s3_offset = Signal.like(offset, name="s3_offset", reset_less=True)
        m.d.sync += s3_offset.eq(Mux(summing, 0, offset) | (1 << (shift - 1)))
        s4_exponent = Signal(numbers.loss.bits, name="s4_exponent", reset_less=True)
        m.d.sync += s4_exponent.eq((s3_scaled + s3_offset) >> shift)
        part, whole = s4_exponent[:LOG_FRAC], s4_exponent[LOG_FRAC:]
        # Shifted by the low bits, a level of logic each; zero if any of the others is set.
        low = EXP_FRAC.bit_length()
        table = looked_up(m, "exponentials", EXP2, EXP_FRAC + 1, part, platform)
        s5_table = Signal(EXP_FRAC + 1, name="s5_table", reset_less=True)
        s5_whole = Signal(low, name="s5_whole", reset_less=True)
        s6_power = Signal(EXP_FRAC + 1, name="s6_power", reset_less=True)
        m.d.sync += [
            s5_table.eq(Mux(whole[low:].any(), 0, table)),
            s5_whole.eq(whole),
            s6_power.eq(s5_table >> s5_whole),
        ]
        return s4_exponent, s6_power

    def _sum(self, m: Module, power: Value, platform: object) -> None:
        """Sum the powers of the first pass; its logarithm two steps after the last."""
        n, bits = self.numbers.classes, self.numbers.sum.bits
        total = Signal(bits, name="total")
        with m.If(self.step == 0):
            m.d.sync += total.eq(0)
        with m.If(self._within(m, POWER, n, "sums")):
            m.d.sync += total.eq(total + power)
        place, mantissa = Signal(range(bits), name="place"), Signal(LOG_FRAC, name="mantissa")
        with m.If(self.step == n + POWER):
            for top in range(EXP_FRAC, bits):
                with m.If(total[top:] == 1):
                    m.d.sync += [place.eq(top - EXP_FRAC), mantissa.eq(total >> (top - LOG_FRAC))]
        entry = looked_up(m, "logarithms", LOG2, LOG_FRAC + 1, mantissa, platform)
        with m.If(self.step == n + POWER + 1):
            m.d.sync += self.logarithm.eq((place << LOG_FRAC) + entry)

    def _probability(
        self, m: Module, label: Value, exponent: Value, power: Value, platform: object
    ) -> tuple[Value, Value]:
        """(error of the class that `index` names in the last pass, loss of the token)."""
        n, numbers = self.numbers.classes, self.numbers
        if is_compact(platform):
            write, read = falling_memory(m, "kept", shape=numbers.error.bits, depth=n)
        else:
            m.submodules.kept = kept = Memory(shape=numbers.error.bits, depth=n, init=[])
            write, read = kept.write_port(), kept.read_port(domain="comb")
        s7_error = Signal(shape_of(numbers.error), name="s7_error", reset_less=True)
        s8_other = Signal.like(s7_error, name="s8_other")
        others = Signal(signed(numbers.error.bits), name="others")  # their negative sum
        loss = Signal(numbers.loss.bits, name="loss")
        first = self._second
        # Which class' exponent comes in the next cycle: all choices are made ahead of the values.
        coming = Signal(range(n), name="coming", reset_less=True)
        ours = delayed(m, coming == label, 1, "ours")
        our_error = delayed(m, ours, ERROR - EXPONENT, "our_error")
        keeps = self._within(m, first + ERROR, n, "keeps")
        m.d.comb += [
            write.en.eq(keeps),
            write.addr.eq(delayed(m, coming, 1 + ERROR - EXPONENT, "position")),
            write.data.eq(s7_error),
            read.addr.eq(self.index),
        ]
        m.d.sync += [
            coming.eq(self.step - (first + EXPONENT - 2)),
            s7_error.eq(narrow(power, EXP_FRAC, numbers.error, numbers.round_error)[0]),
            s8_other.eq(Mux(keeps & ~our_error, s7_error, 0)),
            others.eq(Mux(self.step == first, 0, others - s8_other)),
        ]
        with m.If(ours & self._within(m, first + EXPONENT, n, "exponents")):
            m.d.sync += loss.eq(exponent)
        # Known a cycle before, for it chooses among what comes out of a memory.
        trains = delayed(m, self.token_kind >= Kind.TRAIN, 1, "trains")
        right = delayed(m, self.sent == label, 1, "right")
        error = Mux(right, others, read.data.as_signed())
        return Mux(trains, error, 0), loss

    def _send(
        self,
        m: Module,
        errors: BlockFIFO,
        results: BlockFIFO,
        logit: Value,
        error: Value,
        loss: Value,
    ) -> None:
        """Queue the last pass' errors and scores; their room was made sure of at step 0."""
        comes = (self.step >= self._third - 1) & (self.step != self._final)
        sending = delayed(m, comes, 1, "sending")
        predicts = delayed(m, self.token_kind != Kind.BUBBLE, 1, "predicts")
        last = delayed(m, self.sent == self.numbers.classes - 1, 1, "last_class")
        result = Signal(self.predictions.payload.shape(), name="result")
        m.d.comb += [
            result.score.eq(logit),
            result.loss.eq(loss),
            result.kind.eq(self.token_kind),
            result.last.eq(last),
            errors.w_en.eq(sending),
            errors.w_data.eq(error),
            results.w_en.eq(sending & predicts),
            results.w_data.eq(result),
            self.dx.payload.eq(errors.r_data),
            self.dx.valid.eq(errors.r_rdy),
            errors.r_en.eq(self.dx.ready),
            self.predictions.payload.eq(results.r_data),
            self.predictions.valid.eq(results.r_rdy),
            results.r_en.eq(self.predictions.ready),
        ]
