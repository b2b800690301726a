"""The whole model: inputs -> layers -> readout."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import OWN, add_noise, call, cell_of, inputs_of
from flax import nnx

from lstm_jax.layers import drop
from lstm_jax.models import ModelConfig, SequenceModel, count_params

NUM_STEPS, NUM_TOKENS, NUM_OUTPUTS = 5, 7, 4
LENGTHS = jnp.array([1, 3, 0, NUM_STEPS])
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, NUM_TOKENS, (NUM_STEPS, 4)), jnp.int32)


def assert_close(actual, expected, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def config_of(names=("lstm",), **options):
    options = {"input_dim": 3, "num_outputs": NUM_OUTPUTS, **options}
    return ModelConfig(cells=tuple(cell_of(name) for name in names), **options)


def make_model(config, seed=0, **options):
    """The model with noise on all parameters: the readout's bias starts at zero and would not show."""
    graphdef, state = nnx.split(SequenceModel(config, rngs=nnx.Rngs(seed), **options))
    return nnx.merge(graphdef, add_noise(state, seed + 1, 0.3))


def readout_of(model, outputs):
    """By NumPy."""
    return np.asarray(outputs) @ np.asarray(model.readout.kernel.get_value()) + np.asarray(
        model.readout.bias.get_value()
    )


# Inputs


def test_embedding_is_one_hot_times_a_matrix(x64):
    """A model of tokens is the model of real-valued inputs, fed with rows of the embedding."""
    options = {"dtype": jnp.float64}
    tokens = make_model(config_of(num_tokens=NUM_TOKENS), **options)
    vectors = make_model(config_of(), **options)
    nnx.update(vectors.stack, nnx.state(tokens.stack))
    nnx.update(vectors.readout, nnx.state(tokens.readout))
    one_hot = jax.nn.one_hot(TOKENS, NUM_TOKENS, dtype=jnp.float64)
    logits = call(tokens, TOKENS)
    assert logits.dtype == jnp.float64
    assert logits.shape == (NUM_STEPS, 4, NUM_OUTPUTS)
    assert_close(logits, call(vectors, one_hot @ tokens.embedding.embedding.get_value()), 1e-14)


def test_real_valued_inputs_have_no_embedding():
    model = make_model(config_of())
    assert not hasattr(model, "embedding")
    inputs = inputs_of(NUM_STEPS, (4,))
    assert_close(call(model, inputs), readout_of(model, call(model.stack, inputs)[1]))


@pytest.mark.parametrize("batch_shape", [(), (2, 2)])
def test_batch_shapes(batch_shape, x64):
    """Tokens without a batch axis, vectors with two, lengths likewise."""
    size = int(np.prod(batch_shape))
    if batch_shape:
        config, inputs = config_of(("rnn",), readout="last"), inputs_of(NUM_STEPS, (size,), dtype=jnp.float64)
    else:
        config, inputs = config_of(("rnn",), num_tokens=NUM_TOKENS), TOKENS[:, :1]
    model, lengths = make_model(config, dtype=jnp.float64), jnp.arange(1, 1 + size)
    expected = call(model, inputs, lengths=lengths)
    shaped = inputs.reshape(NUM_STEPS, *batch_shape, *inputs.shape[2:])
    logits = call(model, shaped, lengths=lengths.reshape(batch_shape))
    assert logits.shape == (expected.shape[0], *batch_shape, NUM_OUTPUTS)
    assert_close(logits.reshape(expected.shape), expected, 1e-14)


# Readout


@pytest.mark.parametrize("names", [("lstm",), ("rnn", OWN[0])])
def test_readout_of_the_last_step(names, x64):
    """It is the last of the readouts at every step, and with lengths each sequence's own last."""
    every = make_model(config_of(names), dtype=jnp.float64)
    last = make_model(config_of(names, readout="last"), dtype=jnp.float64)
    inputs = inputs_of(NUM_STEPS, (4,), dtype=jnp.float64)
    assert_close(call(last, inputs), call(every, inputs)[-1:], 1e-14)
    logits, all_logits = call(last, inputs, lengths=LENGTHS), call(every, inputs, lengths=LENGTHS)
    assert logits.shape == (1, 4, NUM_OUTPUTS)
    for b, length in enumerate(int(length) for length in LENGTHS):
        # a sequence of length 0 has an output of zero: its readout is the bias
        expected = all_logits[length - 1, b] if length else last.readout.bias.get_value()
        assert_close(logits[0, b], expected, 1e-14)


def test_readout_reads_no_padding():
    """With NaN in the padding: finite, and so are the gradients."""
    model = make_model(config_of(("lstm", "gru"), readout="last"))
    graphdef, params = nnx.split(model)
    padding = np.arange(NUM_STEPS)[:, None] >= np.asarray(LENGTHS)
    inputs = inputs_of(NUM_STEPS, (4,))
    spoiled = jnp.asarray(np.where(padding[..., None], np.float32(np.nan), inputs))

    @jax.jit
    @jax.value_and_grad
    def loss(params, inputs):
        return (nnx.merge(graphdef, params)(inputs, lengths=LENGTHS) ** 2).sum()

    value, grads = loss(params, inputs)
    spoiled_value, spoiled_grads = loss(params, spoiled)
    np.testing.assert_array_equal(spoiled_value, value)
    jax.tree.map(np.testing.assert_array_equal, spoiled_grads, grads)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_no_steps():
    """Every: no logits. Last: an error, for there is no last step."""
    assert make_model(config_of())(inputs_of(0)).shape == (0, 2, NUM_OUTPUTS)
    model = make_model(config_of(readout="last"))
    for lengths in (None, jnp.array([0, 0])):
        with pytest.raises(ValueError, match="expected at least one step for a last output, got T = 0"):
            model(inputs_of(0), lengths=lengths)


