"""What Flax's guides do with a model, unchanged, with each of ours: the step, transformations, states, checkpoints."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from flax.nnx import bridge

from lstm_jax.cells import make_cell
from lstm_jax.layers import CellAsFlax, Recurrent, Stack
from lstm_jax.models import EncoderDecoderConfig, ModelConfig, Pair, TCNConfig, TransformerConfig

pytestmark = pytest.mark.standard_promotion  # optax raises a float to the power of its integer count

NUM_STEPS, BATCH, DIM = 4, 3, 4
KEY = jax.random.key(5)


def cell_of(name="lstm", hidden_dim=DIM):
    return make_cell(name, hidden_dim)


def as_flax(hidden_dim, rngs, name="lstm"):
    return nnx.RNN(CellAsFlax(cell_of(name, hidden_dim), DIM, rngs=rngs))


# Cells are the cheapest to compile that show what a test is about: others are no different to Flax.
# Each from inputs [T, B, DIM] to outputs [T, B, DIM], so that they can be layers on top of each other.
LAYERS = {
    "Recurrent": lambda rngs: Recurrent(cell_of(), DIM, rngs=rngs),
    "Recurrent, states": lambda rngs: Recurrent(cell_of(), DIM, backward="states", rngs=rngs),
    "Recurrent of a Flax cell": lambda rngs: Recurrent(cell_of("flax.nnx:GRUCell"), DIM, rngs=rngs),
    "Stack": lambda rngs: Stack([cell_of("rnn", DIM // 2)] * 2, DIM, dropout=0.1, bidirectional=True, rngs=rngs),
    "RNN": lambda rngs: as_flax(DIM, rngs),
    "Bidirectional": lambda rngs: nnx.Bidirectional(as_flax(DIM // 2, rngs, "rnn"), as_flax(DIM // 2, rngs, "rnn")),
}
MODELS = {
    "SequenceModel": lambda rngs: ModelConfig((cell_of(),), DIM, DIM).build(rngs=rngs),
    "TCN": lambda rngs: TCNConfig(DIM, DIM, None, DIM, levels=2, kernel=2).build(rngs=rngs),
    "EncoderDecoder": lambda rngs: EncoderDecoderConfig(
        (cell_of("rnn"),), 3, 7, num_tokens=7, attention="dot", bidirectional=True, tied=True, dropout=0.1
    ).build(rngs=rngs),
}
BOTH = LAYERS | MODELS


def build(name, seed=0):
    return BOTH[name](nnx.Rngs(seed))


def arrays(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


X, Y = arrays(NUM_STEPS, BATCH, DIM), 0.3 * arrays(NUM_STEPS, BATCH, DIM, seed=1)
TOKENS = jnp.array([[3, 4, 5], [6, 5, 3], [2, 2, 2], [0, 0, 0]], jnp.int32)


def outputs_of(model, x):
    """What a layer hands to the next one."""
    if isinstance(model, Stack):
        return model(x, dropout_key=KEY)[1]
    if isinstance(model, Recurrent):
        return model(x)[1]
    return model(x)


def loss_fn(model, x=X, y=Y):
    if hasattr(model, "encoder"):
        logits = model(Pair(TOKENS, TOKENS), dropout_key=KEY)
        return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.roll(TOKENS, -1, 0)).mean()
    return ((outputs_of(model, x) - y) ** 2).mean()


jit_loss, jit_outputs = nnx.jit(loss_fn), nnx.jit(outputs_of)


def assert_same(actual, expected, atol=0.0):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=atol), actual, expected)


def params_of(model):
    return nnx.state(model, nnx.Param)


def changed(before, after):
    """The paths of parameters that differ."""
    pairs = zip(nnx.to_flat_state(before), nnx.to_flat_state(after), strict=True)
    return {path for (path, one), (_, other) in pairs if (np.asarray(one[...]) != np.asarray(other[...])).any()}


# The step of Flax's guides


@nnx.jit
def train_step(model, optimizer, x, y):
    loss, grads = nnx.value_and_grad(loss_fn)(model, x, y)
    optimizer.update(model, grads)
    return loss


@pytest.mark.parametrize("name", BOTH)
def test_the_training_step(name):
    model = build(name)
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    before = jax.tree.map(jnp.copy, params_of(model))
    losses = [float(train_step(model, optimizer, X, Y)) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]
    assert changed(before, params_of(model)) == {path for path, _ in nnx.to_flat_state(before)}


def test_a_filter_says_what_is_trained():
    """The recurrent weights alone, by their names."""
    model = build("Stack")
    wrt = nnx.All(nnx.Param, lambda path, _: path[-1] == "w_hh")
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=wrt)
    before = jax.tree.map(jnp.copy, params_of(model))

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(loss_fn, argnums=nnx.DiffState(0, wrt))(model)
        optimizer.update(model, grads)

    step(model, optimizer)
    ways = [("layers", 0), ("layers", 1), ("other_way", 0), ("other_way", 1)]
    assert changed(before, params_of(model)) == {(*way, "weights", "w_hh") for way in ways}


def one_of(models, index):
    """One of the models that nnx.vmap made."""
    graphdef, state = nnx.split(models)
    return nnx.merge(graphdef, jax.tree.map(lambda leaf: leaf[index], state))


# Transformations


@pytest.mark.parametrize("name", BOTH)
def test_gradients_are_of_the_form_of_the_state(name):
    """Of nnx.grad, nnx.value_and_grad, nnx.remat, and jax's own of what nnx.split gives."""
    model = build(name)
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def by_jax(model):
        loss = lambda params: loss_fn(nnx.merge(graphdef, params, rest, copy=True))  # noqa: E731
        return jax.grad(loss)(params_of(model))

    ways = [
        nnx.grad(loss_fn),
        lambda model: nnx.value_and_grad(loss_fn)(model)[1],
        nnx.grad(nnx.remat(loss_fn)),
        by_jax,
    ]
    for way in ways:
        grads = nnx.eval_shape(way, model)
        assert jax.tree.structure(grads) == jax.tree.structure(params)
        assert [leaf.shape for leaf in jax.tree.leaves(grads)] == [leaf.shape for leaf in jax.tree.leaves(params)]


