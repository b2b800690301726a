"""What a run's identity is made of: settings, the user's own code, jax's options, variables of the environment."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import io
import itertools
import json
from pathlib import Path

import jax
import pytest
import rich.console

from lstm_jax.errors import ConfigError
from lstm_jax.models import count_params
from lstm_jax.registry import is_as_before
from lstm_jax.sweeps import environment, sources
from lstm_jax.sweeps.config.options import FIELDS, ModelOptions, SweepConfig, TrainingOptions, replaced
from lstm_jax.sweeps.job import AS_BEFORE, Job, RunKey
from lstm_jax.sweeps.machine import versions
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.run import run_sweep
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Run, columns_of, read_record, read_runs, run_row, write_record
from lstm_jax.sweeps.views.wandb import OUTCOMES, run_id
from lstm_jax.sweeps.worker.process import work

TINY = SweepConfig.of(
    cells=("rnn",),
    gaps=(2,),
    hidden_dim=5,
    learning_rates=(0.01,),
    seeds=(0,),
    tuning_seeds=(),
    batch_size=8,
    eval_size=32,
    chunk_steps=5,
    max_steps=15,
    executor="serial",
    wandb="disabled",
)


def train(out, **changes):
    console = rich.console.Console(file=io.StringIO(), width=200)
    outcome = run_sweep(TINY.replace(out=out, **changes), console)
    return [dataclasses.replace(run, duration_seconds=0.0) for run in read_runs(out / "runs.csv")], outcome


def job_of(**changes):
    return make_jobs(TINY.replace(**changes))[0][0]


# What jax reads from the environment

OTHER_VALUES = {
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 3,
    "jax_enable_x64": True,
    "jax_disable_jit": True,
    "jax_numpy_rank_promotion": "raise",
    "jax_numpy_dtype_promotion": "strict",
    "jax_transfer_guard": "disallow",
    "jax_debug_nans": True,
}


def test_options_of_jax_change_no_number_and_are_given_back(tmp_path):
    plain, _ = train(tmp_path / "plain")
    before = {name: jax.config.values[name] for name in OTHER_VALUES}
    try:
        for name, value in OTHER_VALUES.items():
            jax.config.update(name, value)
        set_to = {name: jax.config.values[name] for name in OTHER_VALUES}
        other, _ = train(tmp_path / "other")
        assert {name: jax.config.values[name] for name in OTHER_VALUES} == set_to
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
    assert other == plain


def test_every_option_that_draws_numbers_is_pinned():
    """A new version of jax may have new ones: whatever speaks of keys, random numbers, types or precision."""
    words = ("prng", "threefry", "random", "x64", "promotion", "precision", "disable_jit", "optimization", "guard")
    harmless = {"jax_explicit_x64_dtypes", "jax_enable_custom_prng", "jax_array_garbage_collection_guard"}
    spoken_of = {name for name in jax.config.values if any(word in name for word in words)}
    assert spoken_of - harmless <= environment.PINNED.keys()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=1"}, ""),
        ({"XLA_FLAGS": "--xla_dump_to=/tmp/x"}, ""),
        ({"XLA_FLAGS": "--xla_b=1 --xla_a=2 --xla_b=3"}, "--xla_a=2 --xla_b=3"),
        ({"XLA_FLAGS": "--xla_backend_optimization_level=0"}, "--xla_backend_optimization_level=0"),
        ({"JAX_SOMETHING_NEW": "1", "JAX_LOG_COMPILES": "1", "JAX_ENABLE_X64": "1"}, "JAX_SOMETHING_NEW=1"),
        ({"NVIDIA_TF32_OVERRIDE": "0"}, "NVIDIA_TF32_OVERRIDE=0"),
    ],
)
def test_what_cannot_be_pinned_is_recorded(monkeypatch, variables, expected):
    monkeypatch.setattr(environment, "has_accelerator", lambda: False)
    monkeypatch.delenv("XLA_FLAGS")  # those of all tests
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment.environment() == expected


def test_variables_that_have_no_effect_are_named(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert environment.overridden() == ["JAX_ENABLE_X64"]


def test_runs_of_two_environments_are_not_mixed(tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS")
    train(tmp_path / "out")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    with pytest.raises(ConfigError, match=r"without flags there, --xla_cpu_enable_fast_math=true here"):
        train(tmp_path / "out", seeds=(0, 1))


# The user's own code

CELL = """
import dataclasses
from lstm_jax.cells.rnn import RNN
from own_bias import BIAS

