"""What the experiments on text share: corpora, which runs are reported, trained models. No jax at import."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from experiments.common import Experiment
from lstm_jax import registry
from lstm_jax.sweeps.command_line import from_yaml
from lstm_jax.sweeps.config import ConfigError, SweepConfig
from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.records import Record, write_rows
from lstm_jax.text import TextError, store
from lstm_jax.text.corpus import PairCorpus, TextCorpus

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Task

LSTM_UNITS = {"smoke": 16, "quick": 128, "full": 512}
CORPUS = "corpus"
"""The folder of a sweep's directory that has the text it was trained on."""


def named_corpus(config: SweepConfig) -> str | None:
    """The digest that the task names, as in translation@corpus=...; put back from `config.out` where it is there."""
    settings = dict(registry.parse(config.task).settings)
    digest = settings.get("corpus")
    if digest is not None and not store.directory_of(digest).exists() and (config.out / CORPUS).is_dir():
        found = store.adopt(config.out / CORPUS)
        if found != digest:
            raise ConfigError(
                f"{config.out / CORPUS}: holds the corpus {found}; expected {digest}, whose words the models there know"
            )
    return digest


def with_corpus(
    config: SweepConfig, corpus: PairCorpus | TextCorpus, presets: Mapping[str, SweepConfig], console: Console
) -> SweepConfig:
    """The sweep on a prepared corpus, which is stored; says what is in it and what was left out.

    As most parameters are words, `num_params` is where neither it nor the width was given that of an LSTM whose width
    the preset names.
    """
    digest = store.store(corpus)
    facts = corpus.facts
    kept = ", ".join(f"{count:,} {split}" for split, count in facts["kept"].items())
    what = "pairs" if isinstance(corpus, PairCorpus) else f"{corpus.level}s"
    sizes = (
        f"{len(corpus.source):,} source and {len(corpus.target):,} target words"
        if isinstance(corpus, PairCorpus)
        else f"{len(corpus.vocabulary):,} {corpus.level}s"
    )
    lines = [f"{facts.get('origin', 'text')}: {kept} {what}; vocabulary: {sizes}"]
    dropped = sorted(facts.get("dropped", {}).items(), key=lambda item: -item[1])
    if dropped:
        lines.append("dropped: " + ", ".join(f"{count:,} {reason}" for reason, count in dropped))
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    spec = registry.parse(config.task)
    settings = (*spec.settings, ("corpus", digest))
    config = dataclasses.replace(config, task=str(dataclasses.replace(spec, settings=settings)))
    if config.hidden_dim is None and config.num_params == presets[config.preset].num_params:
        from lstm_jax.sweeps.jobs import size_of

        _, num_params = size_of(dataclasses.replace(config, hidden_dim=LSTM_UNITS[config.preset]), "lstm")
        config = dataclasses.replace(config, num_params=num_params)
    return config


def reported(config: SweepConfig, records: Sequence[Record]) -> list[Record]:
    """The runs of the seeds that are reported, at the learning rate that the tuning seeds chose for each cell."""
    from lstm_jax.analysis.summary import summarise

    chosen = {
        (row.cell, row.gap, row.learning_rate)
        for row in summarise([record.run for record in records], config.tuning_seeds)
    }
    return [
        record
        for record in records
        if (record.run.cell, record.run.gap, record.run.learning_rate) in chosen
        and record.run.seed not in config.tuning_seeds
        and record.run.status != "failed"
    ]


def draw_curves(experiment: Experiment, config: SweepConfig, records: Sequence[Record], caption: str) -> Path:
    """Learning curves on the held-out split, and summary.csv; returns the picture."""
    from lstm_jax.analysis.summary import Summary, summarise
    from lstm_jax.report.learning_curves import draw_learning_curves

    summaries = summarise([record.run for record in records], config.tuning_seeds)
    write_rows(config.out / "summary.csv", Summary, summaries)
    return draw_learning_curves(
        records,
        summaries,
        chance=records[0].run.chance,
        caption=caption,
        title=f"Learning curves. {experiment.title}",
        path=config.out / "learning_curves.png",
        tuning_seeds=config.tuning_seeds,
        loss_panels=True,
    )


def keep_corpus(config: SweepConfig) -> PairCorpus | TextCorpus:
    """The corpus that a sweep was trained on, and a copy of it in the sweep's directory."""
    digest = named_corpus(config)
    assert digest is not None
    corpus = store.load(digest)
    store.copy_to(digest, config.out / CORPUS)
    return corpus


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run that has ended, with its model as it was then."""

    record: Record
    task: Task
    model: Any


def trained_model(checkpoint: Path, task_name: str, cell: str | None, seed: int | None) -> Trained:
    """The model of a run of the sweep in `checkpoint`, or of the job whose folder that is.

    Of several the one with the best held-out accuracy. Raises ConfigError, in one line, where there is none, or it is
    of another task or of a corpus that is not there.
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
    name = registry.parse(config.task).name
    if name != task_name:
        raise ConfigError(f"checkpoint: {root} was trained on {name!r}; expected a model of {task_name!r}")
    named_corpus(config)
    jobs, _ = make_jobs(config)
    jobs = [job for job in jobs if directory.checkpoints(job) in (checkpoint, *checkpoint.parents)] or jobs
    of_cell = [job for job in jobs if cell in (None, job.cell)]
    if not of_cell:
        raise ConfigError(f"cell: got {cell!r}; {registry.nearest(str(cell), sorted({job.cell for job in jobs}))}")
    found = [
        (record, job)
        for job in of_cell
        for record in directory.records([job])
        if record.checkpoint and record.run.status in ("solved", "unsolved") and seed in (None, record.run.seed)
    ]
    if not found:
        seeds = f" of seed {seed}" if seed is not None else ""
        raise ConfigError(f"checkpoint: {checkpoint} has no run{seeds} that has ended; expected one: train it first")
    record, job = max(found, key=lambda each: each[0].run.accuracy or 0.0)
    training = job.training()
    try:
        state = checkpoints.restore(directory.checkpoints(job), job, RunKey(record.run.seed, record.run.learning_rate))
    except ValueError as error:
        raise ConfigError(f"checkpoint: {error}; expected one of this corpus and these settings") from None
    return Trained(record, training.task, nnx.merge(graphdef(training.model), state.params))


__all__ = [
    "TextError",
    "Trained",
    "draw_curves",
    "keep_corpus",
    "named_corpus",
    "reported",
    "trained_model",
    "with_corpus",
]
