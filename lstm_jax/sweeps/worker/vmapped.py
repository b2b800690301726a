"""The unfinished runs of a job, trained side by side in one vmapped program.

A run that ends leaves its lane at the end of its chunk, and the next one of the job takes it. Lanes are independent, so
results do not depend on which runs share a program.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

from lstm_jax.lanes import lift
from lstm_jax.models.base import graphdef
from lstm_jax.scan import Backward
from lstm_jax.sweeps.config.fields import single
from lstm_jax.sweeps.environment import environment
from lstm_jax.sweeps.job import Job, RunKey
from lstm_jax.sweeps.machine import versions
from lstm_jax.sweeps.store.records import CurvePoint, Record, Status, plain_tables, renamed, run_row
from lstm_jax.sweeps.worker.states import to_host
from lstm_jax.tasks.solved import SOLVED_EVALUATIONS
from lstm_jax.training import DIVERGED_LOSS, NO_UPDATES, Hypers, Training

CALL_SECONDS = 1.0
"""Target seconds per call of the compiled program. A stop request waits at most this long."""


@dataclasses.dataclass
class LiveRun:
    """An unfinished run as the host knows it, and the rule by which it ends."""

    key: RunKey
    step: int = 0
    curve: list[CurvePoint] = dataclasses.field(default_factory=list)
    passed: int = 0
    seconds: float = 0.0
    status: Status | None = None
    solved_step: int | None = None
    ended_step: int = 0
    overflowed: bool = False

    def boundary(self, job: Job) -> int:
        """The update after which it is evaluated next."""
        return min(
            (self.step // job.settings.eval_steps + 1) * job.settings.eval_steps, job.settings.training.max_steps
        )

    def observe(self, point: CurvePoint, passed: bool, diverged_step: int, job: Job) -> None:
        """Take note of an evaluation, whose score counts as solved or not; sets `status` where the run has ended.

        A run that has solved stays solved, also where it need not stop then and overflows: the same verdict either way.
        """
        training = job.settings.training
        self.curve.append(point)
        self.ended_step = point.step
        self.overflowed = bool(diverged_step) or not point.loss < DIVERGED_LOSS  # NaN is not less than anything
        self.passed = self.passed + 1 if passed and not self.overflowed else 0
        if self.solved_step is None and self.passed == SOLVED_EVALUATIONS:
            self.solved_step = self.curve[-SOLVED_EVALUATIONS].step
        is_solved = self.solved_step is not None
        if self.overflowed:
            self.status, self.ended_step = "solved" if is_solved else "diverged", diverged_step or point.step
        elif point.step >= training.max_steps or (is_solved and training.stop_when_solved):
            self.status = "solved" if is_solved else "unsolved"

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint's manifest holds of it."""
        tree = {"run": list(self.key), "step": self.step, "passed": self.passed, "seconds": self.seconds}
        curve = [dataclasses.asdict(point) for point in self.curve]
        return tree | {"solved_step": self.solved_step, "curve": curve}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> LiveRun:
        """The inverse of `to_json`."""
        curve = [CurvePoint(**renamed(point)) for point in tree["curve"]]
        run = cls(RunKey(*tree["run"]), tree["step"], curve, tree["passed"], tree["seconds"])
        return dataclasses.replace(run, solved_step=tree["solved_step"])


