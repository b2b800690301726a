"""Transformers in three shapes, against loops over positions and heads in NumPy."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import call, model_with_noise, weighted_sum
from flax import nnx

from lstm_jax.models import count_params
from lstm_jax.models.base import Pair
from lstm_jax.models.multi_head import positions
from lstm_jax.models.transformer import TransformerConfig
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.text.vocabulary import BOS, PAD

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.standard_promotion]  # in float64 normalisation is float32

NUM_SOURCE, NUM_TARGET, LAYERS, DIM, HEADS = 11, 9, 2, 6, 2
FORMS = ["decoder", "encoder", "encoder_decoder"]
LENGTHS = [7, 3, 0, 5]
RNG = np.random.default_rng(0)


def padded(num_steps, num_tokens, lengths, first=None):
    """Words `[T, B]` of these lengths, the first one given, then padding."""
    tokens = RNG.integers(5, num_tokens, (num_steps, len(lengths)))
    if first is not None:
        tokens[0] = first
    return np.where(np.arange(num_steps)[:, None] < lengths, tokens, PAD).astype(np.int32)


SOURCE = padded(7, NUM_SOURCE, LENGTHS)
PREFIX = padded(5, NUM_TARGET, [5, 2, 4, 1], BOS)


def config_of(form, **options):
    sizes = {"num_layers": LAYERS, "model_dim": DIM, "num_heads": HEADS, "num_tokens": NUM_SOURCE}
    num_outputs = NUM_TARGET if form == "encoder_decoder" else NUM_SOURCE
    return TransformerConfig(form, **{**sizes, "num_outputs": num_outputs, **options})


def make(form, dtype=jnp.float64, **options):
    """The model with noise on all parameters: biases and shifts start at zero and would not show."""
    return model_with_noise(lambda: config_of(form, **options).build(rngs=nnx.Rngs(0), dtype=dtype))


def inputs_of(form):
    return Pair(SOURCE, PREFIX) if form == "encoder_decoder" else SOURCE


def assert_close(actual, expected, atol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def test_a_sequence_is_what_a_decoder_reads():
    """The same parameters, and logits at every step or at the last alone."""
    expected = np.asarray(call(make("decoder"), SOURCE))
    assert_close(call(make("sequence"), SOURCE), expected)
    assert_close(call(make("sequence", readout="last"), SOURCE), expected[-1:])


def test_vectors_by_a_linear_map():
    """As tokens whose table is what the map makes of these vectors; with no table, and no look ahead."""
    vectors = RNG.normal(size=(7, 4, 3))
    for readout in ("every", "last"):
        model = make("sequence", num_tokens=None, input_dim=3, num_outputs=2, readout=readout)
        logits = call(model, vectors)
        tokens = np.arange(28, dtype=np.int32).reshape(7, 4)
        twin = make("sequence", num_tokens=28, num_outputs=2, readout=readout)
        table = affine(model.decoder.embedding, vectors.reshape(28, 3))
        for part in ("layers", "norm"):
            nnx.update(getattr(twin.decoder, part), nnx.state(getattr(model.decoder, part)))
        nnx.update(twin.readout, nnx.state(model.readout))
        twin.decoder.embedding.embedding.set_value(jnp.asarray(table))
        assert logits.dtype == jnp.float64 and logits.shape == (7 if readout == "every" else 1, 4, 2)
        assert_close(logits, call(twin, tokens))
    model = make("sequence", num_tokens=None, input_dim=3, num_outputs=2)
    later = vectors + (np.arange(7) == 4)[:, None, None]
    assert_changes_from(call(model, vectors), call(model, later), 4)


def test_only_a_sequence_may_be_of_vectors():
    for form in FORMS:
        with pytest.raises(ValueError, match=f"num_tokens: expected a number for the form {form}, got None"):
            config_of(form, num_tokens=None, input_dim=3)


@pytest.mark.long
@pytest.mark.parametrize("name", ["gap", "copy"])
def test_it_stands_beside_cells_in_a_sweep(name):
    """With as many parameters as they have, of a task that asks at the last step or at several."""
    sizes = [
        job.settings.num_params
        for cell in ("lstm", "transformer@heads=2")
        for job in make_jobs(SweepConfig.of(task=name, cells=(cell,), gaps=(5,), num_params=20_000))[0]
    ]
    assert max(sizes) <= 1.06 * min(sizes)


# The oracle: one sequence, one position, one head after another


def affine(module, x):
    bias = 0.0 if module.bias is None else np.asarray(module.bias.get_value())
    return x @ np.asarray(module.kernel.get_value()) + bias


def norm(module, x):
    scaled = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return scaled * np.asarray(module.scale.get_value()) + np.asarray(module.bias.get_value())


def attend(module, inputs, context, sees):
    """`sees[s]`: the positions of the context that position s looks at; also the mean weights of the heads."""
    query, key, value = (
        affine(*one) for one in ((module.query, inputs), (module.key, context), (module.value, context))
    )
    found, mean = np.zeros_like(query), np.zeros((len(inputs), len(context)))
    for head in range(HEADS):
        part = slice(head * DIM // HEADS, (head + 1) * DIM // HEADS)
        for s, seen in enumerate(sees):
            scores = [np.exp(query[s, part] @ key[t, part] / np.sqrt(DIM / HEADS)) for t in seen]
            for t, score in zip(seen, scores, strict=True):
                found[s, part] += score / sum(scores) * value[t, part]
                mean[s, t] += score / sum(scores) / HEADS
    return affine(module.output, found), mean


def position(t):
    rates = [10000 ** (2 * (i // 2) / DIM) for i in range(DIM)]
    return [np.cos(t / rate) if i % 2 else np.sin(t / rate) for i, rate in enumerate(rates)]


def loops(tower, tokens, sees, *, scale, source=None, words=()):
    """Outputs of one sequence, and the alignment of the last layer to the words of the source."""
    x = np.asarray(tower.embedding.embedding.get_value())[tokens] * scale + [position(t) for t in range(len(tokens))]
    mean = None
    for layer in tower.layers:
        normed = norm(layer.norms[0], x)
        x = x + attend(layer.self_attention, normed, normed, sees)[0]
        if source is not None:
            found, mean = attend(layer.source_attention, norm(layer.norms[1], x), source, [words] * len(x))
            x = x + found
        wide = affine(layer.widen, norm(layer.norms[-1], x))
        gelu = wide / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
        x = x + affine(layer.narrow, gelu)
    return norm(tower.norm, x), mean


def oracle(model, form, inputs, tied):
    """Logits `[S, B, C]` and alignments `[S, B, T]`."""
    columns, alignments = [], []
    scale = np.sqrt(DIM) if tied else 1.0
    source, prefix = inputs if form == "encoder_decoder" else (inputs, inputs)
    for b in range(source.shape[1]):
        words = np.flatnonzero(source[:, b] != PAD)
        causal = [range(s + 1) for s in range(len(prefix))]
        outputs = mean = None
        if form != "decoder":
            own_scale = 1.0 if form == "encoder_decoder" else scale
            outputs, _ = loops(model.encoder, source[:, b], [words] * len(source), scale=own_scale)
        if form != "encoder":
            outputs, mean = loops(model.decoder, prefix[:, b], causal, scale=scale, source=outputs, words=words)
        if tied:
            table = np.asarray(model.readout.table.embedding.get_value())
            columns.append(
                affine(model.readout.projection, outputs) @ table.T + np.asarray(model.readout.bias.get_value())
            )
        else:
            columns.append(affine(model.readout, outputs))
        alignments.append(mean)
    return np.stack(columns, axis=1), None if alignments[0] is None else np.stack(alignments, axis=1)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_logits_are_those_of_loops(form, tied):
    """Of sequences of all lengths, one of padding alone."""
    model = make(form, tied=tied)
    logits = call(model, inputs_of(form))
    assert logits.dtype == jnp.float64
    expected, _ = oracle(model, form, jax.tree.map(np.asarray, inputs_of(form)), tied)
    assert_close(logits, expected)


# What each logit depends on


def others(tokens, t, num_tokens):
    """Another word at step t of every sequence."""
    tokens = tokens.copy()
    tokens[t] = 5 + (tokens[t] - 4) % (num_tokens - 5)
    return tokens


def test_a_decoder_never_looks_ahead():
    """Another token at step t changes the logits from t on, and none before; in both forms that write."""
    decoder, both = make("decoder"), make("encoder_decoder")
    for t in (0, 2, 4):
        before, after = (call(decoder, tokens) for tokens in (SOURCE, others(SOURCE, t, NUM_SOURCE)))
        assert_changes_from(before, after, t)
        prefixes = (PREFIX, others(PREFIX, t, NUM_TARGET))
        before, after = (call(both, Pair(SOURCE, prefix)) for prefix in prefixes)
        assert_changes_from(before, after, t)


def assert_changes_from(before, after, t):
    before, after = np.asarray(before), np.asarray(after)
    np.testing.assert_array_equal(before[:t], after[:t])
    assert (np.abs(before[t:] - after[t:]).max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize("form", ["encoder", "encoder_decoder"])
def test_an_encoder_looks_everywhere(form):
    """Another token anywhere changes every logit, first and last."""
    model = make(form)
    full = padded(7, NUM_SOURCE, [7] * 4)
    for t in (0, 3, 6):
        inputs = [full, others(full, t, NUM_SOURCE)]
        if form == "encoder_decoder":
            inputs = [Pair(source, PREFIX) for source in inputs]
        before, after = (np.asarray(call(model, each)) for each in inputs)
        assert (np.abs(before - after).max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize("form", ["encoder", "encoder_decoder"])
def test_padding_is_never_attended_to(form):
    """Neither how much there is of it nor its embedding changes a word's logits. The loops are one by one."""
    model = make(form)
    inputs, is_scored = inputs_of(form), np.asarray(PREFIX if form == "encoder_decoder" else SOURCE) != PAD
    expected = np.asarray(call(model, inputs))[is_scored]
    longer = np.concatenate([SOURCE, np.full((3, 4), PAD, np.int32)])
    logits = call(model, inputs._replace(source=longer) if form == "encoder_decoder" else longer)
    assert_close(np.asarray(logits)[: len(is_scored)][is_scored], expected)
    table = model.encoder.embedding.embedding
    table.set_value(jnp.asarray(np.asarray(table.get_value()) + (np.arange(NUM_SOURCE) == PAD)[:, None]))
    assert_close(np.asarray(call(model, inputs))[is_scored], expected)


