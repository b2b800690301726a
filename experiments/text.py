"""What the experiments on text share: corpora, which runs are reported, trained models. No jax at import."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from experiments.common import Experiment, one_line
from lstm_jax import registry
from lstm_jax.sweeps.command_line import from_yaml
from lstm_jax.sweeps.config import ConfigError, SweepConfig
from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.records import Record, write_rows
from lstm_jax.sweeps.storage import DamagedError
from lstm_jax.sweeps.terminal import lasting_output
from lstm_jax.tasks import corpus_of
from lstm_jax.text import TextError, store
from lstm_jax.text.corpus import PairCorpus, TextCorpus

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Task

LSTM_UNITS = {"smoke": 16, "quick": 128, "full": 512}
"""The width of the LSTM, by preset, that all cells have as many parameters as."""


def task_name(config: SweepConfig) -> str:
    """The name of the sweep's task without its settings; raises ConfigError."""
    try:
        return registry.parse(config.task).name
    except ValueError as error:
        raise ConfigError(f"task: {error}") from None


def has_corpus(config: SweepConfig, data: Any) -> bool:
    """Whether the task names its corpus, so that none is to be made; raises ConfigError for what can't be both."""
    if len(config.gaps) > 1:
        raise ConfigError(f"gaps: got {len(config.gaps)}; expected one on text, and a sweep of its own for each")
    digest = corpus_of(config.task)
    if digest is None:
        return False
    changed = [field.name for field in dataclasses.fields(data) if getattr(data, field.name) != field.default]
    if changed:
        raise ConfigError(f"{changed[0]}: the task names the corpus {digest} already; expected one or the other")
    store.ensure(digest, Directory(config.out).corpus)
    return True


def with_corpus(config: SweepConfig, corpus: PairCorpus | TextCorpus, console: Console) -> SweepConfig:
    """The sweep on a prepared corpus, which is stored; says what is in it and what was left out."""
    digest, facts = store.store(corpus), corpus.facts
    kept = ", ".join(f"{count:,} {split}" for split, count in facts["kept"].items())
    if isinstance(corpus, PairCorpus):
        what, sizes = "pairs", f"{len(corpus.source):,} source and {len(corpus.target):,} target words"
    else:
        what, sizes = f"{corpus.level}s", f"{len(corpus.vocabulary):,} {corpus.level}s"
    lines = [f"{facts.get('origin', 'text')}: {kept} {what}; vocabulary: {sizes}"]
    dropped = sorted(facts.get("dropped", {}).items(), key=lambda item: -item[1])
    if dropped:
        lines.append("dropped: " + ", ".join(f"{count:,} {reason}" for reason, count in dropped))
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    spec = registry.parse(config.task)
    settings = (*spec.settings, ("corpus", digest))
    return dataclasses.replace(config, task=str(dataclasses.replace(spec, settings=settings)))


def on_equal_terms(config: SweepConfig, presets: Mapping[str, SweepConfig]) -> SweepConfig:
    """The sweep with as many parameters as an LSTM of LSTM_UNITS has, where neither they nor the width were given.

    On text most parameters are words, and how many is known with the corpus alone.
    """
    if config.hidden_dim is not None or config.num_params != presets[config.preset].num_params:
        return config
    from lstm_jax.sweeps.jobs import checked_task, size_of

    checked_task(config, config.gaps[0])
    _, num_params = size_of(dataclasses.replace(config, hidden_dim=LSTM_UNITS[config.preset]), "lstm")
    return dataclasses.replace(config, num_params=num_params)


def reported(config: SweepConfig, records: Sequence[Record]) -> list[Record]:
    """The runs of the seeds that are reported, at the learning rate with the least loss on the tuning seeds, by cell.

    The loss and not the accuracy chooses, since no run solves anything; a diverged run's is infinite.
    """
    ended = [record for record in records if record.run.status != "failed"]
    losses: dict[tuple[str, float], list[float]] = {}
    for record in ended:
        if record.run.seed in config.tuning_seeds:
            is_good = record.run.status != "diverged" and record.run.loss is not None
            loss = record.run.loss if is_good else float("inf")
            losses.setdefault((record.run.cell, record.run.learning_rate), []).append(loss or 0.0)
    best: dict[str, tuple[float, float]] = {}
    for (cell, rate), found in losses.items():
        best[cell] = min(best.get(cell, (float("inf"), rate)), (sum(found) / len(found), rate))
    return [
        record
        for record in ended
        if record.run.seed not in config.tuning_seeds
        and record.run.learning_rate == best.get(record.run.cell, (0.0, record.run.learning_rate))[1]
    ]