@dataclasses.dataclass(frozen=True)
class Mine(RNN):
    '''A cell.'''
    start: float = {default}

    def init(self, key, input_dim, dtype="float32"):
        params = super().init(key, input_dim, dtype)
        return params._replace(bias=params.bias + self.start + BIAS)
"""
BIAS = "BIAS = {bias}\n"


@pytest.fixture
def hash_of_own(tmp_path, monkeypatch):
    """Writes the modules of a user, and gives the settings' hash of a job with the cell in them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = itertools.count()

    def hash_of(default=1.0, bias=0.5, comment="", label="own_cell_{}:Mine"):
        (tmp_path / "own_bias.py").write_text(BIAS.format(bias=bias))
        name = f"own_cell_{next(names)}"  # each as a fresh process sees it: no module is loaded twice
        (tmp_path / f"{name}.py").write_text(comment + CELL.format(default=default))
        importlib.invalidate_caches()
        for cached in (sources._module_digest, sources._tree, sources._imported_by):
            cached.cache_clear()
        job = job_of(cells=(label.format(name.removeprefix("own_cell_")),))
        return {
            key: str(value).replace(name, "own_cell") for key, value in job.settings.flat.items() if key != "code"
        }, (_code(job, name))

    def _code(job, name):
        training = job.training()
        described = repr(sources.describe(training)).replace(name, "own_cell")
        modules = sorted(sources._own_modules(name))
        return described, [sources._module_digest(each) for each in modules]

    return hash_of


def test_an_edited_cell_is_another_cell(hash_of_own):
    first = hash_of_own()
    assert hash_of_own() == first
    assert hash_of_own(comment="# A comment changes nothing.\n") == first
    assert hash_of_own(default=-4.0) != first
    assert hash_of_own(bias=0.25) != first, "a module that the cell's module imports is part of it"
    assert hash_of_own() == first


def test_the_hash_has_the_code_in_it():
    job = job_of()
    assert job.settings.code == sources.code_digest(job.training())
    assert dataclasses.replace(job.settings, code="other").hash != job.settings.hash


def test_a_worker_with_other_code_than_the_plan_refuses(tmp_path):
    job = job_of()
    job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, code="0123456789ab"))
    result = work(job, tmp_path)
    assert result.status == "failed" and "is not that of the command's start" in result.reason


def test_an_edited_checkout_is_another_version(tmp_path, monkeypatch):
    """Its version has a digest of the files that make numbers, which comments don't change."""
    assert f"lstm_jax {importlib.metadata.version('lstm_jax')}+{sources.own_digest()}" in versions()
    tree = __import__("ast").parse("def f(x):\n    '''A text.'''\n    return x + 1  # more\n")
    same = __import__("ast").parse("def f(x):\n    return (x+1)\n")
    other = __import__("ast").parse("def f(x):\n    return x + 2\n")
    assert sources._tree_digest(tree) == sources._tree_digest(same) != sources._tree_digest(other)


# Settings

OTHER_SETTINGS = {
    "task": "gap@filler=blank",
    "cells": ("gru",),
    "gaps": (3,),
    "learning_rates": (0.02,),
    "seeds": (1,),
    "hidden_dim": 6,
    "num_layers": 2,
    "dropout": 0.1,
    "embedding_dim": 5,
    "optimizer": "rmsprop",
    "schedule": "cosine",
    "warmup_steps": 3,
    "precision": "tf32",
    "clip_norm": float("inf"),
    "backward": "states",
    "truncation": 2,
    "batch_size": 9,
    "max_steps": 16,
    "chunk_steps": 4,
    "eval_size": 33,
    "stop_when_solved": False,
    "lanes": 2,
}
CHANGE_NO_NUMBER = {
    "beside": Path("elsewhere"),
    "preset": "smoke",
    "tuning_seeds": (7,),
    "num_params": 1000,  # with hidden_dim given
    "executor": "process",
    "workers": 1,
    "checkpoint_seconds": 5.0,
    "accept_changes": True,
    "wandb": "offline",
    "wandb_project": "other",
}


def test_every_option_is_tried():
    """One that is new must be put into one of the two lists."""
    names = {name for name in FIELDS if not name.startswith(("ray.", "slurm."))} - {"out"}
    assert names == OTHER_SETTINGS.keys() | CHANGE_NO_NUMBER.keys()