def test_gradients_are_finite_where_there_is_padding_alone():
    """In float32, of which no step makes another type; every parameter has one."""
    model = make("encoder_decoder", jnp.float32)
    gradient = gradient_of(*nnx.split(model), inputs_of("encoder_decoder"))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


@functools.partial(jax.jit, static_argnums=0)
def gradient_of(graphdef, params, inputs):
    return jax.grad(lambda params: weighted_sum(nnx.merge(graphdef, params)(inputs)))(params)


# Step by step


@functools.partial(jax.jit, static_argnums=0)
def walk(graphdef, params, inputs):
    """The logits and alignments of `step` after `step`, of a model that has room for one token more."""
    model = nnx.merge(graphdef, params)
    source, prefix = inputs if isinstance(inputs, Pair) else (None, inputs)
    memory, state = model.begin(source, prefix.shape[1], len(prefix) + 1)
    assert {leaf.shape[0] for leaf in jax.tree.leaves((memory, state))} == {prefix.shape[1]}

    def step(state, tokens):
        state, logits, alignment = model.step(memory, state, tokens)
        return state, (logits, alignment)

    return jax.lax.scan(step, state, prefix)[1]


@pytest.mark.parametrize("form", ["decoder", "encoder_decoder"])
def test_steps_are_the_call_on_the_prefix(form):
    """And the alignment is the mean over the heads of the last layer: zero at padding, else of sum one."""
    model = make(form)
    logits, alignments = walk(*nnx.split(model), inputs_of(form))
    assert_close(logits, call(model, inputs_of(form)))
    _, expected = oracle(model, form, jax.tree.map(np.asarray, inputs_of(form)), tied=False)
    if form == "decoder":
        assert alignments is expected is None
    else:
        assert_close(alignments, expected)
        assert_close(alignments.sum(axis=-1), np.broadcast_to(np.array(LENGTHS) > 0, alignments.shape[:2]))


