#!/usr/bin/env bash
# docs/results/translation_mar: what it takes for an encoder-decoder without attention to leave the nearest neighbour
# behind, on the pairs of the article (ManyThings/Anki), which are not in the repository: mar.txt.
set -euo pipefail
python -m experiments.translation --pairs mar.txt --chunk-steps 500 --seeds 0 1 2 --cells lstm \
  --learning-rates None --tuning-seeds 100 --out results/mar_words
python -m experiments.translation --pairs mar.txt --chunk-steps 500 --seeds 0 1 2 --cells lstm --tokens bpe \
  --out results/mar_pieces
python -m experiments.translation --pairs mar.txt --chunk-steps 500 --seeds 0 1 2 --tokens bpe --all-translations True \
  --cells lstm lstm@attention=dot gru rnn --learning-rates None --tuning-seeds 100 --out results/mar_all
python -m experiments.translation --pairs mar.txt --chunk-steps 500 --seeds 0 1 2 --tokens bpe --all-translations True \
  --cells lstm@reverse=true lstm@label_smoothing=0.1 lstm@average=0.999 lstm@teacher_forcing=0.5,forcing_steps=5000 \
  --out results/mar_changes
python -m experiments.translation --pairs mar.txt --chunk-steps 500 --seeds 0 1 2 --tokens bpe --all-translations True \
  --cells lstm --dropout 0 --out results/mar_no_dropout
python -m experiments.translation --pairs mar.txt --chunk-steps 500 --seeds 0 1 2 --tokens bpe --all-translations True \
  --cells lstm --max-steps 10000 --out results/mar_twice
python -m experiments.translation --pairs mar.txt --chunk-steps 500 --seeds 0 1 2 --tokens bpe --all-translations True \
  --cells lstm --dropout 0 --max-steps 10000 --out results/mar_no_dropout_twice
python -m experiments.translation gains results/mar_words results/mar_pieces results/mar_all:lstm \
  --out results/translation_mar/gains_of_data.csv
python -m experiments.translation gains --against first results/mar_all:lstm results/mar_no_dropout \
  results/mar_changes:lstm@reverse=true results/mar_changes:lstm@label_smoothing=0.1 \
  results/mar_changes:lstm@average=0.999 results/mar_changes:lstm@teacher_forcing=0.5,forcing_steps=5000 \
  results/mar_twice results/mar_no_dropout_twice --out results/translation_mar/gains.csv
python -m experiments.translation gains results/mar_twice results/mar_no_dropout_twice \
  --out results/translation_mar/gains_of_dropout.csv
python -m experiments.translation search --checkpoint results/mar_all --cell lstm \
  --out results/translation_mar/search.csv
python -m experiments.translation thoughts --checkpoint results/mar_all --cells rnn gru lstm \
  --out results/translation_mar/thoughts
