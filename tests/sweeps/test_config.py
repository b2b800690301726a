"""Preset, file and options to a configuration; bad input is one line that names field, value and what is allowed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.command_line import from_yaml, parse_command, read_yaml, to_yaml
from lstm_jax.sweeps.config.execution import LoggingOptions
from lstm_jax.sweeps.config.grid import parse_commands
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.config.parsing import parse_options

PRESETS = {
    "quick": SweepConfig.of(preset="quick"),
    "smoke": SweepConfig.of(preset="smoke", max_steps=10),
    "full": SweepConfig.of(preset="full", seeds=tuple(range(30))),
}


def parse(*argv):
    return parse_command(PRESETS, argv, "prog", "description")


def test_options_override_file_overrides_preset(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("preset: smoke\ngaps: [3, 4]\nbatch_size: 7\nhidden_dim: null\n")
    sweep = parse("--config", str(file), "--batch-size", "8").sweep
    assert (sweep.training.max_steps, sweep.grid.gaps, sweep.training.batch_size, sweep.model.hidden_dim) == (
        10,
        (3, 4),
        8,
        None,
    )
    assert parse().sweep == PRESETS["quick"]
    assert parse("--preset=full").sweep.grid.seeds == tuple(range(30))


@pytest.mark.parametrize("option", ["--hidden-dim=64", "--hidden_dim=64", "--hidden-dim 64"])
def test_the_forms_of_an_option(option):
    assert parse(*option.split()).sweep.model.hidden_dim == 64


def test_lists():
    sweep = parse("--cells", "rnn", "lstm@forget_bias=5,init=orthogonal", "--learning-rates", "1e-3", "0.01").sweep
    assert sweep.grid.cells == ("rnn", "lstm@forget_bias=5,init=orthogonal")
    assert sweep.grid.learning_rates == (0.001, 0.01)


def test_the_forms_of_wandbs_agent():
    lists = ["--seeds=[0, 1, 2]", "--tuning_seeds=[]", "--learning_rates=['1e-2']", "--gaps=7"]
    cells = """--cells=["it's:Mine", 'lstm@forget_bias=5,init=orthogonal']"""
    sweep = parse(*lists, cells, "--hidden_dim=None", "--accept_changes=True", "--slurm.memory_gb=4").sweep
    assert (sweep.grid.seeds, sweep.grid.tuning_seeds, sweep.grid.learning_rates, sweep.grid.gaps) == (
        (0, 1, 2),
        (),
        (0.01,),
        (7,),
    )
    assert sweep.grid.cells == ("it's:Mine", "lstm@forget_bias=5,init=orthogonal")
    assert (sweep.model.hidden_dim, sweep.execution.accept_changes, sweep.execution.slurm.memory_gb) == (None, True, 4)
    assert not parse("--accept-changes", "--accept_changes=False").sweep.execution.accept_changes


BAD = [
    ("--seeds=[0,", r"seeds: got '\[0,'; expected one or more whole"),
    ("--seeds=[0,[1]]", r"seeds: got '0 \[1\]'"),
    ("--cells=['--show']", "cells: got"),
    ("--cells=[]", "cells: got none"),
    ("--cells=[rnn]", r"cells: got '\[rnn\]'"),
    ("--accept_changes=maybe", "accept_changes: got 'maybe'; expected true or false"),
    ("--gaps 0", "gaps: got 0; expected one or more whole numbers of at least 1"),
    ("--gaps 5.5", "gaps: got '5.5'; expected one or more whole"),
    ("--gaps 1e3", "gaps: got '1e3'"),
    ("--gaps", "gaps: got none"),
    ("--gaps 5 5", "gaps: got 5 more than once"),
    ("--cells", "cells: got none"),
    ("--cells rnn rnn", "cells: got 'rnn' more than once"),
    ("--learning-rates 0", "learning_rates: got 0.0; expected one or more positive finite numbers"),
    ("--learning-rates -0.1", "learning_rates: got -0.1"),
    ("--learning-rates 1e-46", "learning_rates: got 1e-46; expected .* in single precision too"),
    ("--learning-rates 1e-40", "learning_rates: got 1e-40"),
    ("--learning-rates 1e39", r"learning_rates: got 1e\+39"),
    ("--learning-rates 0.1 0.1000000001 0.2", "learning_rates: got 0.1, 0.1000000001, which are one number in single"),
    ("--clip-norm 1e-46", "clip_norm: got 1e-46; expected a positive number, or inf; in single precision too"),
    ("--clip-norm 1e39", r"clip_norm: got 1e\+39"),
    ("--dropout 0.99999999999", "dropout: got 0.99999999999; expected"),
    ("--max-steps 2", "max_steps: got 2; expected a whole number in 3 to 2147483647, for the three evaluations"),
    ("--learning-rates inf", "learning_rates: got inf"),
    ("--learning-rates 0.1 nan", "learning_rates: got nan"),
    ("--learning-rates x", "learning_rates: got 'x'"),
    ("--learning-rates", "learning_rates: got none"),
    ("--seeds", "seeds: got none"),
    ("--seeds -1", r"seeds: got -1; expected one or more whole numbers in 0 to 4294967295 \(2\^32 - 1\)"),
    ("--seeds 4294967296", "seeds: got 4294967296"),
    ("--seeds 1 2 1", "seeds: got 1 more than once"),
    ("--tuning-seeds 0 7", "tuning_seeds: got 0, which seeds has too"),
    ("--tuning-seeds 4294967296", "tuning_seeds: got 4294967296"),
    ("--tuning-seeds --learning-rates 0.1 0.2", "tuning_seeds: got none"),
    ("--hidden-dim 0", "hidden_dim: got 0; expected a whole number in 1 to 2147483647, or None"),
    ("--hidden-dim many", "hidden_dim: got 'many'"),
    ("--batch-size 0", "batch_size: got 0"),
    ("--max-steps 99999999999", "max_steps: got 99999999999; expected a whole number in 3 to 2147483647"),
    ("--num-layers 3000", "num_layers: got 3000; expected a whole number in 1 to 100"),
    ("--out=", "out: no value given; expected a directory"),
    ("--out", "out: no value given; expected a directory"),
    ("--task=", "task: no value given; expected gap, copy"),
    ("--wandb_project=", "wandb_project: no value given; expected the name of a project"),
    ("--batch-size", "batch_size: no value given; expected a whole number"),
    ("--out=gs://bucket/x", "out: got gs://bucket/x; expected a path on this machine"),
    ("--out s3://x", "out: got s3://x; expected a path on this machine"),
    ("--config gs://x", "config: got gs://x; expected a path on this machine"),
    ("--out ~no-such-user/x", "out: got ~no-such-user/x; expected a path"),
    ("--wandb-project a/b", "wandb_project: got 'a/b'; expected the name of a project: at most 128 characters"),
    (f"--wandb-project {'x' * 129}", r"wandb_project: got 'x{40}... \(129 characters\)'; expected"),
    ("--max-steps -5", "max_steps: got -5"),
    ("--workers 0", "workers: got 0"),
    ("--dropout 1", r"dropout: got 1.0; expected a number in \[0, 1\)"),
    ("--clip-norm 0", "clip_norm: got 0.0; expected a positive number, or inf"),
    ("--clip-norm nan", "clip_norm: got nan"),
    ("--wandb offlin", "wandb: got 'offlin'; expected online, offline or disabled"),
    ("--optimizer=", "optimizer: no value given; expected adam, adamw, sgd, rmsprop, lion, optax:name"),
    ("--optimizer adam@b1", "optimizer: 'adam@b1': 'b1' is no field=value; expected name"),
    ("--schedule step", "schedule: got 'step'; expected constant, cosine or linear"),
    ("--warmup-steps -1", "warmup_steps: got -1; expected a whole number in 0 to"),
    ("--warmup-steps 50 --max-steps 50", "warmup_steps: got 50; expected fewer than max_steps, 50"),
    ("--precision float16", "precision: got 'float16'; expected float32, tf32 or bfloat16"),
    ("--preset fast", "preset: got 'fast'; expected quick, smoke or full"),
    ("--gap 5", "unknown option '--gap': did you mean '--gaps'"),
    ("gaps", "unknown option 'gaps'"),
    ("--config nowhere.yaml", "config: can't read nowhere.yaml"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_options(line, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(*line.split())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["--gap 5", "gaps", "--nonsense 3", "--optimiser adam", "--slurm.minute 5"])
def test_an_unknown_option_is_a_short_line(line):
    with pytest.raises(
        ConfigError, match=r"unknown option '.*: did you mean '--.*'. --help lists all options"
    ) as caught:
        parse(*line.split())
    assert len(str(caught.value)) < 120


def test_other_commands_say_what_is_unknown_or_missing_in_short():
    @dataclasses.dataclass(frozen=True)
    class Options:
        directory: Path
        check: bool = False

    for line, message in (
        ("--directory x --chek", "unknown option '--chek': did you mean '--check'? choose from --directory, --check"),
        ("--chek", "unknown option '--chek': did you mean '--check'? choose from --directory, --check"),
        ("", "directory: no value given; --help lists all options"),
        ("--directory gs://x", "directory: got gs://x; expected a path on this machine"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_options(Options, line.split(), "prog", "description")
        assert str(caught.value) == message


def test_the_home_directory(tmp_path, monkeypatch):
    """In files and behind `=`, where no shell writes it out; of every path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.yaml").write_text("out: ~/x\n")
    assert parse("--config", "~/a.yaml").sweep.out == tmp_path / "x"
    assert parse("--config=~/a.yaml", "--out=~/y/z").sweep.out == tmp_path / "y" / "z"
    (tmp_path / "g.yaml").write_text("method: grid\nparameters: {out: {value: ~/g}, hidden_dim: {values: [4, 8]}}\n")
    commands = parse_commands(PRESETS, ["--grid=~/g.yaml"], "prog", "description")
    assert {command.sweep.out.parent for command in commands} == {tmp_path / "g"}
    from experiments.language_model import Data as Texts
    from experiments.language_model import Sample
    from experiments.status import Status
    from experiments.to_wandb import ToWandb
    from experiments.translation import Data, Translate

    for data, option in ((Data(), "pairs"), (Texts(), "text")):
        command = parse_command(PRESETS, [f"--{option}=~/p.txt"], "prog", "description", data)
        assert getattr(command.data, option) == tmp_path / "p.txt"
    for cls, name in ((Translate, "checkpoint"), (Sample, "checkpoint"), (Status, "directory"), (ToWandb, "directory")):
        argv = ["--checkpoint=~/c"] if name == "checkpoint" else ["~/c"]
        assert getattr(parse_options(cls, argv, "prog", "description"), name) == tmp_path / "c"


