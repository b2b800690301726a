"""Settings or library versions that are not those of the directory: refused with what differs, or recorded by row."""

from __future__ import annotations

import json
import re
import shutil

import faults
import pytest

from lstm_jax.sweeps.store.records import read_record, write_record

QUIET = faults.SERIAL


def with_versions(out, old, new):
    """As an installation with another version would have written the records."""
    import dataclasses

    for file in out.glob("records/*/*.json"):
        record = read_record(file)
        run = dataclasses.replace(record.run, versions=record.run.versions.replace(old, new))
        write_record(file, dataclasses.replace(record, run=run))


def test_other_versions(tmp_path, undisturbed):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    jax = re.search(r", jax ([\d.]+)", faults.table(out)[0]["versions"])[1]
    with_versions(out, f", jax {jax}", ", jax 0.9.0")
    larger = [*QUIET, "--gaps", "3", "4"]
    status, output = faults.run(out, *larger)
    assert status == 2 and output.splitlines()[-1].startswith("error: out: "), output
    assert f"jax 0.9.0 there, {jax} here" in output and "--accept-changes" in output
    assert (out / "sweep.yaml").read_text() == (undisturbed / "sweep.yaml").read_text(), "refused is untouched"
    status, output = faults.run(out, *larger, "--accept-changes")
    assert status == 0 and f"warning: jax 0.9.0 there, {jax} here" in output, output
    by_gap = {row["gap"]: row["versions"] for row in faults.table(out)}
    assert "jax 0.9.0" in by_gap["3"] and f"jax {jax}" in by_gap["4"]


@pytest.mark.long
def test_other_settings(tmp_path, undisturbed):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    changed = [*QUIET, "--gaps", "3", "4", "--batch-size", "16"]
    status, output = faults.run(out, *changed)
    assert status == 2 and "holds another sweep (batch_size: 8 there, 16 in this command)" in output
    status, output = faults.run(out, *changed, "--accept-changes")
    assert status == 0 and "warning: out: batch_size: 8 there, 16 in this command" in output, output
    by_gap = {row["gap"]: row["settings"] for row in faults.table(out)}
    assert len(set(by_gap.values())) == 2
    assert [row for row in faults.table(out) if row["gap"] == "3"] == faults.table(undisturbed)


@pytest.mark.long
def test_a_checkpoint_of_other_versions_is_refused_too(tmp_path, undisturbed):
    """One that has no record yet; where changes are accepted, its runs start anew."""
    out = tmp_path / "out"
    process = faults.start(out, *QUIET)
    while not list(out.glob("checkpoints/*/running-*")):
        assert process.poll() is None
    process.terminate()
    assert faults.finish(process)[0] == 143
    shutil.rmtree(out / "records", ignore_errors=True)
    from lstm_jax.sweeps.store.files import read_sealed, write_sealed

    for manifest in out.glob("checkpoints/*/running-*/manifest.json"):
        facts = read_sealed(manifest)
        write_sealed(manifest, facts | {"versions": re.sub(r"optax [\d.]+", "optax 0.1.0", facts["versions"])})
    status, output = faults.run(out, *QUIET)
    assert status == 2 and "optax 0.1.0 there" in output
    status, output = faults.run(out, *QUIET, "--accept-changes")
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)
    assert all("optax 0.1.0" not in row["versions"] for row in faults.table(out))


@pytest.mark.long
def test_a_superset_is_welcome_and_names_stay_inside(tmp_path, undisturbed):
    """A cell's name may look like a path: what it leaves lies in the directory of the sweep all the same."""
    out = tmp_path / "deep" / "out"
    shutil.copytree(undisturbed, out)
    cells = sorted({row["cell"] for row in faults.table(undisturbed)})
    status, output = faults.run(out, *QUIET, "--seeds", "0", "1", "2", "--cells", *cells, "gru")
    assert status == 0, output
    kept = [row for row in faults.table(out) if row["cell"] in cells and row["seed"] != "2"]
    assert sorted(map(str, kept)) == sorted(map(str, faults.table(undisturbed)))
    from lstm_jax.sweeps.job import job_name

    for cell in ("../../x:Y", "/etc/passwd", "a\x00b", "..", "lstm@x=../..", "é" * 300, "a" * 10_000):
        name = job_name(cell, 5)
        assert "/" not in name and "\x00" not in name and len(name) <= 150 and not name.startswith(".."), name
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["out"]
    assert json.loads((out / "jobs" / "gru-gap3.json").read_text())["state"] == "done"
