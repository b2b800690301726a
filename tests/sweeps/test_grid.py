"""One sweep file, two ways: `--grid FILE` and wandb's agents come to the same runs."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import commands
import hypothesis.strategies as st
import pytest
import yaml
from commands import PATHS
from hypothesis import given, settings

from experiments import common, to_wandb
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.grid import parse_commands, read_grid
from lstm_jax.sweeps.config.options import Grid, SweepConfig
from lstm_jax.sweeps.run import Plan

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "experiments" / "gap_length.yaml"
PRESETS = {
    "quick": SweepConfig.of(learning_rates=(0.003, 0.01)),
    "smoke": SweepConfig.of(
        learning_rates=(0.003,), preset="smoke", cells=("rnn", "lstm"), gaps=(2, 4), seeds=(0, 1), max_steps=10
    ),
}


@pytest.fixture(autouse=True)
def _not_in_an_agent(monkeypatch):
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def parse(*argv):
    return [command.sweep for command in parse_commands(PRESETS, [str(each) for each in argv], "prog", "description")]


def written(path, tree):
    file = path / "grid.yaml"
    file.write_text(tree if isinstance(tree, str) else yaml.dump({"method": "grid", **tree}))
    return file


def runs_of(sweeps):
    """Every training: its place in the grid, and all other settings."""
    return {
        (cell, gap, rate, seed, dataclasses.replace(sweep, out=Path(), grid=Grid()))
        for sweep in sweeps
        for cell in sweep.grid.cells
        for gap in sweep.grid.gaps
        for rate in sweep.grid.learning_rates
        for seed in (*sweep.grid.seeds, *sweep.grid.tuning_seeds)
    }


def agents_calls(file):
    """The arguments of each call that wandb's agents make."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args, load_sweep_config

    # wandb reads the file, its server sends JSON, and its grid search is a product (checked against `sweeps` 0.3.0).
    parameters = json.loads(json.dumps(load_sweep_config(str(file))))["parameters"]
    choices = [entry["values"] if "values" in entry else [entry["value"]] for entry in parameters.values()]
    for values in itertools.product(*choices):
        point = {name: {"value": value} for name, value in zip(parameters, values, strict=True)}
        yield create_sweep_command_args({"args": point})["args"]


def runs_of_agents(file):
    sweeps = [parse(*arguments) for arguments in agents_calls(file)]
    assert all(len(each) == 1 for each in sweeps)
    return runs_of(itertools.chain(*sweeps))


def test_the_example():
    runs = runs_of(parse("--grid", EXAMPLE))
    assert runs == runs_of_agents(EXAMPLE)
    assert {run[:4] for run in runs} == set(itertools.product(("rnn", "lstm"), (2, 4), (0.01,), (0, 1)))
    assert len(list(agents_calls(EXAMPLE))) == len(runs), "no run is trained twice"


BOTH_WAYS = {
    "dashes, dots": "hidden-dim: {values: [16, 32]}\nbatch_size: {value: 8}\nslurm.partition: {value: a-b}",
    "lists as values": "seeds: {values: [[0, 1], 2]}\ntuning_seeds: {value: []}\nlearning_rates: {value: [1e-3]}",
    "tuning seeds": "learning_rates: {values: [1e-3, 0.1, 1.0e-4]}\nseeds: {value: [0, 1]}\ntuning_seeds: {value: [7]}",
    "cells with settings": "cells: {values: [rnn, 'lstm@forget_bias=5,init=orthogonal', my.cells:Mine]}",
    "cells in a list": """cells: {value: [rnn, 'lstm@forget_bias=5,init="orthogonal"', "it's:Mine"]}""",
    "none and flags": "hidden_dim: {values: [null, 8]}\naccept_changes: {values: [true, False]}\nworkers: {value: ~}",
    "numbers as YAML has them": "clip_norm: {values: [1, 2.5, inf, 1_000]}\nmax_steps: {value: 100}",
    "tasks": "task: {values: [gap, gap@filler=blank, copy]}\npreset: {values: [smoke, quick]}",
}


