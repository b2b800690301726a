#!/usr/bin/env bash
# docs/results/copy_reference: the copying task.
set -euo pipefail
python -m experiments.copy_task --preset reference --gaps 5 10 20 40 --out results/copy_reference
