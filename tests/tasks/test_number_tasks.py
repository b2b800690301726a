"""Tasks of real numbers, images by pixel and labels: trained, scored and reported as those of tokens are."""

from __future__ import annotations

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import batch_of, held_out
from cell_cases import call
from scipy import special, stats

from lstm_jax.analysis.gaps.summary import summarise
from lstm_jax.cells import make_cell
from lstm_jax.errors import ConfigError
from lstm_jax.models import ModelConfig, Sizes, make_model
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import checked_task, make_jobs, memory_bytes
from lstm_jax.sweeps.stages.choice import tuned_rate
from lstm_jax.sweeps.stages.run_table import tabulate
from lstm_jax.sweeps.store.records import Run
from lstm_jax.tasks import make_task
from lstm_jax.tasks.base import fingerprints
from lstm_jax.tasks.kinds import Classes, Labels, Reals, Tokens, Vectors
from lstm_jax.training import Hypers, Training

NAMES = [f"number_tasks:{name}" for name in ("FirstNumber", "EveryNumber", "Parts", "Pixels")]
NAMES += ["adding", "adding@markers=anywhere", "adding@markers=hochreiter"]
RNG = np.random.default_rng(0)


def numbers_of(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# Losses and scores, against NumPy


def test_classes():
    outputs, targets = numbers_of(2, 5, 4), jnp.asarray(RNG.integers(4, size=(2, 5)))
    logs = special.log_softmax(np.float64(outputs), axis=-1)
    expected = -np.take_along_axis(logs, np.asarray(targets)[..., None], -1)[..., 0]
    np.testing.assert_allclose(Classes(4).losses(outputs, targets), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(Classes(4).scores(outputs, targets), np.argmax(outputs, -1) == targets)


def test_labels():
    outputs, targets = numbers_of(2, 5, 4), jnp.asarray(RNG.integers(2, size=(2, 5, 4)))
    probability = special.expit(np.float64(outputs))
    expected = -np.log(np.where(targets, probability, 1 - probability)).mean(-1)
    np.testing.assert_allclose(Labels(4).losses(outputs, targets), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        Labels(4).scores(outputs, targets), np.mean((np.asarray(outputs) > 0) == np.asarray(targets), -1), atol=1e-7
    )


def test_numbers():
    outputs, targets = numbers_of(2, 5, 3), numbers_of(2, 5, 3)
    expected = ((np.float64(outputs) - np.float64(targets)) ** 2).mean(-1)
    np.testing.assert_allclose(Reals(3).losses(outputs, targets), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(Reals(3).scores(outputs, targets), expected, rtol=0, atol=1e-6)


def test_luck_of_numbers_is_that_of_normal_targets():
    """The error of the best constant on n targets, against what counts as solved."""
    draws = RNG.normal(size=(200_000, 4))
    found = ((draws**2).mean(axis=1) <= 0.1).mean()
    luck = Reals(1).luck(np.array([4]), chance=2.0, solved_at=0.2)[0]
    assert luck == pytest.approx(stats.chi2.cdf(0.4, 4), rel=1e-12) == pytest.approx(found, abs=0.002)


# Tasks


@pytest.mark.parametrize("name", NAMES)
def test_the_solver_has_solved_and_a_constant_is_at_chance(name):
    task = make_task(name, 6)
    batch = jax.jit(task.held_out, static_argnums=0)(2048)
    answers, recall = np.asarray(task.solve(np.asarray(batch.inputs))), np.asarray(batch.recall)

    scores_of = jax.jit(task.outputs.scores)

    def score(outputs):
        scores = np.asarray(scores_of(outputs, batch.targets))
        return float((scores * recall).sum() / recall.sum())

    right = np.eye(2)[answers] if isinstance(task.outputs, Classes) else answers
    right = (2.0 * right - 1.0 if isinstance(task.outputs, Labels) else right).astype(np.float32)
    assert task.is_solved(score(jnp.asarray(right)))
    mean = right[recall == 1].mean() if isinstance(task.outputs, Reals) else 0.0
    assert score(jnp.asarray(np.full_like(right, mean))) == pytest.approx(task.chance, rel=0.1)
    assert not task.is_solved(task.chance) and not task.is_solved(float("nan"))


def test_worked_example_of_adding():
    task = make_task("adding", 4)
    inputs = np.array([[0.5, 0], [0.9, 1], [0.1, 1], [0.3, 0]], np.float32)
    assert task.solve(inputs[:, None]).item() == pytest.approx(1.0)
    assert task.show(inputs, np.array([[1.0]])) == "0.50 0.90* 0.10* 0.30 = 1.00"
    assert task.events(inputs) == [1, 2] and task.num_scored == 1


def marked(batch):
    """The steps of the two marks."""
    return np.stack([np.flatnonzero(column == 1.0) for column in batch.inputs[..., 1].T if (column == 1.0).sum() == 2])


@pytest.mark.parametrize(("markers", "first", "second"), [("halves", (0, 9), (10, 20)), ("anywhere", (0, 19), (1, 20))])
def test_marks_are_where_their_source_has_them(markers, first, second):
    """Of T = 21; and the loss without memory is that of the last number alone."""
    task = make_task(f"adding@markers={markers}", 21)
    batch = batch_of(task, 20_000)
    places = marked(batch)
    assert len(places) == 20_000 and (places.min(0)[0], places.max(0)[0]) == first
    assert (places.min(0)[1], places.max(0)[1]) == second
    number, mark = batch.inputs[-1].T
    guess = np.where(mark == 1, number + 0.5, 1.0)
    assert np.square(batch.targets[0, :, 0] - guess).mean() == pytest.approx(task.memoryless_loss, rel=0.03)


def test_adding_as_of_1997():
    """T = 100: lengths of 100 to 110, marks among the first 10 and 49 steps; a marked first number counts as 0."""
    task = make_task("adding@markers=hochreiter", 100)
    batch = batch_of(task, 5000)
    last = np.argmax(batch.recall, axis=0)
    assert (last.min(), last.max()) == (99, 109)
    marks = batch.inputs[..., 1]
    assert (marks[0] == -1).all() and (marks[last, np.arange(5000)] == -1).all() and (marks == -1).sum() == 10_000
    places = marked(batch)
    assert (places.min(), places[:, 0].max(), places.max()) == (1, 9, 48)
    assert 0.08 < (1 - len(places) / 5000) < 0.15
    assert -1 <= batch.inputs[..., 0].min() < -0.99 and 0.99 < batch.inputs[..., 0].max() <= 1


def test_sequences_of_fractions_have_their_own_fingerprints():
    """As whole numbers all would be 0, and none would be left to train on."""
    batch = batch_of(make_task("number_tasks:Pixels", 4), 500)
    assert len(np.unique(fingerprints(batch))) == 500
    again = fingerprints(batch._replace(inputs=batch.inputs[:, 100:200]))
    np.testing.assert_array_equal(again, fingerprints(batch)[100:200])


def test_training_leaves_out_the_held_out_sequences():
    task = make_task("number_tasks:FirstNumber", 3)
    training = Training(task, ModelConfig((make_cell("rnn", 4, 3),), 1, 1, readout="last"), batch_size=8, eval_size=16)
    mixed = jax.tree.map(
        lambda one, other: jnp.asarray(np.concatenate([one[:, :3], other[:, :5]], axis=1)),
        held_out(task, 16),
        batch_of(task, 8, seed=1),
    )
    apart = training._apart()
    object.__setattr__(task, "sample", lambda key, size: mixed)
    weights = jax.jit(lambda: training.train_batch(jax.random.key(0), jnp.int32(0), apart=apart).weights)()
    np.testing.assert_array_equal(weights, [[0.0] * 3 + [1.0] * 5])


def test_evaluation_in_parts_is_that_of_all(monkeypatch):
    task = make_task("number_tasks:EveryNumber", 3)
    training = Training(task, ModelConfig((make_cell("lstm", 4, 3),), 1, 1), batch_size=4, eval_size=24)
    state = jax.jit(training.init)(Hypers(jnp.uint32(0), jnp.float32(0.01), jnp.float32(1.0)))
    whole = jax.jit(training.evaluate)(state)
    batch = held_out(task, 24)
    outputs = np.asarray(call(training.trained(state), jnp.asarray(batch.inputs)))
    expected = float((((outputs - batch.targets) ** 2)[..., 0] * batch.recall).sum() / batch.recall.sum())
    assert float(whole.score) == float(whole.loss) == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr("lstm_jax.training.MAX_EVAL_STEPS", 6 * 8)
    parts = jax.jit(lambda state: training.evaluate(state))(state)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


# Errors


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FlatTargets", r"task: targets: expected \[S, B, 1\], got \[1, 2\]"),
        ("WrongWidth", r"task: inputs: expected vectors, \[T, B, 2\], got \[4, 2, 1\]"),
        ("NoInputs", r"task: .*NoInputs: expected num_tokens, or inputs"),
        ("FirstNumber@scale=0", r"task: expected a chance level above 0, the variance of the targets, got 0"),
    ],
)
def test_a_task_that_is_not_what_it_says(name, message):
    with pytest.raises(ConfigError, match=message):
        checked_task(SweepConfig.of(learning_rates=(0.003,), task=f"number_tasks:{name}"), 3)


def test_few_numbers_are_solved_by_luck():
    with pytest.raises(ConfigError, match=r"eval_size: got 1; expected at least .*, so that guessing, whose MSE is 1"):
        checked_task(SweepConfig.of(learning_rates=(0.003,), task="number_tasks:FirstNumber", eval_size=1), 3)
    checked_task(SweepConfig.of(learning_rates=(0.003,), task="number_tasks:FirstNumber", eval_size=32), 3)


@pytest.mark.parametrize("kind", [Tokens, Vectors, Classes, Labels, Reals])
def test_there_is_at_least_one(kind):
    with pytest.raises(ValueError, match="expected at least 1, got 0"):
        kind(0)


def test_memory_is_that_of_the_vectors():
    """A wide vector takes the room of a wide embedding."""
    (job,) = make_jobs(
        SweepConfig.of(learning_rates=(0.003,), task="number_tasks:Parts", cells=("rnn",), gaps=(50,), hidden_dim=4)
    )[0]
    narrow = memory_bytes(job, "autodiff")
    settings = dataclasses.replace(job.settings.model, embedding_dim=10_000)
    wide = dataclasses.replace(job, settings=dataclasses.replace(job.settings, model=settings))
    assert memory_bytes(wide, "autodiff") == narrow, "of an embedding that it does not have"


def test_models_of_tokens_say_so():
    with pytest.raises(
        ValueError, match="'own_models:Window': expected a task whose inputs are tokens, got one of vec"
    ):
        make_model("own_models:Window", Sizes(8, 3), form="sequence", num_tokens=None, num_outputs=1)


# Whole runs


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A directory with a sweep of FirstNumber that the command has made."""
    from experiments import gap_length

    out = tmp_path_factory.mktemp("numbers") / "out"
    argv = "--task number_tasks:FirstNumber --cells rnn lstm --gaps 1 2 --learning-rates 0.003 0.03 --hidden-dim 16"
    argv += " --seeds 0 --tuning-seeds 1 --max-steps 1000 --executor serial --wandb disabled"
    assert gap_length.main([*argv.split(), "--out", str(out)]) == 0
    return out


def test_a_sweep(swept):
    """Some run solves, by a score that falls; the tables say which score it is, and what chance and solved are."""
    with (swept / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["measure"] for row in rows} == {"MSE"}
    assert {(row["chance"], row["solved_at"]) for row in rows} == {("1.0", "0.01")}
    for row in rows:
        assert (float(row["score"]) <= 0.01) == (row["status"] == "solved")
    assert {row["status"] for row in rows if row["gap"] == "1" and row["learning_rate"] == "0.03"} == {"solved"}
    with (swept / "summary.csv").open() as file:
        assert {row["measure"] for row in csv.DictReader(file)} == {"MSE"}
    assert (swept / "gap_length.png").exists() and (swept / "learning_curves.png").exists()


def run_of(rate, score, **changes):
    values = {"status": "unsolved", "solved_step": None, "steps": 9} | changes
    return Run(
        "rnn-gap2", "rnn", "t", 2, 0, rate, 5, 9, None, score=score, loss=score, chance=1.0,
        duration_seconds=1.0, measure="MSE", solved_at=0.01, **values,
    )  # fmt: skip


def test_less_of_an_error_is_better():
    def chosen(*runs):
        (table,) = tabulate(runs)
        return table.learning_rates[tuned_rate(table, [0])]

    assert chosen(run_of(0.1, 0.9), run_of(0.01, 0.5), run_of(0.001, 0.7)) == 0.01
    diverged = run_of(0.01, None, status="diverged")
    assert chosen(run_of(0.1, 0.9), diverged) == 0.1, "diverged is at chance"
    (row,) = summarise([run_of(0.1, 0.25)], ())
    assert (row.score, row.chance, row.measure, row.solved_at) == (0.25, 1.0, "MSE", 0.01)


def test_an_own_level_counts_as_solved():
    task = make_task("number_tasks:OwnLevel", 2)
    assert task.is_solved(0.5) and not task.is_solved(0.51)


def test_vectors_are_taken_as_they_are():
    """A model of vectors has no embedding, and cells of the vectors' width."""
    config = SweepConfig.of(learning_rates=(0.003,), task="number_tasks:Parts", cells=("gru",), gaps=(2,), hidden_dim=4)
    (job,) = make_jobs(config)[0]
    model = job.training().model
    assert (model.num_tokens, model.input_dim, model.num_outputs) == (None, 2, 3)
