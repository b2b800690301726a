"""Which job is next: pure, so that it is tested without processes, files and clocks."""

from __future__ import annotations

import pytest

from lstm_jax.sweeps.config.options import ModelOptions, TrainingOptions
from lstm_jax.sweeps.job import Job, Settings
from lstm_jax.sweeps.queue import BUSY_SECONDS, MAX_ATTEMPTS, JobQueue


@pytest.fixture
def jobs():
    return [Job(Settings("rnn", "gap", gap, ModelOptions(), TrainingOptions())) for gap in (3, 2, 1)]


def taken(queue, now=0.0):
    found = []
    while (job := queue.take(now)) is not None:
        found.append(job.settings.gap)
    return found


def test_jobs_come_in_their_order_and_once(jobs):
    queue = JobQueue(jobs)
    assert queue and taken(queue) == [3, 2, 1]
    assert not queue and queue.take(0.0) is None


def test_a_job_that_is_put_back_comes_behind_the_others(jobs):
    queue = JobQueue(jobs)
    queue.put(queue.take(0.0))
    assert taken(queue) == [2, 1, 3]


def test_a_job_that_another_worker_holds_comes_later(jobs):
    queue = JobQueue(jobs[:1])
    queue.put_later(queue.take(0.0), now=10.0)
    assert queue, "it is not forgotten"
    assert taken(queue, 10.0 + 0.9 * BUSY_SECONDS) == []
    assert taken(queue, 10.0 + BUSY_SECONDS) == [3]


def test_a_job_whose_worker_dies_is_tried_so_many_times_and_no_other_pays_for_it(jobs):
    queue = JobQueue(jobs[:2])
    for _ in range(MAX_ATTEMPTS - 1):
        assert queue.put_after_death(jobs[0])
    assert not queue.put_after_death(jobs[0])
    assert queue.put_after_death(jobs[1])
    assert taken(queue) == [3, 2, *[3] * (MAX_ATTEMPTS - 1), 2]


def test_after_a_signal_no_job_starts(jobs):
    queue = JobQueue(jobs)
    queue.put_later(queue.take(0.0), now=0.0)
    queue.clear()
    assert not queue and taken(queue, 1e9) == []
