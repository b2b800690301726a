"""The page of a sweep while it runs: how far it is, and what its runs say so far."""

from __future__ import annotations

from experiments.page.findings import findings_of
from experiments.page.gaps import of_gaps
from experiments.page.read import paged, verdicts_in
from experiments.page.sections import QUESTION, all_runs, how_made
from experiments.report import experiment_of
from lstm_jax.api import load
from lstm_jax.figures.page.content import Page
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.views.status import describe, read_speed, sweep_status
from lstm_jax.tasks import corpus_of


def live_page(directory: Directory, refresh_seconds: int | None) -> Page:
    """Return the page of what is in the directory now; with `refresh_seconds` it is read again after that time."""
    root = directory.root
    finished = load(root)
    config, records = finished.config, finished.records
    progress = [describe(sweep_status(config, root), read_speed(directory.speed_file))]
    progress += [f"Job {name} failed: {reason}" for name, reason in finished.failures]
    if corpus_of(config.task) is not None:  # what its runs say is worked out when all have ended
        runs = [record.run for record in records]
        sections = [all_runs(runs), how_made(config, records, "", machines=directory.machines)]
        return Page(QUESTION, progress, [], [], sections, refresh_seconds)
    sweep = paged(findings_of(experiment_of(config), config, records), root)
    return of_gaps([sweep], verdicts_in(root), progress, refresh_seconds)
