"""jax's own transformations of a scan and of layers, in every backward mode: values and gradients of the plain call."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from lstm_jax.cells import make_cell
from lstm_jax.choices import Backward
from lstm_jax.layers import Recurrent, Stack
from lstm_jax.scan import scan, scan_last

NUM_STEPS, BATCH, DIM = 4, 4, 4
ATOL = 2e-6  # numbers around 1 in float32, of which sums are in another order
MODES = typing.get_args(Backward)
CELLS = ("lstm", "gru@reset=before")  # taken apart, and not
PATHS = [(cell, mode) for cell in CELLS for mode in MODES if mode != "parallel"] + [("rglru", "parallel")]


@functools.cache
def arguments(name, seed=0, *, given=True):
    """Parameters, state, inputs and lengths; of the state and the lengths there are none unless `given`."""
    cell, rng = make_cell(name, DIM), np.random.default_rng(seed)

    def drawn(leaf):
        return rng.normal(size=leaf.shape, scale=0.5).astype(np.float32)

    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), DIM), cell.initial_state((BATCH,))))
    params, state = jax.tree.map(drawn, shapes)
    x = rng.normal(size=(NUM_STEPS, BATCH, DIM)).astype(np.float32)
    lengths = np.roll(np.array([4, 3, 0, 2], np.int32), seed)
    return params, state if given else None, x, lengths if given else None


def squares(results):
    return sum((leaf**2).sum() for leaf in jax.tree.leaves(results))


def loss_of(cell, backward, *, given=True, run=scan):
    """Of state and outputs, with a truncated gradient where state and lengths are given."""

    def loss(params, state, x, lengths):
        options = {"lengths": lengths, "backward": backward, "truncation": 3 if given else None}
        return squares(run(cell, params, x, state, **options))

    return loss


def with_gradients(loss, *, given=True):
    return jax.value_and_grad(loss, argnums=(0, 1, 2) if given else (0, 2))


@functools.cache
def by_autodiff(name, given, run):
    loss = loss_of(make_cell(name, DIM), "autodiff", given=given, run=run)
    return jax.jit(with_gradients(loss, given=given))


@functools.cache
def expected(name, seed=0, *, given=True, run=scan):
    """On one device."""
    return jax.tree.map(np.asarray, by_autodiff(name, given, run)(*arguments(name, seed, given=given)))


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=ATOL), actual, expected)


def stacked(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


# One device


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
@pytest.mark.parametrize(("name", "backward"), PATHS)
def test_vmap_of_all_arguments_at_once(name, backward):
    """Parameters, state, inputs and lengths, of a loss in `jax.checkpoint`; and they are donated."""
    loss = jax.checkpoint(loss_of(make_cell(name, DIM), backward))
    run = jax.jit(jax.vmap(with_gradients(loss)), donate_argnums=(0, 1, 2, 3))
    both = jax.tree.map(jnp.asarray, stacked([arguments(name, seed) for seed in (0, 1)]))
    assert_same(run(*both), stacked([expected(name, seed) for seed in (0, 1)]))


# Two devices, in a process of their own


def over_batch(mesh, loss, given):
    """The gradients of parameters, which are whole on every device, are summed by jax; the loss is ours to sum."""

    def run(*arguments):
        value, gradients = with_gradients(loss, given=given)(*arguments)
        return jax.lax.psum(value, "two"), gradients

    gradients = (P(), P("two"), P(None, "two")) if given else (P(), P(None, "two"))
    in_specs = (P(), P("two"), P(None, "two"), P("two"))
    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=in_specs, out_specs=(P(), gradients)))


def in_shard_map(name, backward, given=True, run=scan):
    cell = make_cell(name, DIM)
    mesh = jax.make_mesh((2,), ("two",), axis_types=(AxisType.Auto,))
    found = over_batch(mesh, loss_of(cell, backward, given=given, run=run), given)
    assert_same(found(*arguments(name, given=given)), expected(name, given=given, run=run))


def put(tree, *spec):
    """On the mesh of the context; an axis too many in `spec` is dropped, from the left."""
    return jax.tree.map(lambda leaf: jax.device_put(leaf, P(*spec[max(0, len(spec) - leaf.ndim) :])), tree)


def on_explicit_mesh(name, backward, given=True, run=scan, params=(), state=("two", None), x=(None, "two", None)):
    """`params`, `state` and `x` say what these are sharded over."""
    cell = make_cell(name, DIM)
    of_params, of_state, of_x, lengths = arguments(name, given=given)
    with jax.set_mesh(jax.make_mesh((2,), ("two",), axis_types=(AxisType.Explicit,))):
        sharded = put(of_params, *params), put(of_state, *state), put(of_x, *x), put(lengths, x[1])
        loss = loss_of(cell, backward, given=given, run=run)
        found = jax.jit(with_gradients(loss, given=given))(*sharded)
        for gradient, param in zip(jax.tree.leaves(found[1][0]), jax.tree.leaves(sharded[0]), strict=True):
            assert jax.typeof(gradient).sharding == jax.typeof(param).sharding
    assert_same(found, expected(name, given=given, run=run))


def in_pmap(name, backward):
    cell = make_cell(name, DIM)
    both = stacked([arguments(name, seed) for seed in (0, 1)])
    found = jax.pmap(with_gradients(loss_of(cell, backward)))(*both)
    assert_same(found, stacked([expected(name, seed) for seed in (0, 1)]))


def stack():
    """In jax.shard_map, and on a mesh with explicit axes, over which the parameters are sharded too."""
    _, _, x, lengths = arguments("lstm")
    graphdef, params = nnx.split(
        Stack([make_cell(name, DIM) for name in CELLS], DIM, backward="states", rngs=nnx.Rngs(0))
    )

    def loss(params, _, x, lengths):
        return squares(nnx.merge(graphdef, params)(x, lengths=lengths))

    plain = jax.jit(with_gradients(loss, given=False))(params, None, x, lengths)
    mesh = jax.make_mesh((2,), ("two",), axis_types=(AxisType.Auto,))
    assert_same(over_batch(mesh, loss, False)(params, None, x, lengths), plain)
    with jax.set_mesh(jax.make_mesh((2,), ("two",), axis_types=(AxisType.Explicit,))):
        sharded = put(params, None, "two"), None, put(x, None, "two", None), put(lengths, "two")
        assert_same(jax.jit(with_gradients(loss, given=False))(*sharded), plain)


def in_shard_map_of_flax():
    """A layer as it is, in nnx.shard_map."""
    params, _, x, _ = arguments("lstm")
    layer = Recurrent(make_cell("lstm", DIM), DIM, backward="activations", rngs=nnx.Rngs(0))
    layer.params.set_value(params)
    mesh = jax.make_mesh((2,), ("two",), axis_types=(AxisType.Auto,))

    @nnx.jit
    @nnx.shard_map(mesh=mesh, in_specs=(P(), P(None, "two")), out_specs=P())
    def gradients(layer, x):
        return nnx.grad(lambda layer: squares(layer(x)))(layer)

    found = gradients(layer, x)["weights"]
    assert_same([found[field].get_value() for field in params._fields], list(expected("lstm", given=False)[1][0]))


def cases():
    gates, rows = (None, "two"), ("two", None)
    for name, backward in PATHS:
        yield in_shard_map, (name, backward)
        yield on_explicit_mesh, (name, backward, True, scan, gates)
    yield in_shard_map, ("lstm", "activations", False)
    yield on_explicit_mesh, ("lstm", "activations", False)
    yield in_shard_map, ("lstm", "states", True, scan_last)
    # what is sharded over something else than the batch, or alone
    yield on_explicit_mesh, ("lstm", "states", True, scan, rows, (None, "two"), ("two", None, None))
    yield on_explicit_mesh, ("lstm", "checkpoint", True, scan, (), ("two", None), (None, None, "two"))
    yield on_explicit_mesh, ("lstm", "states", True, scan_last, (), (None, None), (None, "two", None))
    yield in_pmap, ("lstm", "states")
    yield stack, ()
    yield in_shard_map_of_flax, ()


def failures():
    """Of each case that fails, what it says."""
    found = {}
    for check, options in cases():
        try:
            check(*options)
        except Exception as error:  # the others tell what it has to do with
            words = [getattr(each, "__name__", str(each)) for each in (check, *options)]
            found[" ".join(words)] = f"{type(error).__name__}: {error}"[:400]
    return found


def test_two_devices():
    """All of `cases` in one process, which has two devices."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": paths, "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    script = "import json, test_transforms as t; print(json.dumps([len(t.jax.devices()), t.failures()]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    num_devices, failed = json.loads(done.stdout)
    assert num_devices == 2
    assert not failed, "\n".join(f"{case}: {what}" for case, what in failed.items())
