"""Shared by the experiments on text: corpora, the runs to report, trained models. No jax at import."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from experiments.captions import words_of
from experiments.cli import program
from experiments.common import Experiment, chosen, one_line
from lstm_jax import registry
from lstm_jax.errors import ConfigError, DamagedError, TextError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.options import SweepConfig, known, resolved
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Record, Run, read_runs, write_rows
from lstm_jax.tasks import corpus_of
from lstm_jax.terminal import lasting_output
from lstm_jax.text import store
from lstm_jax.text.corpus import PairCorpus, TextCorpus

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Task

Item = TypeVar("Item")
LSTM_UNITS = {"smoke": 16, "quick": 128, "full": 512}
"""Units of the LSTM whose number of parameters all models have, by preset."""


def task_name(config: SweepConfig) -> str:
    """The name of the sweep's task without its settings."""
    return registry.parse(config.task).name


def has_corpus(config: SweepConfig, data: Any) -> bool:
    """Whether the task names its corpus, so that none is to be made; raises ConfigError for what can't be both."""
    if config.grid.gaps is not None and len(config.grid.gaps) > 1:
        raise ConfigError(f"gaps: got {len(config.grid.gaps)}; expected one on text, and a sweep of its own for each")
    digest = corpus_of(config.task)
    if digest is None:
        return False
    refuse_given(data, f"the task names the corpus {digest} already; expected one or the other")
    store.ensure(digest, Directory(config.out).corpus)
    return True


def with_corpus(config: SweepConfig, corpus: PairCorpus | TextCorpus, console: Console, **settings: str) -> SweepConfig:
    """The sweep on a prepared corpus, which is stored; says what is in it and what was left out.

    `settings` are the task's where the command names none of them.
    """
    digest, facts = store.store(corpus), corpus.facts
    sizes_of_splits = ", ".join(f"{count:,} {split}" for split, count in facts["kept"].items())
    if isinstance(corpus, PairCorpus):
        tokens = "pieces" if corpus.tokenization.cut == "bpe" else "words"
        what, sizes = "pairs", f"{len(corpus.source):,} source and {len(corpus.target):,} target {tokens}"
    else:
        what, sizes = f"{corpus.level}s", f"{len(corpus.vocabulary):,} {corpus.level}s"
    lines = [f"{facts.get('origin', 'text')}: {sizes_of_splits} {what}; vocabulary: {sizes}"]
    dropped = sorted(facts.get("dropped", {}).items(), key=lambda item: -item[1])
    if dropped:
        lines.append("dropped: " + ", ".join(f"{count:,} {reason}" for reason, count in dropped))
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    spec = registry.parse(config.task)
    given = {"corpus": digest, **settings, **dict(spec.settings)}
    return config.replace(task=spec.with_settings(tuple(given.items())))


def refuse_given(data: Any, reason: str) -> None:
    """Raise ConfigError where an option of the data was given that has no effect."""
    for field in dataclasses.fields(data):
        if getattr(data, field.name) is not None:
            raise ConfigError(f"{field.name}: got {getattr(data, field.name)}; {reason}")


