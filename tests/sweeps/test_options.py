"""Options as Python has them: values become plain, a configuration that a field does not admit can't be made."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstm_jax import Sweep
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.command_line import FIELDS
from lstm_jax.sweeps.config.differences import differences
from lstm_jax.sweeps.config.execution import LoggingOptions
from lstm_jax.sweeps.config.fields import single, words_of
from lstm_jax.sweeps.config.options import MIN_STEPS, Grid, SweepConfig, TrainingOptions
from lstm_jax.tasks.solved import SOLVED_EVALUATIONS


def test_every_field_says_what_it_admits():
    assert [name for name, hint in FIELDS.items() if "another type" in words_of(hint)] == []


@pytest.mark.parametrize(
    "number", [0.1, 1e-3, 3.4028235e38, 1.17549435e-38, 1e-46, 1e39, -1e39, math.inf, 1 / 3, 1e-40]
)
def test_single_precision_is_that_of_numpy(number):
    with np.errstate(over="ignore"):
        assert single(number) == float(np.float32(number))


def test_the_least_budget_has_the_evaluations_that_solved_means():
    assert MIN_STEPS == SOLVED_EVALUATIONS


def test_differences():
    config = SweepConfig.of(learning_rates=(0.003,), gaps=(5, 10), seeds=(0, 1))
    assert differences(config, config.replace(gaps=(5, 10, 20), seeds=(2, 1, 0), workers=7)) == []
    assert differences(config, config.replace(wandb="disabled", out=Path("elsewhere"))) == []
    two_stages = config.replace(learning_rates=None)
    assert differences(two_stages, config) == ["learning_rates: None there, (0.003,) in this command"]
    assert differences(config, two_stages) == ["learning_rates: (0.003,) there, None in this command"]
    assert differences(config, config.replace(gaps=(10,))) == ["gaps: 5 is there but not in this command"]
    assert differences(config, config.replace(batch_size=8)) == ["batch_size: 32 there, 8 in this command"]


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"max_steps": np.int64(5), "clip_norm": np.float32(0.5)}, {"max_steps": 5, "clip_norm": 0.5}),
        ({"seeds": range(3), "gaps": np.array([5, 10])}, {"seeds": (0, 1, 2), "gaps": (5, 10)}),
        ({"cells": ["rnn"], "out": "x", "dropout": 0}, {"cells": ("rnn",), "out": Path("x"), "dropout": 0.0}),
    ],
)
def test_values_of_scripts_become_plain(options, same):
    assert SweepConfig.of(**options) == SweepConfig.of(**same)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": True}, "max_steps: got True; expected a whole number"),
        ({"max_steps": 5.0}, "max_steps: got 5.0"),
        ({"gaps": 5}, "gaps: got 5; expected one or more whole"),
        ({"cells": "rnn"}, "cells: got 'rnn'; expected one or more of"),
        ({"cells": ["lstm@forget"]}, "cells: 'lstm@forget': 'forget' is no field=value"),
        ({"seeds": {1, 2}}, "seeds: got {1, 2}"),
        ({"stop_when_solved": 1}, "stop_when_solved: got 1; expected true or false"),
        ({"out": None}, "out: got None; expected a directory"),
        ({"task": ""}, "task: got ''; expected gap, copy"),
        ({"slurm.minutes": 0}, "slurm.minutes: got 0"),
        ({"cell": ["rnn"]}, "unknown option 'cell'; did you mean 'cells'"),
    ],
)
def test_a_bad_configuration_can_not_be_made(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        SweepConfig.of(**options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Grid(seeds=(0,), tuning_seeds=(0,)),
        lambda: TrainingOptions(max_steps=1),
        lambda: dataclasses.replace(SweepConfig(), task=""),
        lambda: LoggingOptions(wandb_project="a/b"),
    ],
)
def test_nor_can_a_part_of_one(make):
    with pytest.raises(ConfigError):
        make()


def test_a_group_of_options_is_of_its_class():
    code = """
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.execution import ExecutionOptions, SlurmOptions
from lstm_jax.sweeps.config.options import Grid, ModelOptions, SweepConfig
for cls, options in [(SweepConfig, {"grid": ModelOptions()}), (SweepConfig, {"grid": Grid}),
                     (SweepConfig, {"grid": None}), (ExecutionOptions, {"ray": SlurmOptions()})]:
    try:
        cls(**options)
    except ConfigError as error:
        print(error)
"""  # in a process whose types are not checked, as a user's are not
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert all(re.fullmatch(r"(grid|ray): got .*; expected a (Grid|RayOptions)", line) for line in lines)


@pytest.mark.parametrize(
    "options",
    [
        {"wandb": np.array([1, 2])},
        {"task": ""},
        {"out": "gs://bucket/results"},
        {"slurm.partition": "-x"},
        {"slurm.partition": ""},
        {"slurm.partition": "null"},
        {"ray.address": ".inf"},
        {"wandb_project": "--x"},
        {"wandb_project": "None"},
        {"checkpoint_seconds": -(10**400)},
    ],
)
def test_a_value_that_no_file_could_hold_is_refused_in_one_line(options):
    with pytest.raises(ConfigError, match=rf"^{next(iter(options))}: [^\n]*expected [^\n]*$"):
        SweepConfig.of(**options)


def test_a_path_may_begin_with_the_home_directory_in_every_form(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        SweepConfig.of(learning_rates=(0.003,), out="~/x").out
        == Sweep(learning_rates=(0.003,), out="~/x").config.out
        == tmp_path / "x"
    )


def test_a_negative_zero_is_no_other_identity():
    assert str(SweepConfig.of(learning_rates=(0.003,), dropout=-0.0).model.dropout) == "0.0"
