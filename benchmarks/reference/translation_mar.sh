#!/usr/bin/env bash
# docs/results/translation_mar: what it takes for an encoder-decoder without attention to leave the nearest neighbour
# behind, on the pairs of the article (ManyThings/Anki, which are not in the repository): PAIRS=mar.txt.
set -euo pipefail
options="--pairs ${PAIRS:?a file of English<TAB>Marathi} --hidden-dim 128 --chunk-steps 500 --seeds 0 1 2"
all="--tokens bpe --all-translations True"
better=reverse=true,label_smoothing=0.1,average=0.999
python -m experiments.translation $options --cells lstm --out results/mar_words
python -m experiments.translation $options --tokens bpe --cells lstm --out results/mar_bpe
python -m experiments.translation $options $all --out results/mar_all --cells rnn gru lstm lstm@reverse=true \
  lstm@reverse=true,label_smoothing=0.1 lstm@$better lstm@teacher_forcing=0.75,forcing_steps=5000
python -m experiments.translation $options $all --cells lstm@$better --max-steps 10000 --out results/mar_long
python -m experiments.translation $options $all --cells lstm --seeds 100 --learning-rates 0.001 0.003 0.01 --out results/mar_rates
python -m experiments.translation gains results/mar_words results/mar_bpe results/mar_all:lstm \
  results/mar_all:lstm@reverse=true results/mar_all:lstm@reverse=true,label_smoothing=0.1 results/mar_all:lstm@$better \
  results/mar_long --out results/translation_mar/gains.csv
python -m experiments.translation gains results/mar_all:lstm results/mar_all:lstm@teacher_forcing=0.75,forcing_steps=5000 \
  --out results/translation_mar/scheduled_sampling.csv
python -m experiments.translation thoughts --checkpoint results/mar_all --cells rnn gru lstm --out results/translation_mar/thoughts