def id_of(job):
    return run_id(run_row(job, job.training(), job.runs[0], "unsolved"))


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_an_option_that_changes_numbers_changes_the_identity_and_the_wandb_id(name):
    job, other = job_of(), job_of(**{name: OTHER_SETTINGS[name]})
    is_key = name in ("learning_rates", "seeds")  # of the run, not of its job
    assert (job.settings.hash != other.settings.hash) is not is_key
    assert id_of(job) != id_of(other)


@pytest.mark.parametrize("name", CHANGE_NO_NUMBER)
def test_another_option_changes_neither(name):
    job, other = job_of(), job_of(**{name: CHANGE_NO_NUMBER[name]})
    assert job.settings.hash == other.settings.hash
    assert id_of(job) == id_of(other)


HASHES = {"adam": ("bf4dfcfc0f23", "7c236136085a"), "rmsprop": ("cfbc4a04c1f9", "91a33b67027d")}
"""Of TINY's job and of its code, before there were schedules, precisions and settings of optimizers."""


@pytest.mark.parametrize("optimizer", HASHES)
def test_a_run_made_before_an_option_keeps_its_identity(optimizer):
    settings = job_of(optimizer=optimizer).settings
    assert (settings.hash, settings.code) == HASHES[optimizer]


def test_an_option_that_came_later_is_marked_where_it_stands():
    """And a default that changes afterwards is no longer what all had before."""
    assert AS_BEFORE == {"schedule": "constant", "warmup_steps": 0, "precision": "float32"}
    assert AS_BEFORE.items() <= job_of().settings.flat.items(), "records state it nevertheless"
    field = dataclasses.field(default=1, metadata={"before": 0})
    assert is_as_before(field, 0) and not is_as_before(field, 1)
    assert not is_as_before(dataclasses.field(default=0), 0)


def test_a_record_made_before_an_option_says_what_it_was(tmp_path):
    _, outcome = train(tmp_path / "out")
    (record,) = outcome.records
    old = {name: value for name, value in record.settings.items() if name not in AS_BEFORE}
    write_record(tmp_path / "old.json", dataclasses.replace(record, settings=old))
    assert read_record(tmp_path / "old.json").settings == record.settings
    write_record(tmp_path / "older.json", dataclasses.replace(record, settings={}))
    assert read_record(tmp_path / "older.json").settings == {}


OPTIMIZERS = ["adam@b1=0.8", "adam@b1=0.7", "adamw", "adamw@weight_decay=0.01", "optax:adam", "own_optimizers:signs"]


def test_each_optimizer_and_setting_is_another_identity():
    jobs = [job_of(optimizer=name) for name in ["adam", "rmsprop", *OPTIMIZERS]]
    assert len({job.settings.hash for job in jobs}) == len({id_of(job) for job in jobs}) == len(jobs)
    schedules = [("cosine", 0), ("linear", 0), ("linear", 3), ("linear", 4), ("constant", 3)]
    jobs = [job_of(schedule=kind, warmup_steps=steps) for kind, steps in schedules]
    assert len({job.settings.hash for job in jobs}) == len(jobs)
    assert len({job.settings.code for job in jobs}) == len(jobs)


def test_an_edited_optimizer_is_another_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "import optax\n\ndef {name}(learning_rate, decay={decay}):\n    return optax.sgd(learning_rate, decay)\n"
    found = []
    for name, decay in (("first", 0.5), ("other", 0.9)):  # each as a fresh process sees it
        (tmp_path / f"own_{name}.py").write_text(source.format(name="momentum", decay=decay))
        importlib.invalidate_caches()
        training = job_of(optimizer=f"own_{name}:momentum").training()
        assert set(sources._own_modules(f"own_{name}")) == {f"own_{name}"}
        assert f"own_{name}" in {each.__module__ for each in sources._classes_of(training)}
        found.append(sources._module_digest(f"own_{name}"))
    assert found[0] != found[1]


def test_an_id_is_of_the_row_alone_and_of_all_that_is_no_outcome():
    row = Run("rnn-gap2", "rnn", "gap", 2, 0, 0.01, 5, 9, 0.5, "solved", 5, 15, 1.0, 0.1, 0.125, 2.0)
    for name in columns_of(Run):
        value = getattr(row, name)
        another = "unsolved" if name == "status" else f"{value}, another" if isinstance(value, str) else 7
        other = dataclasses.replace(row, **{name: float(another) if isinstance(value, float) else another})
        assert (run_id(row) == run_id(other)) is (name in OUTCOMES), name


