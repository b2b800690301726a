"""The gates of a trained cell over a sentence: what it forgets, lets in, holds and puts out.

python -m experiments.gates                                       # an LSTM at a gap that it solves, and at one not
python -m experiments.gates --cell gru --gaps 40 --sentence "I grew up in Japan and winter came. I speak fluent"
python -m experiments.gates --task memory_update --gaps 8         # forget gates at overwrites
python -m experiments.gates --checkpoint results/language_model --sentence "In the beginning God created the heaven"

Trains the cell (seconds) with the settings of a finished sweep, or takes a trained model of words: a language model
or a translator's encoder. Units are sorted by their time constant; those that carry the fact are marked.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import rich.console

from experiments.common import Argv, measure
from experiments.tuned import tuned_sweep
from lstm_jax.errors import ConfigError
from lstm_jax.files import file_name
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.fields import Allowed, Checked, Count
from lstm_jax.sweeps.config.options import DIRECTORY
from lstm_jax.sweeps.job import Job
from lstm_jax.sweeps.worker.setup import prepare_process

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Said, Task
    from lstm_jax.training import Training

CARRIES = 0.5
"""A unit carries the fact of whose variance before the answer the fact explains at least so much."""
NUM_PROBED = 1024


@dataclasses.dataclass(frozen=True)
class Gates(Checked):
    """Draw the gates and the memory of a trained cell over a sentence."""

    cell: str = "lstm"
    """lstm, coupled_lstm or gru, with settings; of --checkpoint, the label of a trained model."""
    task: str = "gap"
    """A task of which the last step asks for something: gap, memory_update."""
    gaps: Annotated[tuple[int, ...], Allowed("whole numbers of at least 1", lambda gap: gap >= 1, 1)] = (10, 40)
    """Gaps to train at, a figure each."""
    sentence: str | None = None
    """A sentence of yours, in the words that `experiments.gap_length --task TASK --show` prints. None: one of the
    task's."""
    checkpoint: Path | None = None
    """The directory of a sweep of language models or translators whose model is to be drawn instead."""
    sweep: Path = Path("docs/results/quick")
    """A sweep whose settings are taken, and whose rate where it has the cell."""
    learning_rate: Annotated[float | None, Allowed("a number above 0", lambda rate: rate > 0.0)] = None
    """None: that of the sweep, else 0.003."""
    max_steps: Count | None = None
    """Updates at most. None: as many as the sweep has."""
    seed: Annotated[int, Allowed("a whole number in 0 to 2147483647", lambda seed: 0 <= seed < 2**31)] = 0
    """Of the run, and of the sentence."""
    out: Annotated[Path, DIRECTORY] = Path("results/gates")
    """Directory of the figures."""


def main(argv: Argv = None) -> int:
    """Run as a command; returns the exit status."""
    return measure(Gates, "gates", draw, argv)


def draw(arguments: Gates, console: rich.console.Console) -> int:
    """Draw a model that is trained now, or one that has been."""
    if arguments.checkpoint is not None:
        return draw_text(arguments, arguments.checkpoint, console)
    return draw_trained(arguments, console)


