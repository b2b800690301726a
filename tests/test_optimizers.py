"""Optimizers by name are those of optax, schedules too; a user's own trains; what can't be is told before training."""

from __future__ import annotations

import dataclasses
import io
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import own_optimizers
import pytest
import rich.console

from lstm_jax.cells import make_cell
from lstm_jax.errors import ConfigError
from lstm_jax.models import ModelConfig
from lstm_jax.optimizers import OPTIMIZERS, Schedule, clipped, make_optimizer
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.run import run_sweep
from lstm_jax.sweeps.worker import states
from lstm_jax.tasks import make_task
from lstm_jax.training import Hypers, Training

RATE, NORM, NUM_UPDATES = 0.02, 0.5, 6
HYPERS = Hypers(np.uint32(0), np.float32(RATE), np.float32(NORM))
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


def training_of(task="parity", **options):
    """Of a small task: of those that ask once, the one whose program is smallest."""
    task = make_task(task, 2)
    model = ModelConfig((make_cell("rnn", 4, 2),), 3, task.num_classes, task.num_tokens, task.readout)
    return Training(task, model, batch_size=4, eval_size=8, **options)


def by_hand(training, optimizer):
    """The parameters after some updates, one after another in Python, by an optimizer made with optax alone."""
    state = jax.jit(training.init)(HYPERS)
    params, opt_state, key = state.params, jax.jit(optimizer.init)(state.params), state.key

    @jax.jit
    def update(params, opt_state, key, step):
        key, batch_key, _ = jax.random.split(key, 3)
        now = state._replace(params=params, step=step)
        gradient = training._gradient(now, batch_key, batch_key, training._apart())[1]
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, key

    for step in range(NUM_UPDATES):
        params, opt_state, key = update(params, opt_state, key, np.int32(step))
    return params


def trained(training):
    """The state after as many updates, as one program."""
    return jax.jit(lambda hypers: training.advance(training.init(hypers), hypers, NUM_UPDATES)[0])(HYPERS)


def assert_same(left, right, atol=1e-6):
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


DIRECT = {
    "adam": lambda rate: optax.adam(rate),
    "adam@b1=0.5,eps=0.001,nesterov=true": lambda rate: optax.adam(rate, b1=0.5, eps=0.001, nesterov=True),
    "adamw@weight_decay=0.1": lambda rate: optax.adamw(rate, weight_decay=0.1),
    "sgd": lambda rate: optax.sgd(rate),
    "sgd@momentum=0.9,nesterov=true": lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    "rmsprop": lambda rate: optax.rmsprop(rate),
    "rmsprop@decay=0.5": lambda rate: optax.rmsprop(rate, decay=0.5),
    "rmsprop@momentum=0.9,centered=true": lambda rate: optax.rmsprop(rate, momentum=0.9, centered=True),
    "lion@weight_decay=0.1": lambda rate: optax.lion(rate, weight_decay=0.1),
    "optax:adabelief@b2=0.9": lambda rate: optax.adabelief(rate, b2=0.9),
    "optax:adafactor@min_dim_size_to_factor=2,momentum=none": lambda rate: optax.adafactor(
        rate, min_dim_size_to_factor=2
    ),
    "optax.contrib:muon@ns_steps=3": lambda rate: optax.contrib.muon(rate, ns_steps=3),
    "own_optimizers:signs@decay=0.5": lambda rate: own_optimizers.signs(rate, 0.5),
    "own_optimizers:Plain@factor=2": lambda rate: optax.sgd(2 * rate),
}


LINEAR = {"weights": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)}


@jax.jit
def linear_gradient(params, step):
    inputs = jax.random.normal(jax.random.key(step), (4, 2))
    return jax.grad(lambda params: jnp.square(inputs @ params["weights"] + params["bias"] - 1.0).sum())(params)


