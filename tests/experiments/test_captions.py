"""What captions and `--show` say of the held-out set."""

from __future__ import annotations

import io

import pytest
import rich.console

from experiments.captions import describe, seen_in_training
from experiments.common import show
from experiments.copy_task import EXPERIMENT as COPY
from experiments.gap_length import EXPERIMENT as GAP
from lstm_jax.sweeps.config.options import SweepConfig


def test_a_caption_says_where_the_task_is_too_small_to_spare_a_held_out_set():
    quick = COPY.presets["quick"]
    note = (
        " Within its budget a run trains on held-out sequences: the task has 512 sequences at gaps 2, 5, 10, 20, 40 "
        "(all of the held-out ones seen)."
    )
    assert seen_in_training(quick) == note and describe(quick, []).endswith(note)
    assert seen_in_training(GAP.presets["quick"]) == "" and "held-out" not in describe(GAP.presets["quick"], [])
    few = SweepConfig.of(learning_rates=(0.003,), gaps=(1, 2, 5), max_steps=10, batch_size=4)
    assert "64 sequences at gap 1 (47% of the held-out ones seen); 512 sequences at gap 2 (8% of" in seen_in_training(
        few
    )


def test_captions_call_the_axis_as_the_task_does():
    few = SweepConfig.of(
        task="reverse@num_symbols=2", gaps=(1, 2), learning_rates=(0.1, 0.2), max_steps=10, batch_size=4
    )
    caption = describe(few, [])
    assert "2 sequences at length 1 (all of the held-out ones seen); 4 sequences at length 2" in caption
    assert "for each model on" in caption and "gap" not in caption and "cell" not in caption
    assert "for each cell on" in describe(GAP.presets["quick"], [])
    assert "for each model on" in describe(few, [], "some text") and "length" not in describe(few, [], "some text")


def test_captions_say_what_counts_as_solved_and_how_the_rate_goes():
    quick = GAP.presets["quick"]
    caption = describe(quick, [])
    assert "Solved: recall accuracy of at least 0.99 at three" in caption
    assert "gradients clipped at 1; 4 seeds" in caption, "neither schedule nor precision, as they are the defaults"
    changed = quick.replace(
        task="number_tasks:FirstNumber@scale=2", schedule="cosine", warmup_steps=7, precision="bfloat16"
    )
    caption = describe(changed, [])
    assert "Solved: MSE of at most 0.04 at three" in caption
    assert "rate rising over 7 updates, rate falling to 0 (cosine), matrix products in bfloat16" in caption


@pytest.mark.parametrize(
    ("task", "gap", "said"),
    [
        ("reverse", 5, "reverse, length 5: "),
        ("addition", 2, "addition, length 2: "),
        ("gap", 5, "gap, gap 5: "),
        ("gap", 5, "262,144 sequences, none of the held-out ones seen in training"),
        ("gap", 2000, "10^1807 sequences, none of"),
        ("gap@filler=blank", 5, "8 sequences, all of the held-out ones seen in training"),
        ("own_tasks:Shuffled", 5, "memoryless loss 2.08 nats\n"),
    ],
)
def test_show_says_how_many_sequences_there_are(task, gap, said):
    output = io.StringIO()
    assert (
        show(
            SweepConfig.of(learning_rates=(0.003,), task=task, gaps=(gap,)),
            rich.console.Console(file=output, width=400),
        )
        == 0
    )
    assert said in output.getvalue()
