#!/usr/bin/env bash
# docs/results/language_model: how far back language models look.
set -euo pipefail
python -m experiments.language_model --out results/language_model
