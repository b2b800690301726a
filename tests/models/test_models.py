"""Every registered model by its name, and one of the user's own through a sweep."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import own_models
import pytest
from cell_cases import call, marks_of
from flax import nnx

from lstm_jax import registry
from lstm_jax.cells import CELLS
from lstm_jax.models import MODELS, Config, Pair, Sizes, count_params, form_of, make_model, unit_of
from lstm_jax.models.base import Data
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.worker.job import run_job
from lstm_jax.tasks import make_task
from lstm_jax.training import Hypers, Training

# What names a registered model: its own name, but of `recurrent` those of cells.
LABELS = [(name, label) for name in MODELS for label in (CELLS if name == "recurrent" else (name,))]
labels = pytest.mark.parametrize(("name", "label"), [pytest.param(*each, marks=marks_of(each[1])) for each in LABELS])
NUM_TOKENS = 9
TASK_OF = {"sequence": "gap", "encoder_decoder": "reverse"}


def config_of(label, form, **options):
    return make_model(
        label, Sizes(8, 6, **options), form=form, num_tokens=NUM_TOKENS, num_outputs=NUM_TOKENS, gap=5, num_steps=5
    )


def inputs_of(form, batch_size=3, num_steps=5):
    tokens = jnp.asarray(np.random.default_rng(0).integers(5, NUM_TOKENS, (num_steps, batch_size)), jnp.int32)
    return Pair(tokens, tokens) if form == "encoder_decoder" else tokens


def forms_of(name):
    """The forms that a registered model can have."""
    return registry.load("model", name, MODELS).forms


def test_names_of_models_are_names_of_no_cell():
    assert not set(MODELS) & set(CELLS)
    assert all(issubclass(registry.load("model", name, MODELS), Config) for name in MODELS)


@labels
def test_a_registered_model(name, label):
    """In each of its forms: hashable, equal when made again, logits as promised, and what it says of itself."""
    forms = forms_of(name)
    assert len(forms) >= 1
    for form in forms:
        config = config_of(label, form, dropout=0.5)
        assert isinstance(config, Config) and dataclasses.is_dataclass(config)
        assert hash(config) == hash(config_of(label, form, dropout=0.5)) and config == config_of(
            label, form, dropout=0.5
        )
        assert config != config_of(label, form) and config.uses_rng and not config_of(label, form).uses_rng
        assert config.backward_mode == "autodiff" and config.attention_floats(0) == 0
        assert config.training_kwargs(jnp.int32(3)) == {}
        model, inputs = config.build(rngs=nnx.Rngs(0)), inputs_of(form)
        assert call(model, inputs).shape == (5, 3, NUM_TOKENS)
        assert np.isfinite(call(model, inputs, dropout_key=jax.random.key(0))).all()
        states = config.initial_states(3)
        assert all(leaf.shape[0] == 3 for leaf in jax.tree.leaves(states))
        if states:
            logits, after = nnx.eval_shape(lambda model, *each: model.advance(*each), model, inputs, states)
            assert jax.tree.structure(after) == jax.tree.structure(states) and logits.shape == (5, 3, NUM_TOKENS)
        assert count_params(config) == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
        assert unit_of(label) >= 1


@labels
def test_a_registered_model_trains(name, label):
    """A few updates of a task whose models have one of its forms."""
    form = next(form for form in forms_of(name) if form in TASK_OF)
    task = make_task(TASK_OF[form], 3)
    config = make_model(
        label,
        Sizes(8, 6),
        form=form,
        num_tokens=task.num_tokens,
        num_outputs=task.num_classes,
        readout=task.readout,
        num_steps=task.num_steps,
    )
    training = Training(task, config, batch_size=4, eval_size=8)
    hypers = Hypers(jnp.uint32(0), jnp.float32(0.01), jnp.float32(1.0))
    state, metrics = jax.jit(training.advance)(jax.jit(training.init)(hypers), hypers, 2)
    assert state.step == 2 and metrics.diverged_step == 0 and np.isfinite(metrics.train_loss)
    assert np.isfinite(jax.jit(training.evaluate)(state).loss)


# One of the user's own


def test_an_own_model_through_a_sweep(tmp_path):
    """Sized, named, trained, recorded and solved as a cell is."""
    config = SweepConfig.of(
        cells=("own_models:Window@width=4",),
        gaps=(2,),
        num_params=1500,
        learning_rates=(0.01,),
        seeds=(0, 1),
        tuning_seeds=(),
        batch_size=16,
        eval_size=64,
        chunk_steps=100,
        max_steps=1000,
    )
    (job,), warnings = make_jobs(config)
    assert job.settings.num_params == pytest.approx(1500, rel=0.05) and len(warnings) <= 1
    assert isinstance(job.training().model, own_models.Window) and job.training().model.width == 4
    run_job(job, Directory(tmp_path))
    runs = [record.run for record in Directory(tmp_path).records([job])]
    assert [(run.cell, run.seed, run.status, run.backward) for run in runs] == [
        ("own_models:Window@width=4", seed, "solved", "autodiff") for seed in (0, 1)
    ]
    assert all(run.forget_bias is None for run in runs)


def test_an_own_model_is_told_what_it_has_fields_for():
    sizes = Sizes(8, 6, 2, 0.5, "states", 3)
    model = make_model(
        "own_models:Everything@base=2",
        sizes,
        form="decoder",
        num_tokens=9,
        num_outputs=7,
        readout="last",
        gap=5,
        num_steps=7,
    )
    assert dataclasses.asdict(model) == {
        **dataclasses.asdict(sizes),
        **dataclasses.asdict(Data("decoder", 9, 7, "last", 5, 7)),
        "base": 2.0,
    }
    assert model.backward_mode == "states" and model.uses_rng
    assert form_of("own_models:Everything@form=encoder") == "encoder" and unit_of("own_models:Everything") == 1


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        (
            "own_models:Window@widht=3",
            {},
            "model 'own_models:Window@widht=3': unknown setting 'widht'; did you mean 'width'",
        ),
        ("own_models:Window@width=x", {}, "width: got 'x'; expected a whole number"),
        ("own_models:Window@dropout=0.5", {}, "dropout is set by the experiment's own option, not here"),
        (
            "own_models:Window",
            {"truncation": 3},
            "model 'own_models:Window': expected no truncation, since it has no such",
        ),
        ("own_models:Window", {"num_layers": 2}, "expected no num_layers"),
        ("own_models:Bare", {"dropout": 0.5}, "expected no dropout"),
        ("own_models:Everything", {}, "missing 1 required positional argument: 'base'"),
        ("own_models:Config", {}, "model 'own_models:Config'"),
        ("own_models:WindowModel", {}, "cell 'own_models:WindowModel': expected a dataclass derived from"),
        ("own_models:Windo", {}, "own_models has no 'Windo'; did you mean 'Window'?"),
    ],
)
def test_what_is_wrong_is_named(label, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        config_of(label, "sequence", **options)
