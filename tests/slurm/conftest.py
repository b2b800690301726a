"""Tests of a real Slurm are for `make test-slurm`, which starts one."""

from __future__ import annotations

import os

collect_ignore = [] if "SLURM_TEST" in os.environ else ["test_slurm.py"]
