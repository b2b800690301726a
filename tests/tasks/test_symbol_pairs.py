"""Tasks without data: that encoder, decoder and search learn them is the proof that the machinery works."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lstm_jax.evaluation.decoding import beam_search, greedy
from lstm_jax.models import Sizes, make_model
from lstm_jax.tasks import make_task
from lstm_jax.training import Hypers, Training


@pytest.mark.parametrize(
    ("name", "gap", "label", "num_updates"),
    [
        ("reverse", 8, "gru@attention=dot", 250),
        pytest.param("reverse", 4, "lstm", 900, marks=pytest.mark.long),
        pytest.param("addition", 1, "lstm", 900, marks=pytest.mark.long),
    ],
)
def test_twins_are_solved_as_they_are_used(name, gap, label, num_updates):
    """99% of sequences right to the last symbol, with nothing but the source given; a wider beam no worse."""
    task = make_task(name, gap)
    sizes = Sizes(64, 16)
    model = make_model(label, sizes, form=task.form, num_tokens=task.num_tokens, num_outputs=task.num_classes)
    training = Training(task, model, batch_size=64)
    hypers = Hypers(np.uint32(0), np.float32(0.005), np.float32(1.0))
    # Where it is the updates that take time, compiling well pays.
    options = {"xla_backend_optimization_level": 1} if num_updates > 500 else {}
    advance = jax.jit(training.advance, compiler_options=options)
    state, _ = advance(jax.jit(training.init)(hypers), hypers, num_updates)

    @jax.jit
    def used(params):
        batch, trained = task.held_out(400), training._merge(params)
        source, options = batch.inputs.source, {"max_steps": gap + 4}
        return batch.targets, (
            greedy(trained, source, **options),
            beam_search(trained, source, beam_size=4, length_penalty=0.6, **options),
        )

    targets, written = jax.device_get(used(state.params))
    for found in written:
        right = (found.tokens[: len(targets)] == targets).all(axis=0)
        assert right.mean() >= 0.99 and (found.lengths[right] == len(targets)).all()