@pytest.mark.parametrize("parameters", BOTH_WAYS.values(), ids=BOTH_WAYS)
def test_both_ways(tmp_path, parameters):
    lines = "".join(f"  {line}\n" for line in f"gaps: {{values: [2, 4]}}\n{parameters}".splitlines())
    rates = "" if "learning_rates" in lines else "  learning_rates: {value: 0.01}\n"
    file = written(tmp_path, f"method: grid\nparameters:\n{lines}{rates}")
    assert runs_of(parse("--grid", file)) == runs_of_agents(file)


def entries(values):
    lists = st.lists(values, min_size=1, max_size=2, unique=True)
    return st.builds(lambda chosen: {"values": chosen}, lists) | st.builds(lambda chosen: {"value": chosen}, values)


@settings(max_examples=10, deadline=None)
@given(
    st.fixed_dictionaries(
        {"learning_rates": st.builds(lambda rate: {"value": rate}, st.floats(1e-8, 10))},
        optional={
            "cells": entries(st.sampled_from(["rnn", "gru", "lstm@forget_bias=5,init=orthogonal", "a.b:C"])),
            "gaps": entries(st.integers(1, 10**9)),
            "seeds": entries(st.integers(0, 99)),
            "tuning-seeds": st.sampled_from([{"value": []}, {"value": [4294967295]}, {"values": [100, 200]}]),
            "clip_norm": entries(st.floats(1e-30, 1e30)),
            "hidden_dim": entries(st.none() | st.integers(1, 100)),
            "optimizer": entries(st.sampled_from(["adam", "rmsprop"])),
            "slurm.gpus": entries(st.integers(0, 8)),
            "accept_changes": entries(st.booleans()),
        },
    )
)
def test_generated_files_both_ways(tmp_path_factory, parameters):
    file = written(tmp_path_factory.mktemp("grid"), {"parameters": parameters})
    assert runs_of(parse("--grid", file)) == runs_of_agents(file)


def test_values_of_the_grid_are_one_sweep_and_others_a_sweep_for_each_combination(tmp_path):
    file = written(
        tmp_path,
        {
            "parameters": {
                "hidden_dim": {"values": [16, None]},
                "gaps": {"values": [2, [3, 4]]},
                "task": {"values": ["gap@filler=blank", "a/b:Task"]},
                "batch_size": {"value": 8},
            }
        },
    )
    sweeps = parse("--grid", file, "--out", tmp_path)
    assert [str(sweep.out.relative_to(tmp_path)) for sweep in sweeps] == [
        "hidden_dim=16,task=gap@filler=blank",
        "hidden_dim=16,task=a%2Fb%3ATask",
        "hidden_dim=None,task=gap@filler=blank",
        "hidden_dim=None,task=a%2Fb%3ATask",
    ]
    assert {(sweep.grid.gaps, sweep.training.batch_size) for sweep in sweeps} == {((2, 3, 4), 8)}
    assert [(sweep.model.hidden_dim, sweep.task) for sweep in sweeps] == [
        (16, "gap@filler=blank"),
        (16, "a/b:Task"),
        (None, "gap@filler=blank"),
        (None, "a/b:Task"),
    ]


def test_options_override_the_grid_that_overrides_the_file_that_overrides_the_preset(tmp_path):
    (tmp_path / "config.yaml").write_text("preset: smoke\nbatch_size: 4\neval_size: 5\nlearning_rates: [0.1]\n")
    parameters = {
        "batch-size": {"values": [6, 7]},
        "hidden_dim": {"values": [8, 9]},
        "seeds": {"values": [0, 1]},
        "chunk_steps": {"value": 3},
    }
    argv = ["--grid", written(tmp_path, {"parameters": parameters}), "--config", tmp_path / "config.yaml"]
    first, *others = parse(*argv, "--hidden_dim=10", "--seeds", "5", "--chunk-steps", "2", "--out", "out")
    assert len(others) == 1 and (first.training.batch_size, others[0].training.batch_size) == (6, 7)
    assert [first.flat[name] for name in ("max_steps", "eval_size", "hidden_dim", "seeds", "chunk_steps")] == [
        10,
        5,
        10,
        (5,),
        2,
    ]
    assert first.out == Path("out/batch_size=6"), "what an option sets is not swept any more"
    assert [sweep.out for sweep in parse(*argv, "--batch-size=1", "--hidden-dim=1", "--out", "out")] == [Path("out")]