def linear_model(optimizer):
    """A linear model after some updates in a Python loop."""
    params, state = LINEAR, optimizer.init(LINEAR)
    for step in range(NUM_UPDATES):
        updates, state = optimizer.update(linear_gradient(params, step), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.standard_promotion  # optax raises a float to the power of its integer count
@pytest.mark.parametrize("name", DIRECT)
def test_a_name_is_the_optimizer_of_optax(name):
    ours = clipped(make_optimizer(name, jnp.float32(RATE)), jnp.float32(NORM))
    params = linear_model(ours)
    assert_same(params, linear_model(optax.chain(optax.clip_by_global_norm(NORM), DIRECT[name](RATE))))
    with pytest.raises(AssertionError):
        assert_same(params, LINEAR, atol=1e-3)


def test_every_registered_name_is_tried():
    assert {name.partition("@")[0] for name in DIRECT} >= OPTIMIZERS.keys()


@pytest.mark.parametrize(("name", "scale"), [("adam", optax.scale_by_adam), ("rmsprop", optax.scale_by_rms)])
def test_the_first_two_are_what_they_were(name, scale, monkeypatch):
    """Numbers and states to the bit and the structure, so that a checkpoint of an early version goes on."""
    training = training_of(optimizer=name)
    new = trained(training)
    monkeypatch.setattr(
        Training,
        "_optimizer",
        lambda _, hypers, step: optax.chain(
            optax.clip_by_global_norm(hypers.clip_norm), scale(), optax.scale(-hypers.learning_rate)
        ),
    )
    old = trained(dataclasses.replace(training, eval_size=9))  # another one, so that nothing is taken from a cache
    assert jax.tree.structure(new.opt_state) == jax.tree.structure(old.opt_state)
    assert all(map(np.array_equal, *map(jax.tree.leaves, ((new.params, new.opt_state), (old.params, old.opt_state)))))


def test_rate_and_norm_are_traced():
    training = training_of(optimizer="adamw@b1=0.8", schedule=Schedule("linear", 2, 9))
    init, advance = jax.jit(training.init), jax.jit(training.advance)
    found = {}
    for rate, norm in ((0.01, 1.0), (0.02, 1.0), (0.01, 0.01)):
        hypers = Hypers(np.uint32(0), np.float32(rate), np.float32(norm))
        found[rate, norm] = np.concatenate(
            [np.ravel(leaf) for leaf in jax.tree.leaves(advance(init(hypers), hypers, 3)[0].params)]
        )
    assert advance._cache_size() == 1
    assert len({each.tobytes() for each in found.values()}) == 3


# Schedules

SCHEDULES = {
    ("constant", 0): optax.constant_schedule(RATE),
    ("constant", 4): optax.join_schedules([optax.linear_schedule(0, RATE, 4), optax.constant_schedule(RATE)], [4]),
    ("cosine", 0): optax.cosine_decay_schedule(RATE, 20),
    ("cosine", 4): optax.warmup_cosine_decay_schedule(0, RATE, 4, 20),
    ("linear", 0): optax.linear_schedule(RATE, 0, 20),
    ("linear", 4): optax.join_schedules([optax.linear_schedule(0, RATE, 4), optax.linear_schedule(RATE, 0, 16)], [4]),
}


@pytest.mark.standard_promotion
@pytest.mark.parametrize(("kind", "warmup_steps"), SCHEDULES)
def test_schedules_are_those_of_optax(kind, warmup_steps):
    schedule = Schedule.over(20, kind, warmup_steps)
    found = [float(schedule.rate(jnp.float32(RATE), jnp.int32(step))) for step in range(22)]
    expected = [float(SCHEDULES[kind, warmup_steps](step)) for step in range(22)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert found[0] == (0 if warmup_steps else np.float32(RATE))
    assert found[20] == pytest.approx(RATE if kind == "constant" else 0, abs=1e-9)


@pytest.mark.standard_promotion
@pytest.mark.parametrize("name", ["adam@b1=0.5,eps=0.001,nesterov=true", "adamw@weight_decay=0.1"])
def test_a_run_takes_the_rate_of_its_update(name):
    training = training_of("gap", optimizer=name, schedule=Schedule("cosine", 2, NUM_UPDATES))
    rates = optax.warmup_cosine_decay_schedule(0, RATE, 2, NUM_UPDATES)
    optimizer = optax.chain(optax.clip_by_global_norm(NORM), DIRECT[name](rates))
    params = trained(training).params
    assert_same(params, by_hand(training, optimizer))


def test_a_schedule_goes_on_in_another_chunk():
    """Under strict promotion of types, which a sweep does not have but a user of `Training` may."""
    training = training_of(optimizer="lion", schedule=Schedule("linear", 2, 9))
    advance = jax.jit(training.advance)
    state = jax.jit(training.init)(HYPERS)
    for num_updates in (1, 3, 2):
        state, _ = advance(state, HYPERS, num_updates)
    assert_same(state.params, trained(training).params, atol=0)


def test_a_warm_up_ends_before_the_budget():
    assert Schedule.over(15, "constant", 3) == Schedule.over(99, "constant", 3)
    with pytest.raises(ValueError, match="warmup_steps: expected at most 14, got 15"):
        Schedule.over(15, "cosine", 15)
    with pytest.raises(ConfigError, match="warmup_steps: got 15; expected fewer than max_steps, 15"):
        TINY.replace(warmup_steps=15)


# Precision


@pytest.mark.parametrize(
    ("precision", "there", "elsewhere"),
    [
        ("float32", "precision = [HIGHEST, HIGHEST]", "precision = [DEFAULT, DEFAULT]"),
        ("tf32", "precision = [HIGH, HIGH]", "HIGHEST"),
        ("bfloat16", "algorithm = <lhs_precision_type = bf16, rhs_precision_type = bf16", "HIGH"),
    ],
)
def test_every_product_of_a_model_has_the_precision(precision, there, elsewhere):
    """Forward, backward and evaluated; whatever the process's own option says. States and sums stay float32."""
    training = training_of(precision=precision)
    state = jax.eval_shape(training.init, HYPERS)
    programs = (jax.jit(training.advance).lower(state, HYPERS, 3), jax.jit(training.evaluate).lower(state))
    for program, least in zip(programs, (5, 2), strict=True):
        lines = [line for line in program.as_text().splitlines() if "dot_general" in line]
        assert len(lines) >= least
        assert all(there in line and elsewhere not in line for line in lines), lines
        assert all(re.search(r"-> tensor<[\dx]*f32>", line) for line in lines)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))


