"""What was given counts, whatever its value; what was not is chosen, said, and shown by --help as open."""

from __future__ import annotations

import io
import re

import pytest
import rich.console
from corpora import PAIRS

from experiments import language_model, text, translation
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.grid import parse_commands
from lstm_jax.sweeps.config.options import SweepConfig


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def prepared(*argv, module=translation):
    experiment = module.EXPERIMENT
    (command,) = parse_commands(experiment.presets, [str(each) for each in argv], "prog", "", experiment.data)
    output = io.StringIO()
    sweep = module.prepare(command.sweep, command.data, rich.console.Console(file=output, width=200))
    return sweep, output.getvalue()


SMOKE = ("--preset", "smoke")
ON_PAIRS = (*SMOKE, "--pairs", PAIRS)


@pytest.mark.parametrize(
    ("argv", "gap"),
    [
        (("--max-tokens", 60), 60),
        (("--gaps", 30, "--max-tokens", 60), 30),
        (("--gaps", 29, "--max-tokens", 60), 29),
        ((), 30),
    ],
)
def test_the_longest_source_is_the_one_given(argv, gap):
    sweep, output = prepared(*ON_PAIRS, *argv)
    assert sweep.grid.gaps == (gap,)
    assert (f"gaps {gap}" in output) is ("--gaps" not in argv)


@pytest.mark.parametrize("name", ["dropout", "batch_size", "embedding_dim", "num_params"])
def test_a_value_is_kept_though_it_is_some_default(name):
    """Of every preset, of SweepConfig, or what the task without data would choose."""
    values = {preset.flat[name] for preset in translation.EXPERIMENT.presets.values()}
    values |= {SweepConfig().flat[name], translation.WITHOUT_DATA.get(name), 2000 if name == "num_params" else None}
    values |= {0.3} if name == "dropout" else {32, 64} if name != "num_params" else set()
    for value in values - {None}:
        for task in ((*SMOKE, "--task", "reverse"), ON_PAIRS):
            sweep, output = prepared(*task, f"--{name.replace('_', '-')}", value)
            assert sweep.flat[name] == value and f"{name} " not in output


def test_what_a_task_without_data_chooses_is_said():
    sweep, output = prepared(*SMOKE, "--task", "reverse")
    assert (sweep.grid.gaps, sweep.model.dropout, sweep.training.batch_size, sweep.model.embedding_dim) == (
        (5, 10, 20),
        0.0,
        64,
        16,
    )
    line = output.replace("\n", " ")
    assert re.search(r"gaps 5 10 20.*num_params \d+.*dropout 0.0.*embedding_dim 16.*batch_size 64", line)


def test_options_of_data_that_have_no_effect_are_refused():
    with pytest.raises(ConfigError, match=r"max_tokens: got 30; expected no options of data"):
        prepared(*SMOKE, "--task", "reverse", "--max-tokens", 30)
    corpus = prepared(*ON_PAIRS)[0].task
    with pytest.raises(ConfigError, match=r"min_count: got 2; the task names the corpus"):
        prepared(*SMOKE, "--task", corpus, "--min-count", 2)
    assert prepared(*SMOKE, "--task", corpus)[0] == prepared(*ON_PAIRS)[0]


@pytest.mark.parametrize("module", [translation, language_model])
def test_help_shows_no_default_that_is_not_used(module, capsys):
    with pytest.raises(SystemExit):
        parse_commands(module.EXPERIMENT.presets, ["--help"], "prog", "", module.EXPERIMENT.data)
    assert not re.search(r"default: *5530", capsys.readouterr().out)
    open_fields = {name for preset in module.EXPERIMENT.presets.values() for name in _open(preset)}
    assert "num_params" in open_fields and text.LSTM_UNITS.keys() == module.EXPERIMENT.presets.keys()


def _open(preset):
    return {
        name for name in ("gaps", "num_params", "dropout", "batch_size", "embedding_dim") if preset.flat[name] is None
    }
