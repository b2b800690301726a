#!/usr/bin/env bash
# docs/results/translation_full: the same from many programs.
set -euo pipefail
python -m experiments.translation --corpus full --seeds 0 --max-steps 8000 --chunk-steps 400 --out results/translation_full
