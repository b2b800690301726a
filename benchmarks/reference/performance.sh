#!/usr/bin/env bash
# docs/results/performance: a training step, whole sweeps, and long sequences, beside other libraries.
set -euo pipefail
python -m benchmarks.step --kinds lstm --threads 1 --out results/benchmarks/step_one_thread.csv
python -m benchmarks.step --kinds gru rnn lstm --shapes 32x100x64 16x1000x128 --threads 1 --repeats 12 --out results/benchmarks/step_kinds.csv
python -m benchmarks.length --cells lstm gru rnn --lengths 200 --hidden-dim 64 --batch-size 32 --out results/benchmarks/memory.csv
python -m benchmarks.length --out results/benchmarks/length.csv
python -m benchmarks.parallel
python -m benchmarks.sweeps table --only ours flax_loop ours_stopping
python -m benchmarks.sweeps table --fraction 0.1667 --only ours flax_loop_cached torch_loop --out results/benchmarks/sweeps_table_sixth.csv
python -m benchmarks.sweeps scaling
python -m benchmarks.sweeps lanes
python -m benchmarks.plots results/benchmarks
python -m benchmarks.tables results/benchmarks