BAD = [
    ("gaps: {values: [2]}", "unknown key 'gaps'; choose from method, parameters"),
    ("method: grid", "parameters: got none; expected name"),
    ("method: grid\nparameters: [a]", "parameters: got"),
    ("parameters: {gaps: {value: 2}}", "method: got none; expected grid"),
    ("method: bayes\nparameters: {gaps: {value: 2}}", "method: got bayes; expected grid"),
    ("method: grid\nparamters: {gaps: {value: 2}}", "unknown key 'paramters'; did you mean 'parameters'"),
    ("method: grid\nrun_cap: 3\nparameters: {gaps: {value: 2}}", "run_cap: got 3; expected none"),
    ("method: grid\nearly_terminate: {type: hyperband}\nparameters: {}", "early_terminate: got"),
    ("method: grid\ncommand: python\nparameters: {gaps: {value: 2}}", "command: got python; expected a list"),
    ("method: grid\ncommand: [a, --preset=smoke]\nparameters: {gaps: {value: 2}}", "command: got '--preset=smoke'"),
    ("method: grid\ncommand: [a, --config, b]\nparameters: {gaps: {value: 2}}", "command: got '--config'; expected it"),
]
BAD_PARAMETERS = [
    ("gap: {value: 2}", "unknown parameter 'gap'; did you mean 'gaps'"),
    ("grid: {value: a}", "unknown parameter 'grid'; "),
    ("gaps: 2", "gaps: got 2; expected {value: X} or {values: [X, ...]}"),
    ("gaps: {}", "gaps: got nothing; expected {value"),
    ("gaps: {valeus: [2]}", "gaps: unknown key 'valeus'; did you mean 'values'"),
    ("gaps: {min: 2, max: 4}", "gaps: unknown key 'min'; choose from value, values"),
    ("gaps: {distribution: categorical, values: [2]}", "gaps: unknown key 'distribution'; choose from value, values"),
    ("slurm: {parameters: {gpus: {value: 1}}}", "unknown parameter 'slurm'; "),
    ("gaps: {parameters: {a: {value: 1}}}", "gaps: unknown key 'parameters'; "),
    ("gaps: {value: 2, values: [2]}", "gaps: got value and values; expected one of them"),
    ("gaps: {values: 2}", "gaps: values: got 2; expected a list of one or more"),
    ("gaps: {values: []}", "gaps: values: got none; expected a list"),
    ("gaps: {value: []}", "gaps: got none; expected one or more whole"),
    ("gaps: {values: [2, 2]}", "gaps: got 2 more than once"),
    ("gaps: {values: [[2, 3], 3]}", "gaps: got 3 more than once"),
    ("gaps: {values: [{a: 1}]}", "gaps: got a nested value"),
    ("gaps: {values: [[[2]]]}", "gaps: got a nested value"),
    ("gaps: {values: [2.5]}", "gaps: got '2.5'; expected one or more whole"),
    ("gaps: {value: 010}", "line 3: got 010, which YAML takes for something else"),
    ("gaps: {value: 0x10}", "line 3: got 0x10"),
    ("gaps: {value: 1:30}", "line 3: got 1:30"),
    ("wandb: {value: no}", "line 3: got no, which"),
    ("wandb_project: {value: 2026-01-02}", "line 3: got 2026-01-02"),
    ("wandb_project: {value: 2026-99-02}", "line 3: got 2026-99-02"),
    ("clip_norm: {value: .inf}", "line 3: got .inf"),
    ("gaps: {value: 2}\n  gaps: {value: 3}", "gaps is given twice"),
    ("max-steps: {value: 2}\n  max_steps: {value: 3}", "max_steps is given twice"),
    ("gaps: &a {value: 2}\n  seeds: *a", "no anchors or aliases"),
    ("<<: {gaps: {value: 2}}", "could not determine a constructor"),
    ("gaps: {value: !!python/tuple [2]}", "expected no tags"),
    ("cells: {value: --show}", "cells: got"),
    ("batch_size: {value: [1, 2]}", "batch_size: got the list"),
    ("batch_size: {values: [1, x]}", "batch_size: got 'x'; expected a whole number"),
    ("batch_size: {values: [8, 0]}", "batch_size: got 0; expected a whole number"),
    ("batch_size: {values: [8, 8]}", "two combinations are the same sweep"),
    ("clip_norm: {values: [1, 1.0]}", "two combinations are the same sweep"),
    ("accept_changes: {value: 1}", "accept_changes: got '1'; expected true or false"),
    ("preset: {values: [smoke, fast]}", "preset: got 'fast'; expected quick or smoke"),
]
BAD += [(f"method: grid\nparameters:\n  {text}", message) for text, message in BAD_PARAMETERS]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text for text, _ in BAD])
def test_bad_files(tmp_path, text, message):
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        parse("--grid", file)
    assert message in str(caught.value) and str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_named():
    with pytest.raises(ConfigError, match=r"grid: can't read nowhere\.yaml"):
        parse("--grid=nowhere.yaml")
    with pytest.raises(ConfigError, match="grid: no value given; expected a YAML file"):
        parse("--grid")


