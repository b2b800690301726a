#!/usr/bin/env bash
# docs/results/drift: how a cell's memory moves before it has seen the fact; and what an output gate does to that.
set -euo pipefail
python -m experiments.drift --out results/drift
python -m experiments.drift --cells experiments.control.cells:OpenLSTM experiments.control.cells:OpenCoupledLSTM \
  experiments.control.cells:GatedGRU --conditions base "random answers" --gaps 40 80 --rates 0.01 0.03 --sizes 3500 \
  --out results/drift/output_gate
python -m experiments.drift --cells gru experiments.control.cells:GatedGRU lstm coupled_lstm --conditions base \
  --gaps 40 --rates 0.03 --sizes 3500 --max-steps 3200 --out results/drift/twice
