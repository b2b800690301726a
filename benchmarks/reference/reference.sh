#!/usr/bin/env bash
# docs/results/reference: the answer: six cells, seven gaps, twenty seeds.
set -euo pipefail
python -m experiments.gap_length --preset reference --out results/reference
