#!/usr/bin/env bash
# docs/results/rescues: what lets a cell learn that had stopped.
set -euo pipefail
python -m experiments.rescues --cells rnn lstm --gaps 20 40 80 --seeds 12 --out results/rescues
