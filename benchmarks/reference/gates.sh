#!/usr/bin/env bash
# docs/results/gates: what the gates of trained nets do, over a gap, a memory that is updated, a translation and a language.
set -euo pipefail
python -m experiments.gates
python -m experiments.gates --task memory_update --gaps 8 --max-steps 6000 --learning-rate 0.003
python -m experiments.gates --cell gru --gaps 20 --sentence "I grew up in Japan and winter came quietly. I speak fluent"
python -m experiments.translation --cells lstm --out results/translation
python -m experiments.gates --checkpoint results/translation --sentence "The file could not be opened because it does not exist."
python -m experiments.language_model --cells lstm --max-steps 300 --out results/language_model
python -m experiments.gates --checkpoint results/language_model --sentence "In the beginning God created the heaven and the earth. And the earth was without form, and void"
