"""When a run counts as having solved its task, and whether guessing would. No jax at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lstm_jax.errors import ConfigError

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Task

SOLVED_ACCURACY = 0.99
"""Recall accuracy on the held-out set that counts as solved ..."""
SOLVED_EVALUATIONS = 3
"""... at this many evaluations in a row; `solved_step` is the first of them."""
MAX_LUCK = 1e-6
"""How often guessing may count as solved."""


def check_guessing(task: Task, eval_size: int) -> None:
    """Raise ConfigError where guessing would solve `eval_size` sequences of the task too often (imports jax)."""
    if not 0.0 <= task.chance < SOLVED_ACCURACY:
        raise ConfigError(f"task: expected a chance level in [0, {SOLVED_ACCURACY}), got {task.chance}")
    num_scored = _num_scored_at_most(task)
    if luck(np.array([eval_size * num_scored]), task.chance)[0] <= MAX_LUCK:
        return
    least, found = eval_size, np.zeros(1, bool)
    while not found.any():  # in blocks, each as large as all before
        sizes = least + 1 + np.arange(least)
        found = luck(sizes * num_scored, task.chance) <= MAX_LUCK
        least = int(sizes[found][0]) if found.any() else int(sizes[-1])
    raise ConfigError(
        f"eval_size: got {eval_size}; expected at least {least}, so that guessing, which is right at {task.chance:.3g} "
        f"of the answers ({num_scored} a sequence) by chance, does not count as solved"
    )


def luck(num_answers: NDArray[np.int64], chance: float) -> NDArray[np.float64]:
    """The probability that guessing has SOLVED_ACCURACY or more of so many answers right."""
    from scipy import special

    most_wrong = np.floor(num_answers * (1.0 - SOLVED_ACCURACY) + 1e-9)
    probability: NDArray[np.float64] = special.bdtr(most_wrong, num_answers, 1.0 - chance)
    return probability


def _num_scored_at_most(task: Task) -> int:
    """Answers of a sequence that are scored, or may be where the task does not say (computes shapes only)."""
    if task.num_scored is not None:
        return max(1, task.num_scored)
    import jax

    try:
        return int(jax.eval_shape(lambda: task.sample(jax.random.key(0), 1).recall).shape[0])
    except Exception as error:  # a user's task may fail in any way
        raise ConfigError(f"task: can't be sampled ({type(error).__name__}: {' '.join(str(error).split())})") from error
