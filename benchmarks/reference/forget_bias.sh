#!/usr/bin/env bash
# docs/results/forget_bias: nine initialisations, 600 updates, three fixed rates.
set -euo pipefail
python -m experiments.gap_length --out results/forget_bias --cells rnn rnn@init=orthogonal gru gru@init=orthogonal \
  gru@chrono=true lstm@forget_bias=0 lstm lstm@forget_bias=5 lstm@chrono=true --gaps 5 10 20 40 80 160 \
  --learning-rates 0.003 0.01 0.03 --max-steps 600