class VmappedRuns:
    """`width` lanes on each local device, and the three programs that they share: init, advance, evaluate."""

    def __init__(self, job: Job, width: int, backward: Backward) -> None:
        self._job, self.width = job, width
        self._training: Training = job.training(backward)
        self._num_lanes = width * jax.local_device_count()
        self.runs: dict[int, LiveRun] = {}
        """Unfinished runs, by the lane that each has."""
        self._num_updates = 1  # per call; grows to what CALL_SECONDS allow
        self._compile()

    def _compile(self) -> None:
        init, advance, evaluate = (
            _over_devices(lift(function, self.width, in_axes), in_axes)
            for function, in_axes in (
                (self._training.init, (0,)),
                (self._training.advance, (0, 0, None, 0)),
                (self._training.evaluate, (0,)),
            )
        )
        graphdef(self._training.model)
        hypers = self._fill({0: self._hypers_of(self._job.runs[0])})
        metrics = self._fill({0: NO_UPDATES})
        state = jax.eval_shape(init, hypers)
        self._init = jax.jit(init).lower(hypers).compile()
        self._advance = jax.jit(advance, donate_argnums=0).lower(state, hypers, np.int32(0), metrics).compile()
        self._evaluate = jax.jit(evaluate).lower(state).compile()

    def _hypers_of(self, run: RunKey) -> Any:
        numbers: list[Any] = [  # NumPy's: making jax's would compile a program for each
            np.uint32(run.seed),
            np.float32(single(run.learning_rate)),
            np.float32(single(self._job.settings.training.clip_norm)),
        ]
        return Hypers(*numbers)

    @property
    def facts(self) -> dict[str, Any]:
        """What the rows of its runs state of how they were made, and their checkpoints too."""
        return {
            "settings": self._job.settings.hash,
            "versions": versions(),
            "environment": environment(),
            "backward": self._training.model.backward_mode,
            "width": self.width,
            "device": device_name(),
        }

    @property
    def num_free(self) -> int:
        """How many runs have room."""
        return self._num_lanes - len(self.runs)

    def begin(self, runs: Sequence[LiveRun]) -> None:
        """Start runs, in free lanes."""
        self._enter(runs, None)

    def resume(self, saved: Sequence[tuple[LiveRun, Any]]) -> None:
        """Continue runs, in free lanes, from what `snapshot` gave."""
        self._enter([run for run, _ in saved], [state for _, state in saved])

    def snapshot(self) -> list[tuple[LiveRun, Any]]:
        """The unfinished runs, each with its state and metrics on the host."""
        states = self._on_host(self.runs)
        return [(run, states[index]) for index, run in self.runs.items()]

    def _enter(self, runs: Sequence[LiveRun], states: Sequence[Any] | None) -> None:
        """Give runs their lanes, beside those that are there; without `states` they start anew."""
        before = self._on_host(self.runs)
        free = [index for index in range(self._num_lanes) if index not in self.runs][: len(runs)]
        self.runs |= dict(zip(free, runs, strict=True))
        self._hypers = self._fill({index: self._hypers_of(run.key) for index, run in self.runs.items()})
        if states is None:
            fresh = to_host(self._init(self._hypers))
            states = [(_lane_of(fresh, index), NO_UPDATES) for index in free]
        state, self._metrics = self._fill(before | dict(zip(free, states, strict=True)))
        self._state = state._replace(key=jax.random.wrap_key_data(state.key))

    def _on_host(self, lanes: Iterable[int]) -> dict[int, Any]:
        wanted = list(lanes)
        if not wanted:
            return {}
        now = (to_host(self._state), self._metrics)
        return {index: _lane_of(now, index) for index in wanted}

    def _fill(self, of_lanes: Mapping[int, Any]) -> Any:
        """Stack one tree per lane; a lane without a run repeats another's, so that the width stays the same."""
        any_tree = next(iter(of_lanes.values()))
        trees = [of_lanes.get(index, any_tree) for index in range(self._num_lanes)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

    def advance(self) -> list[tuple[Record, Any]]:
        """Make one call of the compiled program, up to the next evaluation at most.

        Returns the runs that ended, each with its last state on the host.
        """
        ahead = min(run.boundary(self._job) - run.step for run in self.runs.values())
        num_updates = min(ahead, self._num_updates)
        started = time.perf_counter()
        self._state, metrics = self._advance(self._state, self._hypers, np.int32(num_updates), self._metrics)
        self._metrics = jax.tree.map(np.array, jax.device_get(metrics))
        seconds = time.perf_counter() - started
        faster = min(8.0, CALL_SECONDS / max(seconds, 1e-9))  # the first calls are no measure of the next
        self._num_updates = max(1, min(self._job.settings.eval_steps, int(num_updates * faster)))
        at_boundary = []
        for index, run in self.runs.items():
            if run.step + num_updates == run.boundary(self._job):
                at_boundary.append(index)
            run.step += num_updates
        ended = self._evaluated(at_boundary) if at_boundary else []
        share = (time.perf_counter() - started) / len(self.runs)
        for run in self.runs.values():
            run.seconds += share
        return [self._leave(index, state) for index, (state, _) in self._on_host(ended).items()]

    def _evaluated(self, at_boundary: Sequence[int]) -> list[int]:
        """Evaluate the lanes whose chunk has ended; returns those whose run has."""
        evaluation = jax.device_get(self._evaluate(self._state))
        for index in at_boundary:
            run, metrics = self.runs[index], _lane_of(self._metrics, index)
            point = CurvePoint(
                run.step,
                float(metrics.train_loss),
                float(evaluation.loss[index]),
                float(evaluation.score[index]),
                float(evaluation.sequence_loss[index]),
                self._training.task.memoryless_loss,
                float(metrics.grad_norm),
            )
            run.observe(point, self._training.task.is_solved(point.score), int(metrics.diverged_step), self._job)
            for values in self._metrics:
                values[index] = 0
        return [index for index in at_boundary if self.runs[index].status is not None]

    def _leave(self, index: int, state: Any) -> tuple[Record, Any]:
        run = self.runs.pop(index)
        assert run.status is not None
        row = run_row(
            self._job,
            self._training,
            run.key,
            run.status,
            solved_step=run.solved_step,
            steps=run.ended_step,
            score=run.curve[-1].score,
            loss=run.curve[-1].loss,
            duration_seconds=round(run.seconds, 3),
            backward=self._training.model.backward_mode,
            lanes=self.width,
            device=device_name(),
        )
        tables = {} if run.overflowed else plain_tables(self._training.answers(state))
        return Record(row, tuple(run.curve), tables=tables, settings=self._job.settings.flat), state


def device_name() -> str:
    """The kind of device that this process trains on, and how many of them."""
    num_devices = jax.local_device_count()
    return f"{num_devices} x " * (num_devices > 1) + str(jax.local_devices()[0].device_kind)


def _lane_of(tree: Any, index: int) -> Any:
    """One lane of a stacked tree: a copy, since metrics are reset in place."""
    return jax.tree.map(lambda leaf: leaf[index].copy(), tree)


def _over_devices(function: Callable[..., Any], in_axes: tuple[int | None, ...]) -> Callable[..., Any]:
    """Spread a function of lanes over the local devices, each of which runs the same program on its own lanes.

    The compiler fuses that program a little differently than the one for a single device: numbers agree, not bits.
    """
    if jax.local_device_count() == 1:
        return function
    mesh = Mesh(np.array(jax.local_devices()), ("runs",), axis_types=(AxisType.Auto,))
    specs = tuple(PartitionSpec("runs") if axis == 0 else PartitionSpec() for axis in in_axes)
    spread: Callable[..., Any] = jax.shard_map(
        function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("runs"), check_vma=False
    )
    return spread
