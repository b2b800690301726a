#!/usr/bin/env bash
# docs/results/why: verdicts on the cells of the quick result, and on planted ones.
set -euo pipefail
python -m experiments.why --rescued docs/results/rescues --out results/why
python -m benchmarks.verdicts --draws 100
python -m benchmarks.verdicts --draws 14 --faint
