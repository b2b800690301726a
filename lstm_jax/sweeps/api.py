"""The public names `Sweep` and `load`: sweeps from a script or notebook, and what is in their directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.config.parsing import on_this_machine
from lstm_jax.sweeps.job import RunKey
from lstm_jax.sweeps.plan import in_order, make_jobs
from lstm_jax.sweeps.run import SweepResult, run_sweep
from lstm_jax.sweeps.stages.asked import asked_for
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import of_settings
from lstm_jax.sweeps.store.status import read_status
from lstm_jax.sweeps.worker.setup import pinned
from lstm_jax.tasks import corpus_of
from lstm_jax.terminal import make_console
from lstm_jax.text import store


class Sweep:
    """A sweep of trainings of one task: `Sweep(cells=["rnn", "lstm"], gaps=[5, 10], out="results/mine").run()`.

    Takes every option of the command line by its name in sweep.yaml, with the defaults of
    `lstm_jax/sweeps/config/options.py`; `preset` is a label and sets no other option. Raises ConfigError for one that
    is unknown or not admitted.
    """

    def __init__(self, **options: Any) -> None:
        self.config = SweepConfig.of(**options)

    def __repr__(self) -> str:
        given = {name: value for name, value in self.config.flat.items() if value != SweepConfig().flat[name]}
        return f"Sweep({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def run(self) -> SweepResult:
        """Train what is not recorded in the directory yet; shows progress on the terminal.

        A script needs the guard `if __name__ == "__main__":`, unless `executor="serial"`: worker processes import it.
        """
        return run_sweep(self.config, make_console())


def load(directory: str | Path) -> SweepResult:
    """The sweep in a directory, finished or not: its configuration, records and failures.

    Raises ConfigError for a directory without a sweep, or where its cells or task can't be made.
    """
    place = Directory(on_this_machine("directory", Path(directory)))
    if not place.config_file.is_file():
        raise ConfigError(f"directory: got {directory}; expected the directory of a sweep, with a sweep.yaml in it")
    config = from_yaml(place.config_file).replace(out=place.root)
    corpus = corpus_of(config.task)
    if corpus is not None:
        store.ensure(corpus, place.corpus)
    with pinned("cpu"):
        jobs = in_order(config, make_jobs(config, to_train=False)[0])
    statuses = {job.name: read_status(place.status_file(job.name)) for job in jobs}
    failures = tuple((name, status.reason) for name, status in statuses.items() if status.state == "failed")
    found = place.records(jobs)
    asked = {job.name: set(job.runs) for job in asked_for(config, jobs, found, dict(failures))}
    records = [each for each in found if RunKey(each.run.seed, each.run.learning_rate) in asked[each.run.job]]
    own = tuple(of_settings(records, jobs))
    return SweepResult(config, own, failures, num_others=len(records) - len(own))
