#!/usr/bin/env bash
# docs/results/agreement: five quick sweeps with other seeds beside the reference.
set -euo pipefail
python -m benchmarks.agreement
