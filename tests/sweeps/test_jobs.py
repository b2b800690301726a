"""From a grid to jobs: sizes on equal terms, sizes that fit, labels that mean one cell each."""

from __future__ import annotations

import dataclasses
import functools
import pickle

import jax
import numpy as np
import pytest

from experiments import copy_task, gap_length
from lstm_jax import models
from lstm_jax.cells.lstm import LSTM
from lstm_jax.errors import ConfigError
from lstm_jax.models import count_params
from lstm_jax.sweeps.config.execution import ExecutionOptions
from lstm_jax.sweeps.config.options import SweepConfig, replaced
from lstm_jax.sweeps.job import RunKey
from lstm_jax.sweeps.machine import num_workers
from lstm_jax.sweeps.plan import FLOATS_PER_STEP, make_jobs, memory_bytes, sized
from lstm_jax.training import Hypers

HYPERS = Hypers(np.uint32(0), np.float32(0.1), np.float32(1))
SMALL = SweepConfig.of(learning_rates=(0.003,), cells=("rnn", "lstm"), gaps=(2, 4), hidden_dim=5)


def changed(job, **options):
    return dataclasses.replace(job, settings=replaced(job.settings, **options))


def test_a_job_for_each_cell_and_gap_with_all_runs():
    jobs, warnings = make_jobs(SMALL.replace(learning_rates=(0.1, 0.2), seeds=(1,), tuning_seeds=(7,)))
    assert {(job.settings.cell, job.settings.gap) for job in jobs} == {("rnn", 2), ("rnn", 4), ("lstm", 2), ("lstm", 4)}
    assert all(set(job.runs) == {RunKey(s, r) for s in (1, 7) for r in (0.1, 0.2)} for job in jobs)
    assert [job.settings.gap for job in jobs] == [4, 4, 2, 2], "the most expensive first: workers end together"
    assert warnings == []


def test_a_cell_is_given_the_distance_that_its_task_has():
    """In the copy task symbols are held longer than T: told T, chrono initialisation would begin at 0 for T = 1, 2."""
    for task, extra in (("copy@num_recalled=3", 3), ("gap", 0)):
        jobs, _ = make_jobs(SMALL.replace(task=task, cells=("lstm@chrono=true", "gru"), gaps=(1, 2)))
        assert all(job.training().model.cells[0].gap == job.settings.gap + extra for job in jobs)
    biases = LSTM(9, chrono=True, gap=1 + 3).init(jax.random.key(0), 2).bias[9:18]
    assert biases.min() >= 0 and biases.max() > 0.5


def test_num_params_is_what_the_model_has():
    jobs, _ = make_jobs(SMALL)
    for job in jobs:
        assert job.settings.num_params == count_params(job.training().model)


@pytest.mark.parametrize(
    "config",
    [preset for module in (gap_length, copy_task) for preset in module.EXPERIMENT.presets.values()],
    ids=lambda config: f"{config.task}-{config.preset}",
)
def test_presets_meet_on_equal_terms(config):
    """Within 1% of one parameter count."""
    jobs, warnings = make_jobs(config.replace(gaps=config.grid.gaps[:1]))
    assert warnings == []
    assert all(abs(job.settings.num_params / config.model.num_params - 1) <= 0.01 for job in jobs)


def test_nearest_size_and_a_warning_where_it_is_far():
    config = SweepConfig.of(learning_rates=(0.003,), cells=("lstm",), gaps=(2,), num_params=900)
    jobs, warnings = make_jobs(config)
    counts = {h: count_params(changed(jobs[0], hidden_dim=h).training().model) for h in range(1, 12)}
    for wanted in (1, counts[1], counts[2] - 1, 300, counts[7], counts[10] + 1, 900):
        best = min(counts, key=lambda h: abs(counts[h] - wanted))
        assert sized(config.replace(num_params=wanted), "lstm", 2).hidden_dim == best
    assert jobs[0].settings.hidden_dim == best
    assert len(warnings) == 1 and "within 1%" in warnings[0]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "min_gru", "own_cells:Leaky"])
@pytest.mark.parametrize(("wanted", "most"), [(3500, 8), (200_000, 11)])
def test_few_models_are_traced_to_find_a_size(cell, wanted, most, monkeypatch):
    traced = []
    monkeypatch.setattr(models, "count_params", lambda model: traced.append(model) or count_params(model))
    assert sized(SweepConfig.of(num_params=wanted), cell, 2).num_params == pytest.approx(wanted, rel=0.03)
    assert len(traced) <= most


@pytest.mark.parametrize("hidden_dim", [1_000_000, 10**9, 2**31 - 1])
def test_a_size_that_would_not_fit_is_refused_before_anything_compiles(hidden_dim):
    with pytest.raises(ConfigError, match=r"hidden_dim.* GiB a worker; expected at most"):
        make_jobs(SMALL.replace(hidden_dim=hidden_dim))


def test_a_gap_that_would_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"gap 1000000000 needs .* GiB"):
        make_jobs(SMALL.replace(gaps=(10**9,)))


