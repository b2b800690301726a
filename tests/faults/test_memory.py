"""Out of memory: the job is split and says so, or it is failed with the reason; the others go on."""

from __future__ import annotations

import os
import resource

import faults
import pytest

RAM = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
ARGUMENTS = ("--wandb", "disabled", "--gaps", "2", "--max-steps", "30")


def run(out, cell, *arguments):
    """With the machine's memory as a limit, since some systems promise more than they have."""
    with faults.limited(resource.RLIMIT_AS, RAM):
        process = faults.start(out, *ARGUMENTS, "--cells", cell, "rnn", *arguments)
    return faults.finish(process)


def test_fewer_lanes_where_many_do_not_fit(tmp_path):
    """jax is refused the memory of its compiled program: four runs need 1.2 times what there is, two 0.6 times."""
    cell = f"own_cells:Huge@num_bytes={0.3 * RAM:.0f}"
    status, output = run(tmp_path / "out", cell, "--lanes", "4")
    assert status == 0, output
    assert "-gap2: out of memory with 4 runs side by side: 2 from here on" in output
    lanes = {row["cell"]: row["lanes"] for row in faults.table(tmp_path / "out")}
    assert lanes == {cell: "2", "rnn": "4"}


@pytest.mark.long
def test_a_run_that_does_not_fit_alone_has_failed(tmp_path):
    cell = f"own_cells:Huge@num_bytes={2 * RAM}"
    status, output = run(tmp_path / "out", cell)
    assert status == 1, output
    assert f"error: job own_cells%3AHuge@num_bytes={2 * RAM}-gap2 failed: " in output
    assert "RESOURCE_EXHAUSTED" in output and "Traceback" not in output
    by_cell = {row["cell"]: row["status"] for row in faults.table(tmp_path / "out")}
    assert by_cell[cell] == "failed" and by_cell["rnn"] != "failed"
