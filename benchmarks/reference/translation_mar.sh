#!/usr/bin/env bash
# docs/results/translation_mar: what it takes for an encoder-decoder without attention to leave the nearest neighbour
# behind, on the pairs of the article (ManyThings/Anki), which are not in the repository: mar.txt.
set -euo pipefail
python -m experiments.translation --pairs mar.txt --hidden-dim 128 --chunk-steps 500 --cells lstm --out results/mar_words
python -m experiments.translation --pairs mar.txt --hidden-dim 128 --chunk-steps 500 --tokens bpe --cells lstm --out results/mar_bpe
python -m experiments.translation --pairs mar.txt --hidden-dim 128 --chunk-steps 500 --tokens bpe --all-translations True \
  --out results/mar_all --cells lstm lstm@reverse=true lstm@reverse=true,label_smoothing=0.1,average=0.999
python -m experiments.translation --pairs mar.txt --hidden-dim 128 --chunk-steps 500 --tokens bpe --all-translations True \
  --max-steps 10000 --out results/mar_long --cells lstm@reverse=true,label_smoothing=0.1,average=0.999
python -m experiments.translation gains results/mar_words results/mar_bpe results/mar_all:lstm \
  results/mar_all:lstm@reverse=true results/mar_all:lstm@reverse=true,label_smoothing=0.1,average=0.999 results/mar_long \
  --out results/translation_mar/gains.csv