def test_memory_grows_with_what_it_should():
    job = make_jobs(SMALL)[0][0]
    for field in ("batch_size", "hidden_dim", "gap", "num_layers"):
        larger = changed(job, **{field: 100 * job.settings.flat[field]})
        assert memory_bytes(larger, "states") > 10 * memory_bytes(job, "states")


@functools.cache
@functools.cache
def job_and_evaluation(cell):
    """A job, and what its evaluation takes, which no backward mode has a part in."""
    config = SweepConfig.of(learning_rates=(0.003,), cells=(cell,), gaps=(100,), hidden_dim=32)
    job = make_jobs(config)[0][0]
    training = job.training()
    return job, bytes_of(jax.jit(training.evaluate).lower(jax.eval_shape(training.init, HYPERS)))


def bytes_of(lowered):
    used = lowered.compile().memory_analysis()
    return used.temp_size_in_bytes + used.output_size_in_bytes + used.argument_size_in_bytes


# In short the cell that keeps most has every mode, the others two each; `make test-faults` tries all.
FEW = {("rnn", "autodiff"), ("rnn", "states"), ("gru", "activations"), ("gru", "checkpoint")}
MEMORY = [
    pytest.param(cell, backward, marks=[] if cell == "lstm" or (cell, backward) in FEW else pytest.mark.long)
    for cell in ("rnn", "gru", "lstm")
    for backward in FLOATS_PER_STEP
]


@pytest.mark.parametrize(("cell", "backward"), MEMORY)
def test_memory_estimate_covers_what_the_compiler_says(cell, backward):
    job, in_evaluation = job_and_evaluation(cell)
    training = job.training(backward)
    state = jax.eval_shape(training.init, HYPERS)
    used = max(in_evaluation, bytes_of(jax.jit(training.advance).lower(state, HYPERS, np.int32(1))))
    assert used < memory_bytes(job, backward) < 10 * used


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": ("lsmt",)}, "cells: unknown cell 'lsmt': did you mean 'lstm'"),
        ({"cells": ("lstm@forget=1",)}, "cells: .*unknown setting 'forget'; did you mean 'forget_bias'"),
        ({"cells": ("nowhere.at_all:Cell",)}, "cells: .*can't import 'nowhere.at_all'"),
        ({"cells": ("own_cells:NotACell",)}, "cells: .*expected"),
        ({"task": "gpa"}, "task: unknown task 'gpa': did you mean 'gap'"),
        ({"task": "gap@length=5"}, "task: .*length: expected at least gap"),
        ({"task": "own_tasks:ShortOnly", "gaps": (5, 6)}, "gap: expected at most 5, got 6"),
        ({"cells": ("lstm", "lstm@forget_bias=1.0")}, "'lstm' and 'lstm@forget_bias=1.0' are the same cell"),
        ({"task": "own_tasks:Broken"}, "task: 'own_tasks:Broken' can't be made .AttributeError"),
        ({"cells": ("own_cells:Unsizable",), "hidden_dim": None}, "expected it to grow to num_params, 5530"),
        ({"cells": ("own_cells:Exploding",)}, "can't be made .*RuntimeError: no luck"),
    ],
)
def test_cells_and_tasks_that_cannot_be_made(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_jobs(SMALL.replace(**changes))


def test_job_names_are_file_names():
    job = make_jobs(SMALL)[0][0]
    names = {changed(job, cell=cell).name for cell in ("../../x:Y", "a/b:C", "a_b:C", "lstm@init=orthogonal")}
    assert len(names) == 4
    assert all("/" not in name and name not in (".", "..") for name in names)
    assert "lstm@init=orthogonal-gap4" in names


def test_default_workers_are_the_cores_we_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert num_workers(ExecutionOptions()) == 3
    assert num_workers(ExecutionOptions(workers=9)) == 9


def test_names_are_read_once(monkeypatch):
    """Where the configuration is made; jobs and their training take the value, in this process and in a worker."""
    config = SMALL.replace(cells=("rnn", "lstm@forget_bias=5,init=orthogonal"), task="gap@filler=blank")
    monkeypatch.setattr("lstm_jax.registry._SPEC", None)
    jobs, _ = make_jobs(config)
    sent = pickle.loads(pickle.dumps(jobs))
    assert [job.settings.hash for job in sent] == [job.settings.hash for job in jobs]
    assert {job.training().task.filler for job in sent} == {"blank"}


def test_lanes_take_memory_each(monkeypatch):
    """As many as fit side by side are planned, and no more."""
    config = SMALL.replace(cells=("rnn",), gaps=(4,), backward="states", executor="serial", lanes=3)
    (job,), _ = make_jobs(config)
    monkeypatch.setattr("lstm_jax.sweeps.plan.has_accelerator", lambda: False)
    monkeypatch.setattr("lstm_jax.sweeps.plan.available_bytes", lambda: 3 * memory_bytes(job, "states") + 1)
    make_jobs(config)
    with pytest.raises(ConfigError, match="GiB a worker; expected at most"):
        make_jobs(config.replace(lanes=4))
