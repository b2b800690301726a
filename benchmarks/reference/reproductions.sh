#!/usr/bin/env bash
# docs/results/reproductions and docs/reproductions.md: published comparisons, run again (about an hour on two cores).
set -euo pipefail
python -m experiments.reproduce hochreiter jozefowicz indrnn
python -m experiments.reproduce lem chrono tcn mqar min_rnn --reduced
python -m experiments.reproduce --page docs/reproductions.md --out results/reproductions