# Dropout and initialisation


def test_dropout():
    """Of embeddings, between layers and of the last outputs, given a key only; one mask each, from a key each."""
    model = make_model(config_of(("rnn", "rnn"), dropout=0.5))
    inputs, key = inputs_of(NUM_STEPS), jax.random.key(0)
    dropped = call(model, inputs, dropout_key=key)
    np.testing.assert_array_equal(call(model, inputs, dropout_key=key), dropped)
    kept = call(model, inputs)
    assert (np.asarray(dropped) != np.asarray(kept)).any()
    assert_close(kept, call(make_model(config_of(("rnn", "rnn"))), inputs), 0)
    first, between, last = jax.random.split(key, 3)
    _, outputs = call(model.stack, drop(inputs, 0.5, first), dropout_key=between)
    assert_close(dropped, readout_of(model, drop(outputs, 0.5, last)))


def test_dropout_has_one_meaning_for_any_number_of_layers():
    inputs, key = inputs_of(NUM_STEPS), jax.random.key(0)
    model = make_model(config_of(("rnn",), dropout=0.9))
    assert (np.asarray(call(model, inputs, dropout_key=key)) != np.asarray(call(model, inputs))).any()


def test_initialisation():
    """Embedding N(0, 1), readout U(-1/sqrt(O), 1/sqrt(O)) with O the last cell's output width, its bias zero."""
    config = config_of(("rnn", OWN[0]), num_tokens=200, num_outputs=300, input_dim=30)
    model = SequenceModel(config, rngs=nnx.Rngs(0))
    embedding = np.asarray(model.embedding.embedding.get_value())
    assert embedding.shape == (200, 30)
    # 6,000 draws: standard errors 0.013 of the mean, 0.009 of the deviation
    assert abs(embedding.mean()) < 0.05
    assert abs(embedding.std() - 1) < 0.04
    kernel, bound = np.asarray(model.readout.kernel.get_value()), 10**-0.5
    assert kernel.shape == (10, 300)
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert abs(kernel.std() - bound / np.sqrt(3)) < 0.02 * bound
    assert not np.any(model.readout.bias.get_value())


# The description


def test_config_keys_a_compiled_program():
    """Hashable and equal by value; any field makes a difference."""
    assert config_of() == config_of()
    assert hash(config_of()) == hash(config_of())
    changed = [
        config_of(("gru",)),
        config_of(("lstm", "lstm")),
        config_of(input_dim=4),
        config_of(num_outputs=5),
        config_of(num_tokens=7),
        config_of(readout="last"),
        config_of(dropout=0.1),
    ]
    assert len({config_of(), *changed}) == 1 + len(changed)


def test_no_random_state():
    _, params, rest = nnx.split(SequenceModel(config_of(dropout=0.5, num_tokens=7), rngs=nnx.Rngs(0)), nnx.Param, ...)
    assert jax.tree.leaves(params)
    assert not jax.tree.leaves(rest)


@pytest.mark.parametrize(
    "config",
    [
        config_of(),
        config_of(("rnn", "gru", "gru@reset=before"), num_tokens=NUM_TOKENS, dropout=0.5),
        config_of((OWN[0], "flax.nnx:LSTMCell", OWN[1]), readout="last"),
    ],
)
def test_count_params(config):
    """The numbers that a model really holds."""
    model = SequenceModel(config, rngs=nnx.Rngs(0))
    assert count_params(config) == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model)))


def test_count_params_by_hand():
    """H = 5, D = 3, 7 tokens, 4 outputs: 21 of the embedding, 20 (3 + 5 + 1) of the LSTM, 24 of the readout."""
    assert count_params(config_of(num_tokens=NUM_TOKENS)) == 21 + 180 + 24


def test_count_params_allocates_nothing():
    """It answers for a model that would not fit in memory: H = 300,000 is 1.4 TB."""
    cell = cell_of("lstm", hidden_dim=300_000)
    config = ModelConfig(cells=(cell,), input_dim=1, num_outputs=1)
    assert count_params(config) == 4 * (300_000 + 300_000**2 + 300_000) + 300_000 + 1


def test_transformations(x64):
    """Split and merge under jit, grad and vmap over seeds, as training does; the model is made inside vmap too."""
    config = config_of(("rnn",), num_tokens=NUM_TOKENS, readout="last")
    graphdef, _ = nnx.split(nnx.eval_shape(lambda: SequenceModel(config, rngs=nnx.Rngs(0), dtype=jnp.float64)))

    def init(key):
        return nnx.split(SequenceModel(config, rngs=nnx.Rngs(key), dtype=jnp.float64))[1]

    def loss(params):
        return (nnx.merge(graphdef, params)(TOKENS) ** 2).sum()

    keys = jax.random.split(jax.random.key(0), 2)
    values, grads = jax.jit(jax.vmap(lambda key: jax.value_and_grad(loss)(init(key))))(keys)
    value_and_grad = jax.jit(jax.value_and_grad(loss))
    for lane in range(2):
        value, grad = value_and_grad(init(keys[lane]))
        assert_close(values[lane], value, 1e-13)
        jax.tree.map(
            functools.partial(assert_close, atol=1e-13), jax.tree.map(lambda leaf, i=lane: leaf[i], grads), grad
        )
