#!/usr/bin/env bash
# docs/results/arms: the gap experiment with other filler, at a fixed total length, and at larger gaps.
set -euo pipefail
python -m experiments.arms
