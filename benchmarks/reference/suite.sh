#!/usr/bin/env bash
# docs/results/suite: all cells on a small set of tasks, and the leaderboard made of it.
set -euo pipefail
python -m experiments.suite --out results/suite
python -m experiments.leaderboard
