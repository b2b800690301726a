"""The undisturbed sweep that all faults are compared with."""

from __future__ import annotations

import faults
import pytest


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The directory of the sweep as it is when nothing goes wrong."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    status, output = faults.run(out, *faults.SERIAL)
    assert status == 0, output
    return out
