"""The undisturbed sweep that all faults are compared with."""

from __future__ import annotations

import faults
import pytest


def pytest_collection_modifyitems(config, items):
    """`make test` has a short form of each test; what is marked long is for `make test-faults`."""
    if not faults.LONG:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The directory of the sweep as it is when nothing goes wrong."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    status, output = faults.run(out, "--wandb", "disabled")
    assert status == 0, output
    return out