def test_a_cpu_says_that_it_has_no_other_precision(monkeypatch):
    assert make_jobs(TINY)[1] == []
    for precision in ("tf32", "bfloat16"):
        (line,) = make_jobs(TINY.replace(precision=precision))[1]
        assert line == f"precision: {precision} is for accelerators; on this machine's CPU all is float32"
    assert make_jobs(TINY.replace(precision="tf32", executor="slurm"))[1] == []
    monkeypatch.setattr("lstm_jax.sweeps.plan.has_accelerator", lambda: True)
    assert make_jobs(TINY.replace(precision="tf32"))[1] == []


# A sweep


def test_a_sweep_with_an_optimizer_of_ones_own(tmp_path):
    config = TINY.replace(
        optimizer="own_optimizers:signs@decay=0.5", schedule="linear", warmup_steps=3, precision="tf32", out=tmp_path
    )
    outcome = run_sweep(config, rich.console.Console(file=io.StringIO(), width=200))
    (record,) = outcome.records
    assert record.run.steps == 15 and record.run.status == "unsolved"
    options = {"optimizer": "own_optimizers:signs@decay=0.5", "schedule": "linear", "warmup_steps": 3}
    assert (options | {"precision": "tf32"}).items() <= record.settings.items()
    assert "optimizer: own_optimizers:signs@decay=0.5\n" in (tmp_path / "sweep.yaml").read_text()
    (job,), _ = make_jobs(config)
    assert record.run.settings == job.settings.hash
    state = states.restore(tmp_path / "checkpoints" / job.name, job, job.runs[0])
    training = job.training()
    hypers = Hypers(np.uint32(0), np.float32(0.01), np.float32(1))
    params = jax.jit(training.advance)(jax.jit(training.init)(hypers), hypers, 15)[0].params
    assert_same(state.params, params, atol=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "adm",
            "unknown optimizer 'adm': did you mean 'adam'? choose from adam, adamw, sgd, rmsprop, lion, or package",
        ),
        ("adabelief", "unknown optimizer 'adabelief': did you mean 'optax:adabelief'? choose from adam"),
        ("optax:adabeleif", "optimizer 'optax:adabeleif': optax has no 'adabeleif'; did you mean 'adabelief'?"),
        (
            "optax:clip",
            "optimizer 'optax:clip': expected a function or class that is given learning_rate, got <function",
        ),
        ("no.such:Name", "optimizer 'no.such:Name': can't import 'no.such' (ModuleNotFoundError"),
        (
            "adam@beta1=0.9",
            "optimizer 'adam@beta1=0.9': unknown setting 'beta1'; did you mean 'b1'? choose from b1, b2",
        ),
        ("rmsprop@b1=0.9", "optimizer 'rmsprop@b1=0.9': unknown setting 'b1'; choose from decay, eps"),
        ("adam@b1=high", "optimizer 'adam@b1=high': b1: got 'high'; expected a finite number, true, false or none"),
        ("adam@b1=nan", "b1: got 'nan'; expected a finite number"),
        ("adam@learning_rate=1", "learning_rate is set by the experiment's own option, not here"),
        ("own_optimizers:demanding", "optimizer 'own_optimizers:demanding': missing a required argument: 'momentum'"),
        ("own_optimizers:nothing", "expected an optax.GradientTransformation, got None"),
        ("own_optimizers:without_rate", "expected a function or class that is given learning_rate"),
        ("own_optimizers:signs@kind=odd", "kind: expected plain, got odd"),
        ("own_optimizers:decided", "'own_optimizers:decided' can't be made (TracerBoolConversionError"),
        ("own_optimizers:growing", "expected a state of the same arrays after an update"),
        ("own_optimizers:with_key", "expected a state of numbers; a key goes as jax.random.key_data(key)"),
        ("optax:lbfgs", "'optax:lbfgs' can't be made (TypeError"),
    ],
)
def test_what_cannot_train_is_told_before_anything_trains(name, message):
    with pytest.raises(ConfigError) as caught:
        make_jobs(TINY.replace(optimizer=name))
    text = str(caught.value)
    assert text.startswith("optimizer: ") and message in text and "\n" not in text


def test_no_name_is_no_optimizer():
    with pytest.raises(ConfigError, match="optimizer: got ''; expected adam, adamw"):
        TINY.replace(optimizer="")


def test_words_go_where_an_argument_takes_words():
    made = make_optimizer("adam@mu_dtype=bfloat16", 0.1)
    assert made.init(jnp.zeros(3))[0].mu.dtype == jnp.bfloat16
    assert make_optimizer("own_optimizers:signs@kind=plain", 0.1)
    with pytest.raises(ValueError, match="expected a finite number, true, false or none"):
        make_optimizer("own_optimizers:signs@decay=plain", 0.1)