def test_states_may_be_mixed():
    """Rows of memory and state go on as they would have elsewhere, beside others of another position."""
    graphdef, params = nnx.split(make("encoder_decoder"))

    @jax.jit
    def steps(params):
        model = nnx.merge(graphdef, params)
        memory, state = model.begin(jnp.asarray(SOURCE), 4, 5)
        tokens = jnp.array([PREFIX[0, 0], 5, 6, 7], jnp.int32)
        once = model.step(memory, state, tokens)
        twice = model.step(memory, once.state, tokens)
        thrice = model.step(memory, twice.state, tokens)
        rows = jnp.array([3, 0, 0])  # after two tokens, after one, after two again
        mixed = jax.tree.map(
            lambda one, two: jnp.stack([two[3], one[0], two[0]]), (memory, once.state), (memory, twice.state)
        )
        expected = jnp.stack([thrice.logits[3], twice.logits[0], thrice.logits[0]])
        return model.step(*mixed, tokens[rows]).logits, expected

    assert_close(*steps(params))


def test_an_encoder_cannot_write():
    with pytest.raises(ValueError, match="form: expected one that writes"):
        make("encoder").begin(None, 2, 3)


# What it is made of


def test_dropout_is_drawn_from_the_key_alone():
    """Without a key nothing is dropped; a model is parameters and nothing else, so any copy drops the same."""
    graphdef, params = nnx.split(make("encoder_decoder", dropout=0.5))
    assert len(jax.tree.leaves(params)) == len(jax.tree.leaves(nnx.filter_state(params, nnx.Param)))
    inputs = inputs_of("encoder_decoder")
    calm = np.asarray(call(nnx.merge(graphdef, params), inputs))
    assert_close(calm, call(make("encoder_decoder"), inputs))
    keys = [jax.random.key(seed) for seed in (0, 0, 1)]
    drawn = [np.asarray(call(nnx.merge(graphdef, params), inputs, dropout_key=key)) for key in keys]
    assert_close(drawn[0], drawn[1], 0)
    assert np.abs(drawn[0] - drawn[2]).max() > 0.1 < np.abs(drawn[0] - calm).max()
    assert config_of("decoder", dropout=0.5).uses_rng and not config_of("decoder").uses_rng


