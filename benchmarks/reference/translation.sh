#!/usr/bin/env bash
# docs/results/translation: English to Marathi, from LibreOffice's translations.
set -euo pipefail
python -m experiments.translation --out results/translation
