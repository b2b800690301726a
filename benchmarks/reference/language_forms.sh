#!/usr/bin/env bash
# docs/results/language_forms: three forms of language models, recurrent and Transformer.
set -euo pipefail
python -m experiments.language_model --max-steps 1000 --out results/language_forms --cells lstm \
  lstm@form=encoder_decoder lstm@form=encoder transformer transformer@form=encoder_decoder transformer@form=encoder
