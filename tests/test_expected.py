"""What benches compare with is golden's trace."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.design.data.sets import synthetic
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.cycle_trace import Trace
from counterflow.sim.bench import ahead
from counterflow.sim.bench.ahead import Ahead, expecting
from counterflow.sim.bench.expected import Expected
from counterflow.sim.bench.job import Job
from counterflow.sim.bench.memories import FEED_TOKENS
from counterflow.sim.simulate import plain_job

TINY = plan(load("tiny"))


def job_of(design: Plan) -> Job:
    samples, description = 3 * FEED_TOKENS, design.description
    data = synthetic(description.elements, description.classes, samples, 1)
    return plain_job(design, data, np.arange(samples), seed=1)


@pytest.fixture(scope="module")
def job() -> Job:
    return job_of(TINY)


def test_blocks_are_the_trace_of_all_tokens_each_fed_once_in_order(job: Job) -> None:
    expected = Expected(TINY, job)
    (_, tokens), *_ = job.runs()
    blocks = list(expected.blocks(tokens))
    assert [token for block in blocks for token in block.tokens] == list(tokens)
    assert all(len(block.tokens) <= FEED_TOKENS for block in blocks)

    trace, golden = Trace(TINY), job.chain(TINY.schedule)
    predictions = golden.run(tokens, job.samples, job.labels, trace)
    rows = np.concatenate([block.rows for block in blocks])
    np.testing.assert_array_equal(rows, trace.take(len(rows)))
    made = [one for block in blocks for one in block.predictions]
    assert [one.loss for one in made] == [one.loss for one in predictions]

    ends = [block.ends for block in blocks]
    assert ends == sorted(ends)
    assert ends[-1]
    assert not blocks[-1].rows.any()


@pytest.mark.parametrize("network", ["tiny", "tiny-conv", "tiny-res"])
def test_another_process_makes_the_same_blocks_and_leaves_golden_as_it_is_at_the_end(
    network: str,
) -> None:
    design = plan(load(network))
    job = job_of(design)
    half, settings = len(job.tokens) // 2, job.chain(design.schedule).settings
    off = replace(settings, predict=False, compensate=False)
    job = replace(job, settings=((0, settings), (half, off)))  # no mitigation in the second run
    here, apart = Expected(design, job), Ahead(Expected(design, job))
    for change, tokens in job.runs():
        both = (one.blocks(tokens, change) for one in (here, apart))
        for want, got in zip(*both, strict=True):
            assert got.tokens == want.tokens
            assert [one.loss for one in got.predictions] == [one.loss for one in want.predictions]
            np.testing.assert_array_equal(got.rows, want.rows)
            assert got.ends == want.ends
    ours, theirs = here.finish(), apart.finish()
    assert theirs.settings == ours.settings == off
    for stage, one, other in zip(design.schedule.stages, ours.units, theirs.units, strict=True):
        for name in stage.remembered:
            np.testing.assert_array_equal(getattr(one.state, name), getattr(other.state, name))
        assert one.saturations == other.saturations
    apart.close()
    assert not multiprocessing.active_children()


def test_only_long_runs_are_made_in_another_process(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(expecting(TINY, job), Expected)
    monkeypatch.setattr(ahead, "WORTH", len(job.tokens) * TINY.schedule.interval)
    long = expecting(TINY, job)
    assert isinstance(long, Ahead)
    long.close()
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert isinstance(expecting(TINY, job), Expected)


def test_a_run_that_is_given_up_leaves_no_process(job: Job) -> None:
    run = Ahead(Expected(TINY, job))
    (_, tokens), *_ = job.runs()
    next(run.blocks(tokens))
    assert multiprocessing.active_children()
    run.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("dies", [False, True])
def test_what_fails_in_the_other_process_is_raised_here(job: Job, dies: bool) -> None:
    class Broken(Expected):
        def blocks(self, *_: Any) -> Any:
            if dies:
                raise SystemExit
            raise ValueError("no such thing")

    run = Ahead(Broken(TINY, job))
    words = "ended before" if dies else "no such thing"
    with pytest.raises(RuntimeError if dies else ValueError, match=words):
        next(run.blocks(job.tokens))
    run.close()
