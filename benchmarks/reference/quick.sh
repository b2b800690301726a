#!/usr/bin/env bash
# docs/results/quick: what `make gap-length` shows.
set -euo pipefail
python -m experiments.gap_length --preset quick --out results/quick
