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
    few = SweepConfig(gaps=(1, 2, 5), max_steps=10, batch_size=4)
    assert "64 sequences at gap 1 (47% of the held-out ones seen); 512 sequences at gap 2 (8% of" in seen_in_training(
        few
    )


@pytest.mark.parametrize(
    ("task", "gap", "said"),
    [
        ("gap", 5, "262,144 sequences, none of the held-out ones seen in training"),
        ("gap", 2000, "10^1807 sequences, none of"),
        ("gap@filler=blank", 5, "8 sequences, all of the held-out ones seen in training"),
        ("own_tasks:Shuffled", 5, "memoryless loss 2.08 nats\n"),
    ],
)
def test_show_says_how_many_sequences_there_are(task, gap, said):
    output = io.StringIO()
    assert show(SweepConfig(task=task, gaps=(gap,)), rich.console.Console(file=output, width=400)) == 0
    assert said in output.getvalue()
