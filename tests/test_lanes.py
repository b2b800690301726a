"""Branches for lanes side by side: the numbers of a lane alone, and only what some lane takes is computed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax.lanes import switch

FACTORS = (1.0, 10.0, 100.0)


@pytest.mark.parametrize("indices", [(0, 0, 0), (2, 2, 2), (0, 2, 0), (2, 1, 0)])
def test_lanes_have_their_own_branch_and_no_other_is_computed(indices):
    """Counted where it is computed: once for each branch that some lane takes."""
    computed = []

    def branch(place):
        def of_values(values, other):
            jax.debug.callback(lambda _: computed.append(place), values.sum())
            return {"scaled": FACTORS[place] * values + other, "place": jnp.int32(place)}

        return of_values

    branches = [branch(place) for place in range(3)]
    values, other = jnp.arange(6.0).reshape(3, 2), jnp.float32(0.5)
    alone = [jax.lax.switch(index, branches, each, other) for index, each in zip(indices, values, strict=True)]
    jax.effects_barrier()
    computed.clear()
    lanes = jax.jit(jax.vmap(lambda index, each: switch(index, branches, each, other)))
    found = lanes(jnp.array(indices), values)
    jax.effects_barrier()
    assert set(computed) == set(indices)
    for lane, expected in enumerate(alone):
        np.testing.assert_array_equal(found["scaled"][lane], expected["scaled"])
        assert found["place"][lane] == expected["place"] == indices[lane]


def test_one_index_for_all_lanes_and_one_lane_without_vmap():
    branches = [lambda values, factor=factor: factor * values for factor in FACTORS]
    values = jnp.arange(6.0).reshape(3, 2)
    found = jax.vmap(lambda each: switch(jnp.int32(1), branches, each))(values)
    np.testing.assert_array_equal(found, 10.0 * values)
    np.testing.assert_array_equal(switch(jnp.int32(2), branches, values), 100.0 * values)
