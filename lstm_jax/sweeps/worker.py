"""What a worker does with a job: compile once, train its runs, record each as it ends. jax is imported in here."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.jobs import ACCELERATOR_LANES, Job, RunKey, has_accelerator, run_row
from lstm_jax.sweeps.records import CurvePoint, Record, Status, write_record

if TYPE_CHECKING:
    from lstm_jax.training import Hypers, Training

Report = Callable[[str, str, Any], None]
"""Called with an event (`started`, `run`, `ended`), the job's name, and for `run` its Record."""


def set_up_process(index: int, num_workers: int) -> None:
    """Give this process one core and one thread, and end it with its parent. Must come before jax is imported."""
    flags = ["--xla_cpu_multi_thread_eigen=false"]
    if not has_accelerator():
        flags.append("--xla_backend_optimization_level=1")  # compiles faster, runs as fast: docs/decisions/0009
    os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")]).strip()  # the last one counts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if num_workers == len(cores):  # with fewer workers, two sweeps would pin themselves to the same cores
            os.sched_setaffinity(0, {cores[index]})
    parent = os.getppid()

    def watch_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch_parent, daemon=True).start()


@dataclasses.dataclass
class _Outcome:
    """What is known of a run so far, and the rule by which it ends."""

    curve: list[CurvePoint]
    passed: int = 0
    status: Status | None = None
    solved_step: int | None = None
    steps: int = 0

    def observe(self, point: CurvePoint, diverged_step: int, max_steps: int) -> None:
        from lstm_jax.training import DIVERGED_LOSS, SOLVED_ACCURACY, SOLVED_EVALUATIONS

        self.curve.append(point)
        self.steps = point.step
        self.passed = self.passed + 1 if point.accuracy >= SOLVED_ACCURACY else 0
        if diverged_step or not point.loss < DIVERGED_LOSS:  # NaN is not less than anything
            self.status, self.steps = "diverged", diverged_step or point.step
        elif self.passed == SOLVED_EVALUATIONS:
            self.status, self.solved_step = "solved", self.curve[-SOLVED_EVALUATIONS].step
        elif point.step >= max_steps:
            self.status = "unsolved"


def run_job(job: Job, directory: Directory, report: Report, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Train the runs of `job` that are not recorded yet; write each one's record as it ends, then a checkpoint.

    `should_stop` is asked between chunks: a run in the middle is then dropped, the ended ones are kept.
    """
    from lstm_jax.sweeps import checkpoints

    report("started", job.name, None)
    todo = [run for run in job.runs if not directory.is_done(job, run)]
    lanes = _num_lanes(job)  # whatever is left to do: another width would change the last bits
    programs = _compile(job, lanes)
    last_states: dict[RunKey, Any] = {}
    try:
        for start in range(0, len(todo), lanes):
            for run, record, state in _train(job, programs, todo[start : start + lanes], should_stop):
                last_states[run] = state
                write_record(directory.record_file(job, run), record)
                report("run", job.name, record)
    finally:
        if last_states:
            checkpoints.save(directory.checkpoints(job), job, last_states)
    report("ended", job.name, None)


@dataclasses.dataclass(frozen=True)
class _Programs:
    """The three compiled programs of a job, for runs stacked `lanes` wide."""

    training: Training
    lanes: int
    init: Callable[..., Any]
    advance: Callable[..., Any]
    evaluate: Callable[..., Any]


def _num_lanes(job: Job) -> int:
    import jax

    return job.lanes or (1 if jax.default_backend() == "cpu" else ACCELERATOR_LANES)


def _compile(job: Job, lanes: int) -> _Programs:
    import jax
    import numpy as np

    from lstm_jax.training import lift

    jax.config.update("jax_default_matmul_precision", "highest")  # on a GPU float32 would mean TF32
    training = job.training()
    hypers = _hypers(job, job.runs[:1], lanes)
    init = jax.jit(lift(training.init, lanes)).lower(hypers).compile()
    advance = jax.jit(lift(training.advance, lanes, (0, 0, None)), donate_argnums=0)
    evaluate = jax.jit(lift(training.evaluate, lanes))
    state = jax.eval_shape(lift(training.init, lanes), hypers)
    return _Programs(
        training,
        lanes,
        init,
        advance.lower(state, hypers, np.int32(0)).compile(),
        evaluate.lower(state).compile(),
    )


def _hypers(job: Job, runs: Sequence[RunKey], lanes: int) -> Hypers:
    """The traced values of a group; one that is not full repeats its last run, so that the width stays the same."""
    import numpy as np

    from lstm_jax.training import Hypers

    full = [*runs, *[runs[-1]] * (lanes - len(runs))]
    columns: list[Any] = [  # NumPy's arrays: making jax's would compile a program for each
        np.array([run.seed for run in full], np.uint32),
        np.array([run.learning_rate for run in full], np.float32),
        np.full(lanes, job.clip_norm, np.float32),
    ]
    return Hypers(*columns)


def _train(
    job: Job, programs: _Programs, group: Sequence[RunKey], should_stop: Callable[[], bool]
) -> Iterator[tuple[RunKey, Record, Any]]:
    """Train a group of runs side by side; yields each, with its record and last state, as it ends."""
    import jax
    import numpy as np

    from lstm_jax.sweeps import checkpoints

    hypers = _hypers(job, group, programs.lanes)
    state = programs.init(hypers)
    jax.block_until_ready(state)
    started = time.perf_counter()
    outcomes = [_Outcome([]) for _ in group]
    step = 0
    while any(outcome.status is None for outcome in outcomes) and not should_stop():
        num_updates = min(job.chunk_steps, job.max_steps - step)
        state, metrics = programs.advance(state, hypers, np.int32(num_updates))
        step += num_updates
        metrics, evaluation = jax.device_get((metrics, programs.evaluate(state)))
        going_on = [lane for lane, outcome in enumerate(outcomes) if outcome.status is None]
        for lane in going_on:
            point = CurvePoint(
                step,
                float(metrics.train_loss[lane]),
                float(evaluation.loss[lane]),
                float(evaluation.accuracy[lane]),
                float(evaluation.sequence_loss[lane]),
                programs.training.task.memoryless_loss,
                float(metrics.grad_norm[lane]),
            )
            outcomes[lane].observe(point, int(metrics.diverged_step[lane]), job.max_steps)
        ended = [lane for lane in going_on if outcomes[lane].status is not None]
        host_state = checkpoints.to_host(state) if ended else None
        for lane in ended:
            outcome = outcomes[lane]
            assert outcome.status is not None
            row = run_row(
                job,
                programs.training,
                group[lane],
                outcome.status,
                solved_step=outcome.solved_step,
                steps=outcome.steps,
                accuracy=outcome.curve[-1].accuracy,
                loss=outcome.curve[-1].loss,
                duration_seconds=round((time.perf_counter() - started) / len(group), 3),
            )
            yield (
                group[lane],
                Record(row, tuple(outcome.curve)),
                jax.tree.map(lambda leaf, lane=lane: leaf[lane], host_state),
            )