@pytest.mark.parametrize("name", ["Recurrent", "RNN"])
def test_gradients(name):
    """The same numbers in each of these ways."""
    model = build(name)
    value, grads = nnx.jit(nnx.value_and_grad(loss_fn))(model)
    assert all(np.isfinite(leaf).all() and np.any(leaf) for leaf in jax.tree.leaves(grads))
    assert_same(nnx.jit(nnx.grad(nnx.remat(loss_fn)))(model), grads, 1e-6)
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    by_jax = jax.jit(jax.value_and_grad(lambda params: loss_fn(nnx.merge(graphdef, params, rest, copy=True))))(params)
    assert_same(by_jax, (value, grads), 1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_vmap_over_models(name):
    """Models that nnx.vmap made and runs are those that one makes and runs one by one."""

    @nnx.split_rngs(splits=2)
    @nnx.vmap
    def create(rngs):
        return BOTH[name](rngs)

    models = create(nnx.Rngs(params=3))
    losses = nnx.jit(nnx.vmap(loss_fn, in_axes=(0, None, None)))(models, X, Y)
    for index in range(2):
        assert_same(jit_loss(one_of(models, index)), losses[index], 1e-6)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", LAYERS)
def test_scan_over_layers(name):
    @nnx.split_rngs(splits=3)
    @nnx.vmap
    def create(rngs):
        return LAYERS[name](rngs)

    layers = create(nnx.Rngs(params=3))

    @nnx.jit
    @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry)
    def forward(layer, x):
        return outputs_of(layer, x)

    expected = X
    for index in range(3):
        expected = jit_outputs(one_of(layers, index), expected)
    assert_same(forward(layers, X), expected, 1e-6)


# States


@pytest.mark.parametrize("name", BOTH)
def test_a_model_and_its_parts(name):
    """Split and merged, cloned, and put together from a plain dictionary of arrays."""
    model, other = build(name), build(name, seed=1)
    loss = jit_loss(model)
    assert jit_loss(nnx.merge(*nnx.split(model))) == loss
    assert jit_loss(nnx.clone(model)) == loss
    state = params_of(other)
    nnx.replace_by_pure_dict(state, nnx.to_pure_dict(params_of(model)))
    nnx.update(other, state)
    assert jit_loss(other) == loss