def test_dropout_is_at_embeddings_and_at_each_part():
    """With all of these dropped, the last norm has nothing but its bias."""
    model = make("encoder_decoder", dropout=1 - 1e-9)
    logits = call(model, inputs_of("encoder_decoder"), dropout_key=jax.random.key(0))
    expected = affine(model.readout, np.asarray(model.decoder.norm.bias.get_value()))
    assert_close(logits, np.broadcast_to(expected, logits.shape))


def test_a_tied_readout_writes_by_the_table_that_it_reads():
    """One table less, one projection more; an encoder-decoder's is the target's."""
    for form, num_outputs in (("decoder", NUM_SOURCE), ("encoder", NUM_SOURCE), ("encoder_decoder", NUM_TARGET)):
        own, tied = (count_params(config_of(form, tied=tied)) for tied in (False, True))
        assert own - tied == num_outputs * DIM - DIM**2


def test_parameters_are_as_many_as_the_paper_says():
    """12 D² a layer, 4 D² more for each that reads a source; biases, norms, tables and readout."""
    attention, mlp, norm = 4 * DIM**2 + 4 * DIM, 8 * DIM**2 + 5 * DIM, 2 * DIM
    alone, reading = attention + mlp + 2 * norm, 2 * attention + mlp + 3 * norm
    readout = (DIM + 1) * NUM_SOURCE
    for form in ("decoder", "encoder"):
        assert count_params(config_of(form)) == LAYERS * alone + norm + NUM_SOURCE * DIM + readout
    tables, readout = (NUM_SOURCE + NUM_TARGET) * DIM, (DIM + 1) * NUM_TARGET
    assert count_params(config_of("encoder_decoder")) == LAYERS * (alone + reading) + 2 * norm + tables + readout


def test_positions():
    """Sinusoids of any position; what is `k` steps on is a rotation by an angle of `k` alone."""
    index = jnp.array([[0, 3], [17, 100000]])
    expected = np.array([[position(t) for t in row] for row in index.tolist()])
    assert_close(jax.jit(positions, static_argnums=(1, 2))(index, DIM, jnp.float64), expected, 1e-10)
    for dtype in (jnp.float64, jnp.float32):
        odd = jax.eval_shape(lambda index, dtype=dtype: positions(index, 5, dtype), index)
        assert (odd.shape, odd.dtype) == ((2, 2, 5), dtype)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "num_layers: expected at least one, got 0"),
        ({"num_heads": 4}, r"num_heads: expected a divisor of 6 \(model_dim\), got 4"),
        ({"num_heads": 0}, "num_heads: expected a divisor"),
        ({"dropout": 1.0}, r"dropout: expected a rate in \[0, 1\), got 1.0"),
        ({"tied": True, "num_outputs": 4}, "tied: expected as many outputs as tokens, got 4, 11"),
    ],
)
def test_configs_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        config_of("decoder", **options)


def test_a_config_keys_a_program():
    assert hash(config_of("decoder")) == hash(config_of("decoder"))
    assert config_of("decoder").initial_forget_bias is None
    assert config_of("decoder").initial_states(3) == ()