def draw_curves(experiment: Experiment, config: SweepConfig, shown: Sequence[Record], caption: str) -> Path:
    """Learning curves of the reported runs on the held-out split, and summary.csv; returns the picture."""
    from lstm_jax.analysis.summary import Summary, summarise
    from lstm_jax.report.learning_curves import draw_learning_curves

    summaries = summarise([record.run for record in shown], ())
    write_rows(config.out / "summary.csv", Summary, summaries)
    return draw_learning_curves(
        shown,
        summaries,
        chance=shown[0].run.chance,
        caption=caption,
        title=f"Learning curves. {experiment.title}",
        path=config.out / "learning_curves.png",
        loss_panels=True,
    )


def corpus_of_sweep(config: SweepConfig) -> PairCorpus | TextCorpus:
    """The corpus that a sweep was trained on."""
    digest = corpus_of(config.task)
    assert digest is not None
    return store.load(digest)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run that has ended, with its model as it was then."""

    record: Record
    task: Task
    model: Any


def trained_model(checkpoint: Path, name: str, form: str, cell: str | None, seed: int | None) -> Trained:
    """The model of a run of the sweep in `checkpoint`, or of the job whose folder that is.

    Of several of that form the one with the best held-out accuracy. Raises ConfigError, in one line, where there is
    none, or it is of another task than `name`, damaged, or of a corpus that is not there.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")
    from flax import nnx

    from lstm_jax.sweeps import checkpoints
    from lstm_jax.sweeps.jobs import RunKey, make_jobs
    from lstm_jax.training import graphdef

    root = next((each for each in (checkpoint, *checkpoint.parents) if (each / "sweep.yaml").is_file()), None)
    if root is None:
        raise ConfigError(f"checkpoint: got {checkpoint}; expected the directory of a sweep, with a sweep.yaml in it")
    directory = Directory(root)
    config = dataclasses.replace(from_yaml(directory.config_file), out=root)
    if task_name(config) != name:
        raise ConfigError(f"checkpoint: {root} was trained on {task_name(config)!r}; expected a model of {name!r}")
    digest = corpus_of(config.task)
    if digest is not None:
        store.ensure(digest, directory.corpus)
    if cell is not None:
        if cell not in config.cells:
            raise ConfigError(f"cell: got {cell!r}; {registry.nearest(cell, config.cells)}")
        config = dataclasses.replace(config, cells=(cell,))
    jobs, _ = make_jobs(config, to_train=False)
    jobs = [job for job in jobs if directory.checkpoints(job) in (checkpoint, *checkpoint.parents)] or jobs
    of_form = [job for job in jobs if job.training().task.form == form]
    if not of_form:
        raise ConfigError(f"cell: {', '.join(job.cell for job in jobs)}: expected a model of the form {form}")
    try:
        found = [
            (record, job)
            for job in of_form
            for record in directory.records([job])
            if record.checkpoint and record.run.status in ("solved", "unsolved") and seed in (None, record.run.seed)
        ]
        if not found:
            seeds = f" of seed {seed}" if seed is not None else ""
            raise ConfigError(
                f"checkpoint: {checkpoint} has no run{seeds} that has ended; expected one: train it first"
            )
        record, job = max(found, key=lambda each: each[0].run.accuracy or 0.0)
        key = RunKey(record.run.seed, record.run.learning_rate)
        state = checkpoints.restore(directory.checkpoints(job), job, key)
    except ConfigError:
        raise
    except ValueError as error:  # DamagedError among them
        raise ConfigError(
            f"checkpoint: {error}; expected one of this corpus and these settings: "
            f"`python -m experiments.status {root} --check` names what is damaged"
        ) from None
    training = job.training()
    return Trained(record, training.task, nnx.merge(graphdef(training.model), state.params))


def answer(command: Callable[[], None]) -> int:
    """Run what a command does with a trained model; returns the exit status, and says what was wrong in one line."""
    with lasting_output(goes_on=False):
        try:
            command()
        except (ConfigError, TextError, DamagedError) as error:
            return one_line(error)
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:  # `| head`: there is nobody to write for
            return 141
        return 0
