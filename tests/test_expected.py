"""What benches compare with is golden's trace, whoever takes it and however far."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.golden.cycle_trace import Trace
from counterflow.sim.bench.expected import Expected
from counterflow.sim.bench.job import Job
from counterflow.sim.bench.memories import FEED_TOKENS
from counterflow.sim.simulate import plain_job

TINY = plan(load("tiny"))


@pytest.fixture(scope="module")
def job() -> Job:
    samples, description = 3 * FEED_TOKENS, TINY.description
    data = synthetic(description.elements, description.classes, samples, 1)
    return plain_job(TINY, data, np.arange(samples), seed=1)


def golden_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("golden")]


def test_blocks_are_the_trace_of_all_tokens_each_fed_once_in_order(job: Job) -> None:
    expected = Expected(TINY, job)
    (_, tokens), *_ = job.runs()
    blocks = list(expected.blocks(tokens))
    assert [token for block in blocks for token in block.tokens] == list(tokens)
    assert all(len(block.tokens) <= FEED_TOKENS for block in blocks)

    trace, golden = Trace(TINY), job.chain(TINY.schedule)
    predictions = golden.run(tokens, job.samples, job.labels, trace)
    rows = trace.take(sum(len(block.bits) for block in blocks))
    whole = expected.layout.to_bits(rows)
    np.testing.assert_array_equal(np.concatenate([block.bits for block in blocks]), whole)
    assert [one.loss for one in expected.predictions] == [one.loss for one in predictions]

    ends = [block.ends for block in blocks]
    assert ends == sorted(ends)
    assert ends[-1]
    assert not blocks[-1].bits.any()


def test_whoever_stops_in_the_middle_leaves_no_thread_behind(job: Job) -> None:
    (_, tokens), *_ = job.runs()
    blocks = Expected(TINY, job).blocks(tokens)
    next(blocks)
    assert golden_threads()
    blocks.close()
    assert not golden_threads()


def test_what_golden_cannot_do_is_an_error_where_its_blocks_are_taken(job: Job) -> None:
    short = replace(job, samples=job.samples[:1])
    (_, tokens), *_ = short.runs()
    with pytest.raises(IndexError):
        list(Expected(TINY, short).blocks(tokens))
    assert not golden_threads()