def test_where_wandb_logs(monkeypatch):
    """An option beats the environment, which beats our default."""
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    assert LoggingOptions().target() == ("offline", "lstm_jax")
    for given, mode in (("online", "online"), ("run", "online"), ("dryrun", "offline"), ("disabled", "disabled")):
        monkeypatch.setenv("WANDB_MODE", given)
        assert LoggingOptions().target().mode == mode and LoggingOptions("offline").target().mode == "offline"
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert LoggingOptions().target().project == "mine" and LoggingOptions(None, "other").target().project == "other"
    monkeypatch.setenv("WANDB_PROJECT", "a:b")
    with pytest.raises(ConfigError, match="WANDB_PROJECT: got 'a:b'; expected the name of a project"):
        LoggingOptions().target()
    monkeypatch.setenv("WANDB_MODE", "on")
    with pytest.raises(ConfigError, match="WANDB_MODE: got 'on'; expected online, offline or disabled"):
        parse()


def test_our_rule_for_projects_is_wandbs():
    import wandb

    for project in ("a/b", "a\\b", "a#b", "a?b", "a%b", "a:b", "x" * 129):
        with pytest.raises(ConfigError):
            LoggingOptions("offline", project).target()
        with pytest.raises(wandb.errors.UsageError):
            wandb.Settings(project=project)
    for project in ("x" * 128, "a b", "[a]~!@$^&*()", "é"):
        assert LoggingOptions("offline", project).target().project == wandb.Settings(project=project).project