def test_every_field_of_settings_is_part_of_the_identity():
    settings = job_of().settings
    assert json.loads(json.dumps(settings.flat, allow_nan=False)) == settings.flat
    assert {field.name for field in dataclasses.fields(Job)} == {"settings", "runs", "checkpoint_seconds", "num_more"}
    own = {"cell", "task", "gap", "code"}
    names = own | {field.name for part in (ModelOptions, TrainingOptions) for field in dataclasses.fields(part)}
    assert settings.flat.keys() == names


def test_every_option_alone_is_another_identity():
    """Also where it is not in the code's digest, of which another of the same code knows nothing."""
    settings = dataclasses.replace(job_of().settings, code="0123456789ab")
    names = OTHER_SETTINGS.keys() & settings.flat.keys()
    assert {*AS_BEFORE, "optimizer", "batch_size", "hidden_dim", "truncation", "lanes"} <= names
    hashes = {name: replaced(settings, **{name: OTHER_SETTINGS[name]}).hash for name in names}
    assert len({settings.hash, *hashes.values()}) == 1 + len(names)


def test_records_have_their_settings(tmp_path):
    _, outcome = train(tmp_path / "out")
    (record,) = outcome.records
    job = job_of(out=tmp_path / "out")
    assert record.settings == job.settings.flat
    assert Directory(tmp_path / "out").records([job]) == [record]


# Sizes

GROWING = "own_tasks:GrowingVocabulary"


def test_sizes_are_of_the_real_arrays_at_each_gap_whatever_their_order():
    config = TINY.replace(task=GROWING, cells=("rnn", "lstm"), hidden_dim=None, num_params=4000)
    found = []
    for gaps in ((2, 40, 100), (100, 2, 40)):
        jobs, _ = make_jobs(config.replace(gaps=gaps))
        assert all(job.settings.num_params == count_params(job.training().model) for job in jobs)
        assert all(abs(job.settings.num_params / 4000 - 1) < 0.03 for job in jobs)
        found.append({(job.settings.cell, job.settings.gap): job.settings.hidden_dim for job in jobs})
    assert found[0] == found[1]
    assert len({hidden_dim for (cell, _), hidden_dim in found[0].items() if cell == "rnn"}) > 1


def test_a_size_that_is_off_at_one_gap_is_named():
    config = TINY.replace(task=GROWING, gaps=(2, 40), hidden_dim=None, num_params=1200)
    jobs, warnings = make_jobs(config)
    off = [job for job in jobs if abs(job.settings.num_params / 1200 - 1) > 0.01]
    assert off and len(warnings) == len(off)
    assert all(f"at gap {job.settings.gap} is {job.settings.num_params}" in " ".join(warnings) for job in off)


# What a sweep from Python checks and trains


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning_seeds": (0,)}, "tuning_seeds: got 0"),
        ({"learning_rates": (0.1, 0.2)}, "tuning_seeds: got none"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"seeds": ()}, "seeds: got none"),
    ],
)
def test_a_bad_configuration_is_refused_before_anything_is_made(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_with_one_learning_rate_no_tuning_seed_is_trained():
    assert job_of(tuning_seeds=(7,)).runs == (RunKey(0, 0.01),)
    assert {key.seed for key in job_of(tuning_seeds=(7,), learning_rates=(0.01, 0.02)).runs} == {0, 7}


def test_a_call_of_an_agent_trains_them_as_other_rates_are_other_calls(monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "x")
    assert {key.seed for key in job_of(tuning_seeds=(7,)).runs} == {0, 7}


def test_what_was_left_open_is_filled_in(tmp_path):
    _, outcome = train(tmp_path / "out", batch_size=None, embedding_dim=None, dropout=None)
    assert (outcome.config.training.batch_size, outcome.config.model.embedding_dim, outcome.config.model.dropout) == (
        32,
        16,
        0.0,
    )


def test_runs_of_other_settings_are_kept_and_not_pooled(tmp_path):
    train(tmp_path / "out")
    rows, outcome = train(tmp_path / "out", accept_changes=True, batch_size=9, seeds=(0, 1))
    assert [run.seed for run in rows] == [0, 1]
    assert [record.run.seed for record in outcome.records] == [1]
