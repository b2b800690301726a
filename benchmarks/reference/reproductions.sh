#!/usr/bin/env bash
# docs/results/reproductions and docs/reproductions.md: published comparisons, run again.
set -euo pipefail
python -m experiments.images digits
python -m experiments.reproduce hochreiter jozefowicz indrnn
python -m experiments.reproduce lem chrono tcn mnist mqar min_rnn --reduced
python -m experiments.reproduce --page docs/reproductions.md --out results/reproductions
