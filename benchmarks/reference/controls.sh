#!/usr/bin/env bash
# docs/results/controls: what a sweep must not find, and what needs no learning.
set -euo pipefail
python -m experiments.controls
