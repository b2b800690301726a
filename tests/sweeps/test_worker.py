"""A job in a worker: what it records, when runs end, what it compiles, and where it can go on from."""

from __future__ import annotations

import dataclasses
import time

import jax
import numpy as np
import programs
import pytest

from lstm_jax.lanes import lift
from lstm_jax.sweeps.config.options import SweepConfig, replaced
from lstm_jax.sweeps.job import RunKey
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import read_record
from lstm_jax.sweeps.store.status import read_status
from lstm_jax.sweeps.worker import job as worker
from lstm_jax.sweeps.worker import states as checkpoints
from lstm_jax.sweeps.worker import vmapped
from lstm_jax.sweeps.worker.job import run_job
from lstm_jax.sweeps.worker.vmapped import LiveRun
from lstm_jax.training import Hypers

CONFIG = SweepConfig.of(
    cells=("lstm",),
    gaps=(2,),
    hidden_dim=16,
    learning_rates=(0.02,),
    seeds=(0, 1),
    tuning_seeds=(),
    batch_size=16,
    eval_size=64,
    chunk_steps=25,
    max_steps=300,
)


@pytest.fixture(autouse=True)
def _programs(monkeypatch, request):
    if "compil" not in request.node.name:
        programs.share(monkeypatch)


def run(tmp_path, should_stop=lambda: False, **changes):
    (job,) = make_jobs(CONFIG.replace(**changes))[0]
    return job, run_job(job, Directory(tmp_path), should_stop)


def changed(job, **options):
    return dataclasses.replace(job, settings=replaced(job.settings, **options))


def records_of(tmp_path, job):
    return Directory(tmp_path).records([job])