def test_a_bad_option_is_not_put_down_to_the_file(tmp_path):
    file = written(tmp_path, {"parameters": {"gaps": {"value": 2}}})
    with pytest.raises(ConfigError, match=r"^gaps: got 0"):
        parse("--grid", file, "--gaps", "0")


def test_keys_that_only_wandb_needs_are_admitted(tmp_path):
    keys = {"program": "a.py", "name": "a", "description": "a", "project": "a", "entity": "a"}
    command = [
        "${env}",
        "python",
        "-m",
        "a",
        "--wandb",
        "online",
        "--slurm.minutes=3",
        "--no-accept-changes",
        "${args}",
    ]
    tree = {**keys, "metric": {"name": "accuracy", "goal": "maximize"}, "command": command}
    assert read_grid(written(tmp_path, {**tree, "parameters": {"gaps": {"value": 2}}})) == ({"gaps": ["2"]}, {})


def test_an_agents_call_has_a_directory_of_its_own(monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "a/b")
    assert parse("--out=out")[0].out == Path("out"), "an id alone is no agent"
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    assert parse("--out=out")[0].out == Path("out/a%2Fb")


# What the command does with several sweeps.


@pytest.mark.parametrize(
    ("statuses", "status", "number"), [([0, 1, 0], 1, 3), ([0, 0, 0], 0, 3), ([1, 130, 0], 130, 2), ([143], 143, 1)]
)
def test_exit_status(monkeypatch, tmp_path, statuses, status, number):
    ran = []

    def run(experiment, sweep, console):
        ran.append((sweep.config if isinstance(sweep, Plan) else sweep).training.batch_size)
        return statuses[len(ran) - 1]

    monkeypatch.setattr(common, "run", run)
    file = written(tmp_path, {"parameters": {"batch_size": {"values": [5, 6, 7]}, "cells": {"value": "rnn"}}})
    experiment = common.Experiment("experiments.gap_length", "", "", PRESETS)
    assert common.main(experiment, ["--grid", str(file), "--preset=smoke", "--hidden-dim=4"]) == status
    assert ran == [5, 6, 7][:number]