def resolve(config: SweepConfig, console: Console, **suggested: Any) -> SweepConfig:
    """The sweep with `suggested` values where none were given, and what was chosen on the terminal.

    Where neither parameters nor the width were given, there are as many parameters as an LSTM of LSTM_UNITS has: on
    text most parameters are words, and how many is known with the corpus alone.
    """
    found = resolved(config, **suggested)
    if config.model.num_params is None and config.model.hidden_dim is None:
        from lstm_jax.sweeps.plan import checked_task, sized

        gap = known(found.grid.gaps)[0]
        checked_task(found, gap)
        reference = sized(found.replace(hidden_dim=LSTM_UNITS[config.preset]), "lstm", gap)
        found = found.replace(num_params=reference.num_params)
    if line := chosen(config, found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return found


def reported(config: SweepConfig, records: Sequence[Record], console: Console) -> list[Record]:
    """Choose the records to report by `choice.least_loss_runs`; names the cells that have none."""
    from lstm_jax.sweeps.stages.choice import least_loss_runs

    runs, without = least_loss_runs(
        [record.run for record in records], config.grid.tuning_seeds, config.grid.learning_rates or ()
    )
    for cell in without:
        console.print(
            f"{cell}: at no learning rate has a tuning run ended with a finite loss, so none is chosen or reported",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    return [record for record in records if record.run in runs]


def reported_runs(directory: Directory, cell: str) -> list[Run]:
    """The runs of a cell that a finished sweep reports, from its files alone."""
    from lstm_jax.sweeps.stages.choice import least_loss_runs

    files = directory.root / "runs.csv", directory.config_file
    if missing := [file for file in files if not file.is_file()]:
        raise ConfigError(f"there is no {missing[0]}; expected the directory of a finished sweep")
    grid = from_yaml(files[1]).grid
    try:
        runs = [run for run in read_runs(files[0]) if run.cell == cell]
        shown, _ = least_loss_runs(runs, grid.tuning_seeds, grid.learning_rates or ())
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if len({run.settings for run in runs if run.status != "failed"}) > 1:
        raise ConfigError(f"{files[0]} has runs of {cell} with several settings; expected those of one sweep")
    if not shown:
        raise ConfigError(
            f"{files[0]} has no run of {cell} that the sweep reports; expected the file of a finished sweep"
        )
    return shown


def reported_models(checkpoint: Path, cell: str) -> list[tuple[Run, Trained | None]]:
    """The runs of an encoder and decoder that its sweep reports, with their models; one that diverged has none."""
    about = (checkpoint, "translation", "encoder_decoder", cell)
    trained_model(*about, None)  # says what is wrong where there is none
    runs = sorted(reported_runs(Directory(checkpoint), cell), key=lambda run: run.seed)
    return [
        (run, None if run.status == "diverged" else trained_model(*about, run.seed, run.learning_rate)) for run in runs
    ]


def with_time_left(console: Console, items: Sequence[tuple[str, Item]]) -> Iterator[Item]:
    """Yield what is to be done, and say before each what it is, and how long all may take yet."""
    begun = time.monotonic()
    for done, (name, item) in enumerate(items):
        left = f" | {(time.monotonic() - begun) / done * (len(items) - done):.0f} s left" if done else ""
        console.print(f"{done}/{len(items)}{left} | {name}", highlight=False)
        yield item


def check_writable(file: Path) -> None:
    """Raise ConfigError where no file can be written, before anything is computed for it."""
    place = next(each for each in (file, *file.absolute().parents) if each.exists())
    if file.is_dir() or not os.access(place, os.W_OK) or (place != file and not place.is_dir()):
        raise ConfigError(f"out: can't write to {file}; expected a file that can be written")


def unk_sentence(share: float | None, of: str) -> str:
    """Format the share of <unk> that stands beside a perplexity or BLEU."""
    return "" if share is None else f"{share:.1%} of {of} are <unk>."


def draw_curves(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], shown: Sequence[Record], caption: str
) -> Path:
    """Draw held-out learning curves of the reported runs, and write summary.csv; returns the picture."""
    from lstm_jax.analysis.gaps.summary import Summary, summarise_text
    from lstm_jax.figures.learning_curves import learning_curves_figure
    from lstm_jax.figures.style import save

    runs, grid = [record.run for record in records], config.grid
    summaries = summarise_text(runs, grid.tuning_seeds, grid.learning_rates)
    write_rows(config.out / "summary.csv", Summary, summaries)
    title = f"Learning curves. {experiment.title}"
    words = words_of(config)
    figure = learning_curves_figure(shown, summaries, caption=caption, title=title, with_loss=True, words=words)
    return save(figure, config.out / "learning_curves", ["png"])[0]


def corpus_of_sweep(config: SweepConfig) -> PairCorpus | TextCorpus:
    """Load the corpus that a sweep was trained on."""
    digest = corpus_of(config.task)
    assert digest is not None
    return store.load(digest)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished run with its trained model."""

    record: Record
    task: Task
    model: Any


def trained_model(
    checkpoint: Path, name: str, form: str, cell: str | None, seed: int | None, learning_rate: float | None = None
) -> Trained:
    """Restore a model of the sweep in `checkpoint`, or of the job whose folder that is.

    Of several models of that form, seed and rate, the one with the best held-out score. Raises ConfigError where there
    is none, or it is of another task than `name`, damaged, or of a corpus that is not there.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")
    from lstm_jax.sweeps.job import RunKey
    from lstm_jax.sweeps.plan import make_jobs
    from lstm_jax.sweeps.worker import states

    root = next((each for each in (checkpoint, *checkpoint.parents) if (each / "sweep.yaml").is_file()), None)
    if root is None:
        raise ConfigError(f"checkpoint: got {checkpoint}; expected the directory of a sweep, with a sweep.yaml in it")
    directory = Directory(root)
    config = from_yaml(directory.config_file).replace(out=root)
    if task_name(config) != name:
        raise ConfigError(f"checkpoint: {root} was trained on {task_name(config)!r}; expected a model of {name!r}")
    digest = corpus_of(config.task)
    if digest is not None:
        store.ensure(digest, directory.corpus)
    if cell is not None:
        if cell not in config.grid.cells:
            raise ConfigError(f"cell: got {cell!r}; {registry.nearest(cell, config.grid.cells)}")
        config = config.replace(cells=(cell,))
    jobs, _ = make_jobs(config, to_train=False)
    jobs = [job for job in jobs if directory.checkpoints(job) in (checkpoint, *checkpoint.parents)] or jobs
    of_form = [job for job in jobs if job.training().task.form == form]
    if not of_form:
        raise ConfigError(f"cell: {', '.join(job.settings.cell for job in jobs)}: expected a model of the form {form}")
    try:
        found = [
            (record, job)
            for job in of_form
            for record in directory.records([job])
            if record.checkpoint and record.run.status in ("solved", "unsolved")
            if seed in (None, record.run.seed) and learning_rate in (None, record.run.learning_rate)
        ]
        if not found:
            seeds = f" of seed {seed}" if seed is not None else ""
            at = f" at the learning rate {learning_rate:g}" if learning_rate is not None else ""
            raise ConfigError(
                f"checkpoint: {checkpoint} has no run{seeds}{at} that has ended; expected one: train it first"
            )
        record, job = max(found, key=lambda each: each[0].run.score or 0.0)
        key = RunKey(record.run.seed, record.run.learning_rate)
        state = states.restore(directory.checkpoints(job), job, key)
    except ConfigError:
        raise
    except ValueError as error:  # DamagedError among them
        raise ConfigError(
            f"checkpoint: {error}; expected one of this corpus and these settings: "
            f"`{program('status')} {root} --check` names what is damaged"
        ) from None
    training = job.training()
    return Trained(record, training.task, training.trained(state))


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
