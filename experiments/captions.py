"""Captions of figures: the protocol, the terms of the comparison, gaps with too small a held-out set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_jax.figures.words import Words
from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.sources import canonical
from lstm_jax.sweeps.store.records import Record


def words_of(config: SweepConfig) -> Words:
    """Return the names of the axis and of what is compared: cells, or models where the task is of pairs or text."""
    from lstm_jax.tasks import make_task

    return Words.of(make_task(config.task, known(config.grid.gaps)[0]))


def describe(config: SweepConfig, records: Sequence[Record], text: str | None = None) -> str:
    """Describe the protocol: task or `text`, budget, seeds, tuning, sizes, and the meaning of solved.

    Settings are those of the records, which are all of one way of training.
    """
    words = words_of(config)
    made = {**config.flat, **next((record.settings for record in records), {})}
    others = _count(len(config.grid.tuning_seeds), "other seed")
    rates = ", ".join(f"{rate:g}" for rate in sorted({record.run.learning_rate for record in records}))
    of_grid = config.grid.learning_rates
    tuning = (
        f"learning rate chosen for each {words.cell} on {others}, by half-decades until the best has a worse one on "
        f"both sides (tried: {rates})"
        if of_grid is None
        else f"learning rate chosen from {{{rates}}} for each {words.cell} on {others}"
        if len(of_grid) > 1
        else f"learning rate {rates}, not tuned"
    )
    clip_norm = float(made["clip_norm"])
    clipping = f"clipped at {clip_norm:g}" if math.isfinite(clip_norm) else "not clipped"
    task = f"Task {made['task']}" if text is None else text
    solved = f" Solved: {_solved(config)} at three evaluations in a row." if text is None else ""
    versions = {(canonical(record.run.versions), record.run.environment) for record in records}
    mixed = f" Made with {len(versions)} sets of versions or environments (runs.csv)." if len(versions) > 1 else ""
    return (
        f"{task}: trained from scratch with {made['optimizer']} on at most "
        f"{made['max_steps']} updates of {made['batch_size']} sequences, gradients {clipping}{_schedule(made)}; "
        f"{_count(len(config.grid.seeds), 'seed')} per point, {tuning}. {_terms(config, records)}{solved}{mixed}"
        f"{seen_in_training(config) if text is None else ''}"
    )


def _schedule(made: Mapping[str, Any]) -> str:
    """Describe how the rate goes through a run, and the precision, where they are not the defaults."""
    schedule, warmup_steps, precision = (made[name] for name in ("schedule", "warmup_steps", "precision"))
    warmup = f", rate rising over {warmup_steps} updates" if warmup_steps else ""
    decay = f", rate falling to 0 ({schedule})" if schedule != "constant" else ""
    return warmup + decay + (f", matrix products in {precision}" if precision != "float32" else "")


def _solved(config: SweepConfig) -> str:
    """Describe what counts as solved, which may differ by gap as chance does."""
    from lstm_jax.figures.formats import format_span  # which --help need not wait for
    from lstm_jax.tasks import make_task

    tasks = [make_task(config.task, gap) for gap in known(config.grid.gaps)]
    name = tasks[0].outputs.score_name
    direction = "least" if tasks[0].solved_at > tasks[0].chance else "most"
    levels = format_span([task.solved_at for task in tasks])
    return f"{'recall accuracy' if name == 'accuracy' else name} of at {direction} {levels}"


def _terms(config: SweepConfig, records: Sequence[Record]) -> str:
    """Describe the terms of the comparison, equal sizes, and the exceptions."""
    sizes: dict[str, dict[tuple[int, int], None]] = {}
    for record in records:
        sizes.setdefault(record.run.cell, {})[record.run.hidden_dim, record.run.num_params] = None

    def of_each(place: int) -> str:
        values = {cell: sorted({size[place] for size in found}) for cell, found in sizes.items()}
        return ", ".join(
            f"{cell} {' to '.join(map(str, dict.fromkeys((its[0], its[-1]))))}" for cell, its in values.items()
        )

    if config.model.hidden_dim is not None:
        return f"Equal hidden size, {config.model.hidden_dim} (parameters: {of_each(1)})."
    off = off_terms(config, records)
    but = f" But {'; '.join(off)}." if off else ""
    return f"Equal parameter count, about {config.model.num_params} (hidden units: {of_each(0)}).{but}"


def off_terms(config: SweepConfig, records: Sequence[Record]) -> list[str]:
    """Name the cells and gaps whose parameters are more than 1% off the wanted number."""
    if config.model.hidden_dim is not None:
        return []
    wanted, words = known(config.model.num_params), words_of(config)
    gaps: dict[tuple[str, int], list[str]] = {}
    for record in records:
        if abs(record.run.num_params / wanted - 1) > 0.01:
            its = gaps.setdefault((record.run.cell, record.run.num_params), [])
            if str(record.run.gap) not in its:
                its.append(str(record.run.gap))
    return [
        f"{cell} has {num_params} parameters ({num_params / wanted - 1:+.1%}) at {_these(its, words)}"
        for (cell, num_params), its in gaps.items()
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def seen_in_training(config: SweepConfig) -> str:
    """Name the gaps at which the task is too small for a held-out set that no run has seen; empty without any."""
    from lstm_jax.tasks import make_task

    words = words_of(config)
    gaps: dict[tuple[str, str], list[str]] = {}
    for gap in known(config.grid.gaps):
        task = make_task(config.task, gap)
        share = task.seen_share(
            config.training.eval_size, config.training.max_steps * known(config.training.batch_size)
        )
        if share:
            gaps.setdefault((f"{task.num_sequences:,}", percent(share)), []).append(str(gap))
    small = [
        f"{number} sequences at {_these(its, words)} ({share} of the held-out ones seen)"
        for (number, share), its in gaps.items()
    ]
    return f" Within its budget a run trains on held-out sequences: the task has {'; '.join(small)}." if small else ""


def _these(values: Sequence[str], words: Words) -> str:
    return f"{words.gap if len(values) == 1 else words.gaps} {', '.join(values)}"


def percent(share: float) -> str:
    """Format a share in per cent; none and all are words."""
    return "none" if share == 0.0 else "all" if share > 0.9995 else f"{share:.0%}"