def command(*argv, cwd, **environment):
    environment = {**os.environ, "PYTHONPATH": PATHS, "COLUMNS": "100", **environment}
    return subprocess.run(
        [sys.executable, *argv], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


TINY = {
    "preset": {"value": "smoke"},
    "cells": {"value": "rnn"},
    "gaps": {"value": 2},
    "learning_rates": {"value": 0.01},
    "tuning_seeds": {"value": []},
    "hidden_dim": {"value": 8},
    "max_steps": {"value": 50},
    "executor": {"value": "serial"},
}


def rows(files):
    found = []
    for file in files:
        with file.open(newline="") as lines:
            found += [{**row, "duration_seconds": None} for row in csv.DictReader(lines)]
    return sorted(found, key=str)


def test_a_bad_last_sweep_is_told_before_the_first_is_trained(tmp_path):
    file = written(tmp_path, {"parameters": {**TINY, "task": {"values": ["gap", "gpa"]}}})
    status, _, errors = commands.run("gap_length", "--grid", file, cwd=tmp_path)
    assert status == 2 and errors.startswith("error: task: unknown task 'gpa'")
    assert errors.count("\n") == 1 and list(tmp_path.iterdir()) == [file]


AGENT = """
import itertools, sys
import wandb, wandb.apis.public.sweeps as server
from wandb import wandb_agent
from wandb.sdk.launch.sweeps.utils import load_sweep_config

config = load_sweep_config(sys.argv[1])
names = list(config["parameters"])
choices = [entry["values"] if "values" in entry else [entry["value"]] for entry in config["parameters"].values()]
commands = [
    {"type": "run", "run_id": f"agents{number}", "program": None,
     "args": {name: {"value": value} for name, value in zip(names, values)}}
    for number, values in enumerate(itertools.product(*choices))
]

def heartbeat(api, agent, metrics, running):
    return [] if running else [commands.pop(0)] if commands else [{"type": "exit"}]

wandb.Api = lambda: None
server._sweep_with_runs = lambda *_: {"config": open(sys.argv[1]).read()}
server._register_agent = lambda *_, **__: {"id": "agent"}
server._agent_heartbeat = heartbeat
wandb_agent.Agent.POLL_INTERVAL = 0.1
wandb_agent.run_agent("entity/project/thesweep")
"""


@pytest.mark.long
def test_wandbs_agent_trains_what_the_grid_does(tmp_path, capsys):
    """The agent itself, with a server that is made up; its first call trains one run, its second two."""
    line = ["${env}", "python", "-m", "undrawn", "--wandb=offline", "${args}"]
    file = written(
        tmp_path,
        {
            "command": line,
            "parameters": {**TINY, "seeds": {"values": [0, [1, 2]]}, "batch_size": {"values": [8]}},
        },
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = command("-c", AGENT, str(file), cwd=tmp_path, PATH=path)
    assert done.returncode == 0, done.stderr
    assert "warning: wandb" not in done.stderr + done.stdout
    out = tmp_path / "results" / "gap_length"
    assert sorted(each.name for each in out.iterdir()) == ["agents0", "agents1"]
    logged = [sorted((out / name).glob("wandb/offline-run-*/run-*.wandb")) for name in ("agents0", "agents1")]
    assert [file.name for file in logged[0]] == ["run-agents0.wandb"], "the run that the sweep knows"
    assert len({file.name for file in logged[1]}) == 2 and "run-agents1.wandb" not in {file.name for file in logged[1]}
    assert all(b"thesweep" in file.read_bytes() for file in [*logged[0], *logged[1]]), "part of the sweep"
    assert to_wandb.main([str(out / "agents0")]) == 0
    assert "0 of 1 runs logged" in capsys.readouterr().out
    done = command("-m", "undrawn", "--grid", str(file), "--out=o", "--wandb=disabled", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trained = rows([tmp_path / "o" / "batch_size=8" / "runs.csv"])
    assert len(trained) == 3 and trained == rows(out.glob("*/runs.csv"))
