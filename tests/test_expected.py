"""What benches compare with is golden's trace."""

from __future__ import annotations

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