def draw_trained(arguments: Gates, console: rich.console.Console) -> int:
    """Train the cell at each gap, and draw it over a sentence."""
    prepare_process()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from lstm_jax.diagnostics.rollout import layer_of, vectors_of
    from lstm_jax.diagnostics.solving import train_runs
    from lstm_jax.diagnostics.trace import carried, trace
    from lstm_jax.models.base import with_params
    from lstm_jax.sweeps.plan import sized

    config, rate = _settings(arguments)
    found = [sized(config, config.grid.cells[0], gap) for gap in arguments.gaps]
    read = [_read(Job(settings).training(), arguments.sentence) for settings in found]  # before anything is trained
    for settings, given in zip(found, read, strict=True):
        gap, training = settings.gap, Job(settings).training()
        task = training.task
        console.print(f"training {arguments.cell} at gap {gap}", highlight=False)
        (run,) = train_runs(
            training, (arguments.seed,), rate, settings.training.clip_norm, config.training.max_steps,
            settings.eval_steps,
        )  # fmt: skip
        model = with_params(training.model, run.params)
        cell, params = layer_of(model)
        batch = task.sample(jax.random.key(arguments.seed), NUM_PROBED)
        inputs: Any = batch.inputs
        probed = trace(cell, params, vectors_of(model, inputs))
        share = np.asarray(carried(probed.memory[-2], batch.targets[-1], task.outputs.width))
        tokens, words = (np.asarray(inputs[:, 0]), None) if given is None else given
        words = words or task.words(tokens)
        of_sentence = trace(cell, params, vectors_of(model, jnp.asarray(tokens)[:, None]))
        (answer,) = np.asarray(jnp.argmax(model(jnp.asarray(tokens)[:, None])[-1], axis=-1)).tolist()
        state = "solved" if run.solved_step is not None else f"not solved: accuracy {run.score:.2f}"
        right = int(task.solve(tokens[:, None])[-1, 0])
        carriers = {int(unit) for unit in np.flatnonzero(share >= CARRIES)}
        caption = (
            f"{arguments.cell}, task {arguments.task}, gap {gap}, rate {rate:g}, seed {arguments.seed}: {state}. "
            f"{'Right' if answer == right else 'Wrong'}: it answers {_said(task, tokens, answer)!r}. "
            f"Units from the longest time constant (top) to the shortest, by the median of the gate that keeps; "
            f"marked are the {len(carriers)} of {len(share)} units of whose variance before the answer the fact "
            f"explains half or more. Bold are the steps that the answer depends on."
        )
        title = f"What {arguments.cell} keeps over {gap} steps"
        _draw(
            arguments, f"gates_{arguments.cell}_{arguments.task}_gap{gap}", probed.gates, of_sentence,
            words, carriers, task.events(tokens), caption, title, console,
        )  # fmt: skip
        for line in _at_events(task, inputs, probed.gates, share):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _settings(arguments: Gates) -> tuple[Any, float]:
    """The sweep of one cell, and its rate; raises ConfigError for what can't be had."""
    from lstm_jax.sweeps.config.options import resolved

    sweep, _, tuned, _ = tuned_sweep(arguments.sweep)
    rates = tuned if arguments.task == sweep.task else {}
    config = sweep.replace(
        cells=(arguments.cell,), task=arguments.task, gaps=arguments.gaps, beside=None, out=arguments.out,
        max_steps=arguments.max_steps or sweep.training.max_steps,
    )  # fmt: skip
    return resolved(config), arguments.learning_rate or rates.get(arguments.cell, 0.003)


def _read(training: Training, sentence: str | None) -> Said | None:
    """A sentence as a sequence; raises ConfigError where it is not understood, or cell or task can't be drawn."""
    import jax

    from lstm_jax.diagnostics.rollout import layer_of, vectors_of
    from lstm_jax.diagnostics.trace import trace

    def gates() -> Any:
        cell, params = layer_of(model())
        inputs: Any = training.task.sample(jax.random.key(0), 1).inputs
        return trace(cell, params, vectors_of(model(), inputs))

    def model() -> Any:
        return training.model.build(rngs=nnx.Rngs(0))

    from flax import nnx

    try:
        jax.eval_shape(gates)
    except ValueError as error:
        raise ConfigError(f"cell: {error}") from None
    task = training.task
    if task.inputs.width is not None or task.readout != "last":
        raise ConfigError("task: expected one of tokens whose last step is asked for: gap, memory_update")
    if sentence is None:
        return None
    try:
        return task.read(sentence)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _said(task: Task, tokens: Any, answer: int) -> str:
    """What an answer is in the words of `show`."""
    import numpy as np

    return task.show(tokens, np.array([answer])).rpartition("___ (")[2].rstrip(")")


def _at_events(task: Task, inputs: Any, gates: Any, share: Any) -> list[str]:
    """The mean of each gate of the units that carry the fact, where the answer changes and elsewhere."""
    import numpy as np

    tokens = np.asarray(inputs)
    is_event = np.zeros(tokens.shape, bool)
    for column, one in enumerate(tokens.T):
        is_event[task.events(one)[:-1], column] = True
    is_event[-1] = False
    carriers = share >= CARRIES
    if not is_event.any():
        return []
    if not carriers.any():
        return ["no unit carries the fact"]
    lines = []
    for name, values in gates.items():
        of_carriers = np.asarray(values)[:-1][..., carriers].mean(axis=-1)
        at, elsewhere = of_carriers[is_event[:-1]].mean(), of_carriers[~is_event[:-1]].mean()
        lines.append(f"{name} gate of the units that carry the fact: {at:.2f} where it changes, {elsewhere:.2f} else")
    return lines


