#!/usr/bin/env bash
# docs/results/memory_update: a memory that is written again and cleared.
set -euo pipefail
python -m experiments.gap_length --task memory_update --cells rnn lstm lstm@forget_bias=3 gru coupled_lstm --gaps 8 32 \
  --learning-rates 0.003 0.01 --tuning-seeds 100 --seeds 0 1 2 3 --max-steps 4000 --out results/memory_update
