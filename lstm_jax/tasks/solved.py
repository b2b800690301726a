"""When a run counts as having solved its task, and whether guessing would. No jax at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lstm_jax.errors import ConfigError

if TYPE_CHECKING:  # a row of runs.csv needs a number of this file: --help need not wait for NumPy
    import numpy as np
    from numpy.typing import NDArray

    from lstm_jax.tasks.base import Task

SOLVED_ACCURACY = 0.99
"""Recall accuracy on the held-out set that counts as solved ..."""
SOLVED_SHARE = 0.01
"""... or, of an error, the share of what it is by chance ..."""
SOLVED_EVALUATIONS = 3
"""... at this many evaluations in a row; `solved_step` is the first of them."""
MAX_LUCK = 1e-6
"""How often guessing may count as solved."""


def check_guessing(task: Task, eval_size: int) -> None:
    """Raise ConfigError where guessing would solve `eval_size` sequences of the task too often (imports jax)."""
    import numpy as np

    try:
        solved_at = task.solved_at
    except ValueError as error:
        raise ConfigError(f"task: {error}") from None
    if solved_at == task.chance:
        raise ConfigError(f"task: expected what counts as solved to differ from chance, got {solved_at} for both")
    num_scored = _num_scored_at_most(task)

    def is_safe(sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        return task.outputs.luck(sizes * num_scored, task.chance, solved_at) <= MAX_LUCK

    if is_safe(np.array([eval_size]))[0]:
        return
    least, found = eval_size, np.zeros(1, bool)
    while not found.any():  # in blocks, each as large as all before
        sizes = least + 1 + np.arange(least)
        found = is_safe(sizes)
        least = int(sizes[found][0]) if found.any() else int(sizes[-1])
    raise ConfigError(
        f"eval_size: got {eval_size}; expected at least {least}, so that guessing, whose {task.outputs.score_name} is "
        f"{task.chance:.3g} ({num_scored} answers a sequence) by chance, does not count as solved"
    )


def luck(num_answers: NDArray[np.int64], chance: float, solved_at: float = SOLVED_ACCURACY) -> NDArray[np.float64]:
    """The probability that guessing has the share `solved_at` or more of so many answers right."""
    import numpy as np
    from scipy import special

    most_wrong = np.floor(num_answers * (1.0 - solved_at) + 1e-9)
    probability: NDArray[np.float64] = special.bdtr(most_wrong, num_answers, 1.0 - chance)
    return probability


def _num_scored_at_most(task: Task) -> int:
    """Answers of a sequence that are scored, or may be where the task does not say (computes shapes only)."""
    num_scored = task.num_scored
    return max(1, len(batch_shapes(task).recall) if num_scored is None else num_scored)


def check_batch(task: Task) -> None:
    """Raise ConfigError where a batch is not of the shapes that the task says (computes shapes only, imports jax)."""
    from lstm_jax.models.base import Pair

    batch = batch_shapes(task)
    try:
        num_steps = batch.inputs.prefix.shape[0] if isinstance(batch.inputs, Pair) else task.num_steps
        if not isinstance(batch.inputs, Pair):
            task.inputs.check(batch.inputs)
        task.outputs.check(batch.targets)
        expected = (1 if task.readout == "last" else num_steps, batch.targets.shape[1])
        for name in ("targets", "weights", "recall"):
            shape = getattr(batch, name).shape
            if shape[:2] != expected or (name != "targets" and len(shape) != 2):
                raise ValueError(f"{name}: expected [S, B] = {list(expected)}, got {list(shape)}")
    except ValueError as error:
        raise ConfigError(f"task: {error}") from None


def batch_shapes(task: Task) -> Any:
    """A batch of two sequences, as shapes; raises ConfigError where a user's task fails."""
    import jax

    try:
        return jax.eval_shape(lambda: task.sample(jax.random.key(0), 2))
    except Exception as error:  # a user's task may fail in any way
        raise ConfigError(f"task: can't be sampled ({type(error).__name__}: {' '.join(str(error).split())})") from error