def but_durations(records):
    """And but for the checkpoint's number, which counts how often a job was gone at."""
    return [
        dataclasses.replace(record, run=dataclasses.replace(record.run, duration_seconds=0.0), checkpoint="")
        for record in records
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained")
    job, outcome = run(path)
    return path, job, outcome


def test_records_and_curves(trained):
    path, job, outcome = trained
    records = records_of(path, job)
    assert [(record.run.seed, record.run.learning_rate) for record in records] == [(0, 0.02), (1, 0.02)]
    assert outcome.status == "done"
    for record in records:
        assert [point.step for point in record.curve] == list(range(25, record.run.steps + 1, 25))
        assert record.run.forget_bias == 1.0 and record.run.chance == 0.125 and record.run.task == "gap"
        assert (record.run.score, record.run.loss) == (record.curve[-1].score, record.curve[-1].loss)


def test_a_solved_run_stops_at_the_third_good_evaluation(trained):
    path, job, _ = trained
    for record in records_of(path, job):
        assert record.run.status == "solved"
        assert (
            record.run.steps
            == record.run.solved_step + 2 * job.settings.training.chunk_steps
            < job.settings.training.max_steps
        )
        good = [point.step for point in record.curve if point.score >= 0.99]
        assert good[-3:] == [record.run.solved_step + 25 * n for n in range(3)]


@pytest.mark.parametrize(
    ("accuracies", "status", "solved_step"),
    [
        ([1.0, 1.0, 1.0], "solved", 10),
        ([0.99, 0.99, 0.98, 0.99, 1.0, 0.99], "solved", 40),
        ([1.0, 1.0, 0.98999, 1.0, 1.0, 0.5, 1.0, 1.0], "unsolved", None),
        ([0.1] * 8, "unsolved", None),
        ([0.1] * 5 + [1.0] * 3, "solved", 60),
    ],
)
def test_solved_means_three_evaluations_in_a_row(trained, accuracies, status, solved_step):
    point = records_of(*trained[:2])[0].curve[0]
    job = changed(trained[1], max_steps=80)
    lane = LiveRun(RunKey(0, 0.02))
    for index, accuracy in enumerate(accuracies, 1):
        assert lane.status is None
        lane.observe(dataclasses.replace(point, step=10 * index, score=accuracy), accuracy >= 0.99, 0, job)
    assert (lane.status, lane.solved_step, lane.ended_step) == (status, solved_step, 10 * len(accuracies))


def test_a_run_that_need_not_stop_goes_on_and_keeps_when_it_solved(trained):
    point = records_of(*trained[:2])[0].curve[0]
    job = changed(trained[1], max_steps=80, stop_when_solved=False)
    lane = LiveRun(RunKey(0, 0.02))
    for step, accuracy in zip(range(10, 90, 10), [0.5, 1.0, 1.0, 1.0, 0.5, 1.0, 0.5, 0.5], strict=True):
        assert lane.status is None
        lane.observe(dataclasses.replace(point, step=step, score=accuracy), accuracy >= 0.99, 0, job)
        lane = LiveRun.from_json(lane.to_json()) if step < 80 else lane
    assert (lane.status, lane.solved_step, lane.ended_step) == ("solved", 20, 80)


@pytest.mark.parametrize(("loss", "diverged_step"), [(float("nan"), 0), (float("inf"), 0), (2e6, 0), (1.0, 7)])
def test_what_counts_as_diverged(trained, loss, diverged_step):
    point = records_of(*trained[:2])[0].curve[0]
    lane = LiveRun(RunKey(0, 0.02))
    lane.observe(dataclasses.replace(point, step=10, loss=loss, score=1.0), True, diverged_step, trained[1])
    assert (lane.status, lane.solved_step, lane.ended_step) == ("diverged", None, diverged_step or 10)


@pytest.mark.parametrize(("loss", "diverged_step"), [(float("nan"), 0), (2e6, 0), (1.0, 63)])
def test_a_run_that_solved_and_overflows_later_is_solved_whether_it_stops_or_not(trained, loss, diverged_step):
    """One that overflows before it has passed three times, or as it does, is not."""
    point = records_of(*trained[:2])[0].curve[0]
    for before, status, solved_step in ((5, "solved", 30), (4, "diverged", None)):
        ended = []
        for stops in (True, False):
            job, lane = changed(trained[1], max_steps=80, stop_when_solved=stops), LiveRun(RunKey(0, 0.02))
            for index in range(1, 8):
                if lane.status is None:
                    at_end = index > before
                    its = dataclasses.replace(point, step=10 * index, loss=loss if at_end else 1.0)
                    lane.observe(its, index >= 3, diverged_step if at_end else 0, job)
            ended.append((lane.status, lane.solved_step, lane.overflowed))
        assert [each[:2] for each in ended] == [(status, solved_step)] * 2
        assert ended[1][2] and ended[0][2] == (status == "diverged")
        assert lane.ended_step == (diverged_step or 10 * before + 10)


def test_the_same_job_gives_the_same_numbers(trained, tmp_path):
    path, job, _ = trained
    run(tmp_path)
    assert but_durations(records_of(tmp_path, job)) == but_durations(records_of(path, job))


def test_a_run_that_is_recorded_is_not_trained_again(trained, tmp_path):
    path, job, _ = trained
    first, _ = run(tmp_path, seeds=(1,))
    stamp = Directory(tmp_path).record_file(first, RunKey(1, 0.02)).stat().st_mtime_ns
    run(tmp_path)
    assert Directory(tmp_path).record_file(first, RunKey(1, 0.02)).stat().st_mtime_ns == stamp
    assert but_durations(records_of(tmp_path, job)) == but_durations(records_of(path, job))
    for seed in (0, 1):  # both goes have left their checkpoints
        checkpoints.restore(Directory(tmp_path).checkpoints(job), job, RunKey(seed, 0.02))


def test_a_diverged_run_ends_at_once_and_the_others_go_on(tmp_path):
    job, _ = run(tmp_path, learning_rates=(3e38, 0.02), tuning_seeds=(9,), seeds=(0,))
    by_rate = {record.run.learning_rate: record.run for record in records_of(tmp_path, job) if record.run.seed == 0}
    assert by_rate[3e38].status == "diverged" and 1 <= by_rate[3e38].steps <= 4 and by_rate[3e38].solved_step is None
    assert by_rate[0.02].status == "solved"


def test_the_budget_is_kept_where_chunks_do_not_divide_it(tmp_path):
    job, _ = run(tmp_path, max_steps=40, learning_rates=(1e-6,), seeds=(0,))
    (record,) = records_of(tmp_path, job)
    assert record.run.status == "unsolved" and record.run.steps == 40
    assert [point.step for point in record.curve] == [13, 26, 39, 40]


@pytest.mark.parametrize(
    ("max_steps", "chunk_steps"), [(3, 50), (4, 50), (20, 10), (40, 25), (100, 50), (600, 50), (7, 1)]
)
def test_any_budget_is_enough_to_have_solved(trained, max_steps, chunk_steps):
    job = changed(trained[1], max_steps=max_steps, chunk_steps=chunk_steps)
    point, lane = records_of(*trained[:2])[0].curve[0], LiveRun(RunKey(0, 0.02))
    while lane.status is None:
        step = lane.boundary(job)
        assert lane.step < step <= lane.step + chunk_steps
        lane.step = step
        lane.observe(dataclasses.replace(point, step=step, score=1.0), True, 0, job)
    assert lane.status == "solved" and lane.solved_step == lane.curve[0].step


def test_a_small_budget_does_not_say_that_nothing_is_learned(tmp_path):
    job, _ = run(tmp_path, max_steps=200, chunk_steps=200, seeds=(0,), stop_when_solved=False)
    (record,) = records_of(tmp_path, job)
    assert record.run.status == "solved" and [point.step for point in record.curve] == [66, 132, 198, 200]


def count_compilations(function):
    names = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(names)


def test_a_job_compiles_three_programs_whatever_its_runs(tmp_path):
    """init, advance and evaluate; learning rate, clip norm and seed are traced, chunks of any size share a program."""
    # what the first job of a process and of a cell compiles besides: the unpacking of keys, the check of the cell
    run(tmp_path / "warm", hidden_dim=9)
    one = count_compilations(lambda: run(tmp_path / "one", seeds=(0,), hidden_dim=9, max_steps=30))
    many = count_compilations(
        lambda: run(
            tmp_path / "many", seeds=(0, 1, 2), tuning_seeds=(3,), learning_rates=(0.1, 0.2), hidden_dim=9, max_steps=40
        )
    )
    assert one == many == 3


def test_checkpoint_goes_on_bitwise(trained):
    path, job, _ = trained
    run_key = RunKey(1, 0.02)
    restored = checkpoints.restore(Directory(path).checkpoints(job), job, run_key)
    record = records_of(path, job)[1]
    training = job.training(record.run.backward)
    # The worker's own programs: of another one, the last bits may differ.
    assert record.run.lanes == 1
    init, advance = (
        jax.jit(lift(each, 1, axes)) for each, axes in ((training.init, 0), (training.advance, (0, 0, None)))
    )
    hypers = Hypers(np.uint32([1]), np.float32([0.02]), np.float32([job.settings.training.clip_norm]))
    steps = record.run.steps
    state, _ = advance(init(hypers), hypers, steps)
    assert int(restored.step) == steps
    on, _ = advance(jax.tree.map(lambda leaf: leaf[None], restored), hypers, 20)
    whole, _ = advance(state, hypers, 20)
    for left, right in zip(
        jax.tree.leaves(checkpoints.to_host(on)), jax.tree.leaves(checkpoints.to_host(whole)), strict=True
    ):
        assert left.dtype == right.dtype and np.array_equal(left, right)


def test_a_checkpoint_that_is_not_there_is_named(trained):
    path, job, _ = trained
    with pytest.raises(ValueError, match="expected a checkpoint of lstm-gap2"):
        checkpoints.restore(Directory(path).checkpoints(job), job, RunKey(77, 0.02))


@pytest.mark.parametrize("lanes", [2, 3])
def test_lanes_end_one_by_one_with_their_own_states(tmp_path, lanes):
    """Runs side by side: each is recorded, and its state kept, as of the chunk in which it ended."""
    job, _ = run(tmp_path, lanes=lanes, seeds=(0, 1, 2), learning_rates=(0.02, 1e-6), tuning_seeds=(5,), max_steps=200)
    records = records_of(tmp_path, job)
    assert len(records) == 8 and {record.run.lanes for record in records} == {lanes}
    evaluate = jax.jit(job.training().evaluate)
    for record in records:
        key = RunKey(record.run.seed, record.run.learning_rate)
        state = checkpoints.restore(Directory(tmp_path).checkpoints(job), job, key)
        assert int(state.step) == record.run.steps
        assert record.run.status == ("solved" if key.learning_rate == 0.02 else "unsolved")
        evaluation = evaluate(state)
        assert float(evaluation.score) == record.run.score
        assert float(evaluation.loss) == pytest.approx(record.run.loss, rel=1e-4)


def test_flax_cells_train_and_checkpoint(tmp_path):
    job, _ = run(tmp_path, cells=("flax.nnx:GRUCell",), seeds=(0,))
    (record,) = records_of(tmp_path, job)
    assert record.run.status == "solved" and record.run.forget_bias is None
    assert read_record(Directory(tmp_path).record_file(job, RunKey(0, 0.02))) == record
    checkpoints.restore(Directory(tmp_path).checkpoints(job), job, RunKey(0, 0.02))


def test_forget_bias_is_recorded_where_it_is_one_number(tmp_path):
    biases = {}
    for cell in ("rnn", "lstm@forget_bias=5", "lstm@chrono=true", "gru@update_bias=2"):
        job, _ = run(tmp_path, cells=(cell,), seeds=(0,), max_steps=3, hidden_dim=4)
        biases[cell] = records_of(tmp_path, job)[0].run.forget_bias
    assert biases == {"rnn": None, "lstm@forget_bias=5": 5.0, "lstm@chrono=true": None, "gru@update_bias=2": 2.0}


def test_duration_does_not_count_compilation(tmp_path):
    started = time.perf_counter()
    job, _ = run(tmp_path, seeds=(0,), max_steps=3, hidden_dim=11)
    assert records_of(tmp_path, job)[0].run.duration_seconds < 0.3 * (time.perf_counter() - started)


# A row states one way of making its numbers


def stop_after(number):
    """A `should_stop` that says so when it is asked the `number`th time."""
    asked = iter(range(1, 10_000))
    return lambda: next(asked) >= number


def notes_of(tmp_path, job):
    return " ".join(read_status(Directory(tmp_path).status_file(job.name)).notes)


UNEVENTFUL = {"max_steps": 100, "learning_rates": (1e-5,), "seeds": (0, 1, 2, 3)}  # no run solves


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed")
    return but_durations(records_of(path, run(path, **UNEVENTFUL)[0]))


@pytest.mark.parametrize(("what", "other"), [("_backward", "checkpoint"), ("_first_width", 4)])
def test_a_run_goes_on_in_the_way_of_its_checkpoint(tmp_path, monkeypatch, undisturbed, what, other):
    """Though this process would choose otherwise: memory was short before, or is now."""
    job, outcome = run(tmp_path, stop_after(3), **UNEVENTFUL)
    assert outcome.status == "stopped"
    monkeypatch.setattr(worker, what, lambda *_: other)
    job, outcome = run(tmp_path, **UNEVENTFUL)
    assert outcome.status == "done"
    assert but_durations(records_of(tmp_path, job)) == undisturbed


@pytest.mark.parametrize("fact", ["device", "environment"])
def test_a_run_made_otherwise_starts_anew_and_is_not_called_damaged(tmp_path, monkeypatch, undisturbed, fact):
    job, _ = run(tmp_path, stop_after(3), **UNEVENTFUL)
    function = {"device": "device_name", "environment": "environment"}[fact]
    monkeypatch.setattr(vmapped, function, lambda: "another")
    job, outcome = run(tmp_path, **UNEVENTFUL)
    assert outcome.status == "done"
    notes = notes_of(tmp_path, job)
    assert f"was made otherwise ({fact} " in notes and "now 'another'" in notes and "start anew" in notes
    assert "damaged" not in notes
    assert list((tmp_path / "quarantine").glob("*/checkpoints/*/running-*")), "it is kept all the same"
    ours = [dataclasses.replace(record, run=dataclasses.replace(record.run, device="")) for record in undisturbed]
    found = but_durations(records_of(tmp_path, job))
    assert [dataclasses.replace(record, run=dataclasses.replace(record.run, device="")) for record in found] == ours


def test_out_of_memory_in_the_middle(tmp_path, monkeypatch):
    """The wider program's runs start anew, said in a word of its own; a later command goes on with fewer at once."""
    settings = UNEVENTFUL | {"lanes": 4}
    run(tmp_path, stop_after(3), **settings)
    advance = vmapped.VmappedRuns.advance

    def refuse(self):
        if self.width == 4:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return advance(self)

    monkeypatch.setattr(vmapped.VmappedRuns, "advance", refuse)
    job, outcome = run(tmp_path, stop_after(3), **settings)
    notes = notes_of(tmp_path, job)
    assert outcome.status == "stopped" and "out of memory with 4 runs side by side: 2 from here on" in notes
    assert "was made otherwise (width 4, now 2)" in notes and "damaged" not in notes
    job, outcome = run(tmp_path, **settings)
    assert outcome.status == "done" and notes_of(tmp_path, job) == "", (
        "it goes on, and no memory is short a second time"
    )
    assert {record.run.lanes for record in records_of(tmp_path, job)} == {2}


def test_a_training_loss_is_the_mean_of_its_chunk(trained):
    """And not of all updates so far."""
    path, job, _ = trained
    record = records_of(path, job)[0]
    training = job.training(record.run.backward)
    hypers = Hypers(np.uint32(0), np.float32(0.02), np.float32(job.settings.training.clip_norm))
    advance, state = jax.jit(training.advance), jax.jit(training.init)(hypers)
    for point in record.curve[:3]:
        state, metrics = advance(state, hypers, 25)
        assert point.train_loss == pytest.approx(float(metrics.train_loss), rel=1e-4)
        assert point.grad_norm == pytest.approx(float(metrics.grad_norm), rel=1e-3)