def _draw(
    arguments: Gates, stem: str, probed: Any, traced: Any, words: Sequence[str], carriers: set[int],
    events: Sequence[int], caption: str, title: str, console: rich.console.Console,
) -> None:  # fmt: skip
    """Sort the units by the gate that keeps, and draw."""
    import numpy as np

    from lstm_jax.figures.gaps.gates import gates_figure
    from lstm_jax.figures.style import save

    keeping = np.asarray(probed["forget" if "forget" in probed else "update"])
    order = np.argsort(-np.median(keeping, axis=(0, 1)), kind="stable")
    maps = {f"{name} gate": np.asarray(values, np.float64)[:, 0][:, order] for name, values in traced.gates.items()}
    maps["memory"] = np.asarray(traced.memory, np.float64)[:, 0][:, order]
    places = {int(np.flatnonzero(order == unit)[0]) for unit in carriers}
    figure = gates_figure(maps, words, carriers=places, events=events, caption=caption, title=title)
    (plot,) = save(figure, arguments.out / file_name(stem), ["png"])
    console.print(f"plot: {plot}", highlight=False, markup=False, soft_wrap=True)


def draw_text(arguments: Gates, checkpoint: Path, console: rich.console.Console) -> int:
    """Draw a trained language model, or the encoder of a translator, over a sentence."""
    from experiments import text

    root = next((each for each in (checkpoint, *checkpoint.parents) if (each / "sweep.yaml").is_file()), None)
    if root is None:
        raise ConfigError(f"checkpoint: got {checkpoint}; expected the directory of a sweep, with a sweep.yaml in it")
    name = text.task_name(from_yaml(root / "sweep.yaml"))
    if name not in ("language", "translation"):
        raise ConfigError(f"checkpoint: got a sweep of {name}; expected one of language or translation")
    if arguments.sentence is None:
        raise ConfigError("sentence: none given; expected one to draw the model over")
    form = "decoder" if name == "language" else "encoder_decoder"
    trained = text.trained_model(checkpoint, name, form, arguments.cell, None)
    import jax.numpy as jnp

    from lstm_jax.diagnostics.trace import trace
    from lstm_jax.models.encoder_decoder import EncoderDecoder
    from lstm_jax.models.sequence import SequenceModel

    model: Any = trained.model
    task: Any = trained.task
    if not isinstance(trained.model, SequenceModel | EncoderDecoder):
        raise ConfigError(f"cell: got {arguments.cell}; expected a recurrent one")
    if name == "language":
        stack, embed, words = model.stack, model.embedding, _words(task.text, arguments.sentence)
        ids = task.text.vocabulary.encode(["<eos>" if task.text.level == "word" else "\n", *words])[1:]
    else:
        stack, embed, words = model.encoder, model.source_embedding, _words(task.pairs, arguments.sentence)
        ids = task.pairs.source.encode(words)
    if not words:
        raise ConfigError(f"sentence: got {arguments.sentence!r}; expected words")
    layer = stack.layers[0]
    layer = getattr(layer, "forward", layer)
    try:
        traced = trace(layer.cell, layer.params.get_value(), embed(jnp.asarray(ids)[:, None]))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    run = trained.record.run
    of = "language model" if name == "language" else "translator's encoder"
    caption = (
        f"{run.cell}, {of} of {run.num_params:,} parameters, seed {run.seed}, first layer, {run.steps:,} updates. "
        f"Units from the longest time constant (top) to the shortest, by the median of the gate that keeps."
    )
    _draw(
        arguments, f"gates_{run.cell}_{name}", traced.gates, traced, words, set(), (), caption,
        f"What {run.cell} keeps over a sentence", console,
    )  # fmt: skip
    return 0


def _words(corpus: Any, sentence: str) -> list[str]:
    """The words of a sentence as a corpus reads them."""
    return [word for word in corpus.read(sentence) if word not in ("<eos>", "\n")]


if __name__ == "__main__":
    sys.exit(main())