@pytest.mark.parametrize("name", ["Recurrent of a Flax cell", "Stack", "RNN", "EncoderDecoder"])
def test_orbax(name, tmp_path):
    """A state as it is, and the plain dictionary, which is put back where it was restored without a target too."""
    model, other = build(name), build(name, seed=1)
    state = params_of(model)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.save(tmp_path / "plain", nnx.to_pure_dict(state))
        checkpointer.wait_until_finished()
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, params_of(nnx.eval_shape(lambda: build(name))))
        assert_same(checkpointer.restore(tmp_path / "state", abstract), state)
        for target in ([nnx.to_pure_dict(abstract)], []):
            restored = checkpointer.restore(tmp_path / "plain", *target)
            found = params_of(other)
            nnx.replace_by_pure_dict(found, nnx.restore_int_paths(restored))
            assert_same(found, state)


def test_names_of_parameters():
    """The cell's own, in nnx.state, on the layer and on display."""
    layer = build("Recurrent")
    assert {path for path, _ in nnx.to_flat_state(nnx.state(layer))} == {
        ("weights", "w_ih"),
        ("weights", "w_hh"),
        ("weights", "bias"),
    }
    assert isinstance(layer.params.w_ih, nnx.Param) and layer.params.w_ih.shape == (DIM, 4 * DIM)
    assert "w_ih=Param(" in repr(layer)
    assert build("Recurrent of a Flax cell").params.dense_i.kernel.shape == (DIM, 3 * DIM)


# Plain optax


@pytest.mark.parametrize("name", ["Recurrent", "Stack", "RNN", "EncoderDecoder"])
def test_optax_by_path(name):
    """Weight decay of matrices alone, and an optimizer for recurrent weights alone: by the names in the paths."""
    params = params_of(build(name))
    zeros = jax.tree.map(jnp.zeros_like, params)

    def name_of(path):
        return next(key.key for key in reversed(path) if isinstance(key, jax.tree_util.DictKey))

    is_matrix = jax.tree_util.tree_map_with_path(lambda path, _: name_of(path) not in ("bias", "bias_hn"), params)
    decay = optax.add_decayed_weights(0.1, mask=is_matrix)
    decayed, _ = decay.update(zeros, decay.init(params), params)
    assert changed(zeros, decayed) == {path for path, leaf in nnx.to_flat_state(params) if leaf.ndim == 2}

    labels = jax.tree_util.tree_map_with_path(lambda path, _: "w_hh" if name_of(path) == "w_hh" else "rest", params)
    optimizer = optax.multi_transform({"w_hh": optax.sgd(0.1), "rest": optax.set_to_zero()}, labels)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(ones, optimizer.init(params), params)
    assert changed(zeros, updates) == {path for path, _ in nnx.to_flat_state(params) if path[-1] == "w_hh"}


def test_optax_alone():
    """A loop without nnx.Optimizer, on nnx.state."""
    model = build("Stack")
    graphdef, params = nnx.split(model)
    optimizer = optax.adamw(1e-2)

    @jax.jit
    def step(params, opt_state):
        loss, grads = jax.value_and_grad(lambda params: loss_fn(nnx.merge(graphdef, params)))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    opt_state, losses = optimizer.init(params), []
    for _ in range(30):
        params, opt_state, loss = step(params, opt_state)
        losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]


# Linen


@pytest.mark.parametrize("name", ["Recurrent", "Stack", "CellAsFlax"])
def test_inside_linen(name):
    cell = cell_of()
    x = X[0] if name == "CellAsFlax" else X
    make, arguments = {
        "Recurrent": (Recurrent, (cell, DIM)),
        "Stack": (Stack, ((cell, cell), DIM)),
        "CellAsFlax": (CellAsFlax, (cell, DIM)),
    }[name]
    inputs = (cell.initial_state((BATCH,)), x) if name == "CellAsFlax" else (x,)
    linen = bridge.ToLinen(make, args=arguments)
    variables = jax.jit(linen.init)(jax.random.key(0), *inputs)
    module = make(*arguments, rngs=nnx.Rngs(0))
    state = nnx.state(module)
    nnx.replace_by_pure_dict(state, variables["params"])
    nnx.update(module, state)
    assert_same(jax.jit(linen.apply)(variables, *inputs), nnx.jit(lambda module: module(*inputs))(module))