BAD_YAML = [
    ("gaps: [5]\ngaps: [6]", "line 1: gaps is given twice"),
    ("max_steps: 10\nmax-steps: 20", "max_steps is given twice"),
    ("gaps: &a [5]", "line 1: expected no anchors or aliases"),
    ("seeds: [1]\ngaps: *a", "alias"),
    ("gaps: !!python/tuple [5]", "expected no tags"),
    ("gaps: !mine [5]", "expected no tags"),
    ("gap: [5]", "unknown key 'gap'; did you mean 'gaps'"),
    ("out: [x, y]", "out: got the list"),
    ("gaps: {a: 1}", "gaps: got a nested value"),
    ("gaps: [[1]]", "gaps: got a nested value"),
    ("- 5", "expected a mapping"),
    ("", "expected a mapping"),
    ("gaps: [5", "expected ',' or ']'"),
    ("gaps: []", "gaps: got none"),
    ("gaps: [5.5]", r"b.yaml: gaps: got '5.5'"),
    ("wandb: no", "wandb: got 'no'; expected online, offline or disabled"),
    ("gaps: ['--show']", "gaps: got"),
    ("task:", "b.yaml: task: no value given"),
    ("out: ~", "out: got '~'; expected a directory"),
    ("out: hf://x/y", "out: got hf://x/y; expected a path on this machine"),
    ("max_steps: 010x", "max_steps: got '010x'"),
    ("? [a, b]\n: 1", "unknown key|mapping"),
]


@pytest.mark.parametrize(("text", "message"), BAD_YAML, ids=[text for text, _ in BAD_YAML])
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "b.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        parse("--config", str(file))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text_or_too_large(tmp_path):
    file = tmp_path / "b.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="can't read"):
        read_yaml(file)
    file.write_bytes(b"# " + b"x" * 1_100_000)
    with pytest.raises(ConfigError, match="at most 1000000 bytes"):
        read_yaml(file)
    with pytest.raises(ConfigError, match="can't read"):
        read_yaml(tmp_path)


def test_yaml_numbers_mean_what_they_say(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("learning_rates: [1e-3, 1.0e-05]\nseeds: [010]\nclip_norm: .inf\n")
    sweep = parse("--config", str(file)).sweep
    assert sweep.grid.learning_rates == (1e-3, 1e-5)
    assert sweep.grid.seeds == (10,), "YAML 1.1 would read an octal 8"
    assert sweep.training.clip_norm == float("inf")


@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        SweepConfig.of(
            learning_rates=(1e-10, 3e5), cells=("no", "1e5", "lstm@forget_bias=5,chrono=false"), clip_norm=1e400
        ),
        SweepConfig.of(
            hidden_dim=3, workers=2, lanes=5, task="gap@filler=blank", tuning_seeds=(), learning_rates=(0.1,)
        ),
    ],
)
def test_sweep_yaml_reads_back_to_the_same(tmp_path, config):
    file = tmp_path / "sweep.yaml"
    file.write_text(to_yaml(config))
    assert dataclasses.replace(from_yaml(file), out=config.out) == config