# Random numbers, and what is refused


@pytest.mark.parametrize("name", ["Stack", "SequenceModel", "EncoderDecoder", "Transformer"])
def test_eval_turns_dropout_off(name):
    """Where a key is given too; train turns it on again."""
    pair, tokens = Pair(TOKENS, TOKENS), TOKENS
    cells = (cell_of("rnn"), cell_of("rnn"))
    sizes = {"num_tokens": 7, "dropout": 0.5}
    model, inputs = {
        "Stack": lambda: (Stack(cells, DIM, dropout=0.5, rngs=nnx.Rngs(0)), X),
        "SequenceModel": lambda: (ModelConfig(cells, DIM, 7, **sizes).build(rngs=nnx.Rngs(0)), tokens),
        "EncoderDecoder": lambda: (
            EncoderDecoderConfig(cells[:1], DIM, 7, teacher_forcing=0.5, **sizes).build(rngs=nnx.Rngs(0)),
            pair,
        ),
        "Transformer": lambda: (
            TransformerConfig("decoder", 1, DIM, 1, 7, 7, dropout=0.5).build(rngs=nnx.Rngs(0)),
            tokens,
        ),
    }[name]()
    both = nnx.jit(lambda model: (model(inputs), model(inputs, dropout_key=KEY)))  # compiled for each of two modes
    calm, dropped = both(model)
    model.eval()
    assert_same(both(model), (calm, calm))
    model.train()
    assert_same(both(model), (calm, dropped))
    different = jax.tree.map(lambda one, other: bool((one != other).any()), calm, dropped)
    assert any(jax.tree.leaves(different))


def test_states_that_do_not_fit():
    """One error each, in words."""
    cell = cell_of()
    state = cell.initial_state((BATCH,))
    one = Stack([cell, cell], DIM, rngs=nnx.Rngs(0))
    both = Stack([cell, cell], DIM, bidirectional=True, rngs=nnx.Rngs(0))
    pair = (state, state)
    for stack, states, message in [
        (one, [state], "initial_states: expected 2, one a layer, got 1"),
        (one, [state] * 3, "initial_states: expected 2, one a layer, got 3"),
        (one, state, "initial_states: expected 2, one a layer, got one LSTMState"),
        (
            one,
            [tuple(state), state],
            r"initial_state: expected what LSTM.initial_state makes, LSTMState of hidden, cell",
        ),
        (both, [state] * 4, "initial_states: expected 2, one a layer, got 4"),
        (both, [state] * 2, r"initial_states\[0\]: expected a pair, .*, got LSTMState"),
        (both, [pair, (state,) * 3], r"initial_states\[1\]: expected a pair, .*, got tuple"),
    ]:
        with pytest.raises(ValueError, match=message):
            stack(X, states)
    with pytest.raises(ValueError, match=r"LSTMState of hidden, cell, got tuple"):
        Recurrent(cell, DIM, rngs=nnx.Rngs(0))(X, tuple(state))


def test_a_carry_has_the_dtype_of_the_model():
    dtype = jnp.bfloat16
    module = CellAsFlax(cell_of(), DIM, rngs=nnx.Rngs(0), dtype=dtype)
    assert module.initialize_carry((BATCH, DIM)).cell.dtype == dtype
    cast = CellAsFlax(cell_of(), DIM, rngs=nnx.Rngs(0))
    nnx.update(cast, jax.tree.map(lambda leaf: leaf.astype(dtype), nnx.state(cast)))
    assert cast.initialize_carry((BATCH, DIM)).cell.dtype == dtype
    for tied in (False, True):
        model = ModelConfig((cell_of(),), DIM, 7, num_tokens=7, tied=tied).build(rngs=nnx.Rngs(0), dtype=dtype)
        _, states = model.begin(None, BATCH, 5)
        assert states[0].hidden.dtype == dtype
