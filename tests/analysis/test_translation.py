import dataclasses
import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
import sacrebleu
from simulate import CHANCE, make_run

from lstm_jax.analysis.resampling import interval, p_value, seed_shifts, unit_weights
from lstm_jax.analysis.text.baselines import NEAREST, baselines, nearest_sentences
from lstm_jax.analysis.text.ngram_scores import bleu, bleu_of_short, bleu_statistics, chrf, chrf_statistics, signatures
from lstm_jax.analysis.text.systems import Translations, length_bins
from lstm_jax.analysis.text.translation import (
    LengthScore,
    TranslationContrast,
    TranslationScore,
    bleu_by_length,
    sentence_scores,
    translation_contrasts,
    translation_scores,
)
from lstm_jax.sweeps.store.records import Run, columns_of
from lstm_jax.text.corpus import Reader
from lstm_jax.text.tokenization import AS_WORDS
from lstm_jax.text.vocabulary import Vocabulary

WORDS = ("फाइल", "उघडता", "आली", "नाही", "नवीन", "ओळ", "समाविष्ट", "करा", "।", "दस्तऐवज", "the", "<unk>", "a-b", "$")
Row = dict[str, str]


def sentences(number: int, seed: int = 0, longest: int = 12) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(number)]


def damaged(references: Sequence[str], share: float, seed: int = 0) -> list[str]:
    """Replace that share of words by others, and drop a few."""
    rng = random.Random(seed)
    words = [
        [rng.choice(WORDS) if rng.random() < share else word for word in text.split() if rng.random() > share / 4]
        for text in references
    ]
    return [" ".join(kept) for kept in words]


def rows_of(references: Sequence[str], outputs: Sequence[str], greedy: Sequence[str] | None = None) -> list[Row]:
    return [
        {"source": f"source {index}", "reference": reference, "output": output, "greedy": other}
        for index, (reference, output, other) in enumerate(zip(references, outputs, greedy or outputs, strict=True))
    ]


def run(cell: str = "lstm", seed: int = 0, **changes: float | str | None) -> Run:
    made = dataclasses.replace(make_run(cell=cell, seed=seed), loss=2.0)
    return dataclasses.replace(made, **changes)


REFERENCES = sentences(60)
GOOD, BAD = damaged(REFERENCES, 0.1, seed=1), damaged(REFERENCES, 0.6, seed=2)


def translated(share: float, cell: str, seeds: Sequence[int]) -> list[tuple[Run, list[Row]]]:
    return [(run(cell, seed), rows_of(REFERENCES, damaged(REFERENCES, share, seed))) for seed in seeds]


def test_columns_are_those_of_the_files() -> None:
    assert ",".join(columns_of(TranslationScore)) == (
        "system,kind,seed,num_runs,bleu,ci_low,ci_high,chrf,greedy_bleu,exact_match,token_accuracy,loss,num_sentences,"
        "num_params,signature,unk_share,source_unk_share"
    )
    assert columns_of(TranslationContrast) == ["system_a", "system_b", "difference", "ci_low", "ci_high", "p_value"]
    assert ",".join(columns_of(LengthScore)) == (
        "system,kind,low,high,num_sentences,bleu,bleu_low,bleu_high,chrf,chrf_low,chrf_high,unk_share,source_unk_share"
    )


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
@pytest.mark.parametrize("longest", [2, 4, 12])
def test_scores_of_summed_statistics_are_sacrebleus_on_the_whole_and_on_resamples(share: float, longest: int) -> None:
    references = sentences(40, seed=longest, longest=longest)
    outputs = damaged(references, share)
    outputs[3] = ""
    words, characters = bleu_statistics(outputs, references), chrf_statistics(outputs, references)
    rng = np.random.default_rng(0)
    draws = [np.arange(40), *rng.integers(40, size=(4, 40)), *([index] for index in (0, 3, 7))]
    for drawn in draws:
        own, its = [outputs[index] for index in drawn], [[references[index] for index in drawn]]
        plain = sacrebleu.corpus_bleu(own, its, tokenize="none", force=True).score
        short = sacrebleu.corpus_bleu(own, its, tokenize="none", force=True, use_effective_order=True).score
        assert float(bleu(words[drawn].sum(axis=0))) == pytest.approx(plain, abs=1e-9)
        assert float(bleu_of_short(words[drawn].sum(axis=0))) == pytest.approx(short, abs=1e-9)
        expected = sacrebleu.corpus_chrf(own, its).score
        assert float(chrf(characters[drawn].sum(axis=0))) == pytest.approx(expected, abs=1e-9)
    # Many resamples at once, as the bootstrap has them, are the same numbers.
    weights = np.stack([np.bincount(drawn, minlength=40) for drawn in draws]).astype(np.float64)
    each = [float(bleu(words[drawn].sum(axis=0))) for drawn in draws]
    np.testing.assert_allclose(bleu(weights @ words), each, rtol=0, atol=1e-9)
    assert signatures().split()[0].startswith("BLEU|nrefs:1|case:mixed|eff:no|tok:none|smooth:exp|version:")


def test_further_references_are_those_of_sacrebleu() -> None:
    """Some sentences have none, some two: statistics, signature, exact matches and scores of sentences."""
    references, outputs = sentences(20), damaged(sentences(20, seed=5), 0.3)
    further = [damaged([reference] * (place % 3), 0.5, place) for place, reference in enumerate(references)]
    outputs[2] = further[2][1]
    streams = [[*references], *([each[k] if k < len(each) else None for each in further] for k in range(2))]
    words = bleu_statistics(outputs, references, further).sum(axis=0)
    characters = chrf_statistics(outputs, references, further).sum(axis=0)
    expected = sacrebleu.corpus_bleu(outputs, streams, tokenize="none", force=True)  # type: ignore[arg-type]
    assert float(bleu(words)) == pytest.approx(expected.score, abs=1e-9)
    assert float(chrf(characters)) == pytest.approx(sacrebleu.corpus_chrf(outputs, streams).score, abs=1e-9)  # type: ignore[arg-type]
    rows = [
        {**row, "further": "\t".join(each)} for row, each in zip(rows_of(references, outputs), further, strict=True)
    ]
    score, _ = translation_scores([(run(), rows)], num_bootstrap=20)
    assert (score.bleu, score.exact_match) == (pytest.approx(expected.score, abs=1e-9), 1 / 20)
    assert score.bleu > translation_scores([(run(), rows_of(references, outputs))], num_bootstrap=20)[0].bleu
    assert score.signature.startswith("BLEU|nrefs:var|") and sentence_scores(rows)[2] == pytest.approx(100.0)


def test_perfect_output_scores_100_shuffled_words_less_and_nothing_0() -> None:
    def scored(outputs: list[str]) -> TranslationScore:
        return translation_scores([(run(), rows_of(REFERENCES, outputs))], num_bootstrap=20)[0]

    rng = random.Random(0)
    perfect = scored(REFERENCES)
    assert (perfect.bleu, perfect.chrf, perfect.exact_match) == pytest.approx((100.0, 100.0, 1.0), abs=1e-9)
    shuffled = scored([" ".join(rng.sample(text.split(), len(text.split()))) for text in REFERENCES])
    assert 0.0 < shuffled.bleu < 60.0
    assert 0.0 < shuffled.chrf < 99.0
    empty = scored([""] * len(REFERENCES))
    assert (empty.bleu, empty.ci_low, empty.ci_high, empty.chrf, empty.exact_match) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert sentence_scores(rows_of(["a b", "c d"], ["a b", ""])) == pytest.approx([100.0, 0.0], abs=1e-9)


def test_scores_do_not_depend_on_the_order_of_sentences_or_runs() -> None:
    order = random.Random(0).sample(range(len(REFERENCES)), len(REFERENCES))
    translations = [*translated(0.2, "lstm", (0, 1)), *translated(0.4, "gru", (0, 1))]
    turned = [(made, [rows[index] for index in order]) for made, rows in translations]
    names = ("bleu", "chrf", "greedy_bleu", "exact_match")

    def values(found: list[TranslationScore]) -> dict[tuple[str, int | None], list[float]]:
        return {(row.system, row.seed): [getattr(row, name) for name in names] for row in found}

    scores = translation_scores(translations, num_bootstrap=50)
    assert values(scores) == values(translation_scores(turned, num_bootstrap=50))
    assert [row.system for row in scores] == ["lstm"] * 3 + ["gru"] * 3
    backwards = translation_scores(translations[::-1], num_bootstrap=50)
    assert [row.system for row in backwards] == ["gru"] * 3 + ["lstm"] * 3
    assert sorted(backwards, key=repr) == sorted(scores, key=repr)


def test_a_system_is_the_mean_over_its_runs_and_a_baseline_a_row_of_its_own() -> None:
    translations: Translations = [
        (run(seed=3, score=0.5, loss=3.0), rows_of(REFERENCES, BAD, greedy=GOOD)),
        (run(seed=1, score=0.7, loss=2.0), rows_of(REFERENCES, GOOD, greedy=GOOD)),
    ]
    mean, first, second, copy = translation_scores(translations, {"copy": BAD}, num_bootstrap=100)
    assert [(row.seed, row.num_runs, row.kind) for row in (mean, first, second)] == [
        (None, 2, "model"), (1, 1, "model"), (3, 1, "model"),
    ]  # fmt: skip
    assert first.bleu == pytest.approx(sacrebleu.corpus_bleu(GOOD, [REFERENCES], tokenize="none").score, abs=1e-9)
    assert second.greedy_bleu == pytest.approx(first.bleu, abs=1e-9)
    assert first.exact_match == np.mean([a == b for a, b in zip(GOOD, REFERENCES, strict=True)])
    for name in ("bleu", "chrf", "greedy_bleu", "exact_match", "token_accuracy", "loss"):
        parts = getattr(first, name), getattr(second, name)
        assert getattr(mean, name) == pytest.approx(np.mean(parts), rel=1e-12), name
    assert (mean.token_accuracy, mean.loss) == pytest.approx((0.6, 2.5), abs=1e-12)
    assert (mean.num_sentences, mean.num_params, mean.signature) == (60, 1000, signatures())
    assert (copy.system, copy.kind, copy.seed, copy.bleu) == ("copy", "baseline", None, second.bleu)
    assert (copy.greedy_bleu, copy.token_accuracy, copy.loss, copy.num_params) == (None, None, None, None)


def test_what_one_run_does_not_know_their_mean_does_not_either() -> None:
    rows = rows_of(REFERENCES, GOOD)
    without = [{name: row[name] for name in ("source", "reference", "output")} for row in rows]
    runs = [run(seed=0), run(seed=1, loss=None, score=None), run(seed=2, loss=float("nan"))]
    mean, *each = translation_scores([(runs[0], rows), (runs[1], without), (runs[2], rows)], num_bootstrap=10)
    assert (mean.loss, mean.token_accuracy, mean.greedy_bleu) == (None, None, None)
    assert [row.loss for row in each] == [2.0, None, None]
    assert [row.token_accuracy for row in each] == [0.5, None, 0.5]
    assert [row.greedy_bleu is None for row in each] == [False, True, False]


def test_a_failed_run_is_left_out_and_one_that_diverged_counts_with_what_it_wrote() -> None:
    good = rows_of(REFERENCES, GOOD)
    translations: Translations = [
        (run(seed=0), good),
        (run(seed=1, status="failed"), rows_of(REFERENCES, BAD)),
        (run(seed=2, status="diverged", score=None), []),
        (run(seed=3, status="diverged"), rows_of(REFERENCES, BAD)),
        (run(seed=4), []),  # interrupted: there is no table yet
        (run("gru", seed=0, status="failed"), []),
    ]
    mean, *each = translation_scores(translations, num_bootstrap=10)
    assert [row.seed for row in each] == [0, 2, 3]
    assert (each[1].bleu, each[1].chrf, each[1].greedy_bleu, each[1].exact_match) == (0.0, 0.0, 0.0, 0.0)
    assert each[1].token_accuracy == CHANCE
    assert mean.bleu == pytest.approx((each[0].bleu + each[2].bleu) / 3, rel=1e-12)
    assert each[2].bleu == pytest.approx(sacrebleu.corpus_bleu(BAD, [REFERENCES], tokenize="none").score, abs=1e-9)
    assert translation_contrasts(translations, num_bootstrap=10) == []  # of one system


@pytest.mark.parametrize("translations", [[], [(run(status="failed"), rows_of(["a"], ["a"]))], [(run(), [])]])
def test_without_translations_there_is_nothing_and_no_error(translations: Translations) -> None:
    assert translation_scores(translations, {"copy": ["a"]}) == []
    assert translation_contrasts(translations, {"copy": ["a"]}) == []
    assert bleu_by_length(translations, {"copy": ["a"]}) == []


def test_what_cannot_be_compared_is_an_error() -> None:
    rows = rows_of(REFERENCES, GOOD)
    with pytest.raises(ValueError, match=r"several of lstm with seed 0"):
        translation_scores([(run(), rows), (run(), rows)])
    for other in (rows[1:], [*rows[1:], rows[0]], rows_of(["x"] * 60, GOOD)):
        with pytest.raises(ValueError, match=r"the same test sentences .* \(gru\)"):
            translation_scores([(run(), rows), (run("gru"), other)])
    with pytest.raises(ValueError, match="expected 60 outputs of the baseline 'copy', got 59"):
        translation_scores([(run(), rows)], {"copy": GOOD[1:]})
    with pytest.raises(ValueError, match="got 'lstm', which is a cell"):
        translation_scores([(run(), rows)], {"lstm": GOOD})


def test_a_system_against_itself_differs_by_nothing_at_all() -> None:
    for seeds in ((0,), (0, 1, 2)):
        a, b = (translated(0.3, cell, seeds) for cell in ("a", "b"))
        (pair,) = translation_contrasts([*a, *b], num_bootstrap=200)
        assert (pair.difference, pair.ci_low, pair.ci_high, pair.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_contrasts_are_paired_by_sentence_and_by_seed() -> None:
    def widths(a: list[tuple[Run, list[Row]]], b: list[tuple[Run, list[Row]]]) -> tuple[float, float]:
        scores = [row for row in translation_scores([*a, *b]) if row.seed is None]
        (pair,) = translation_contrasts([*a, *b])
        return pair.ci_high - pair.ci_low, min(row.ci_high - row.ci_low for row in scores)

    # Half of the sentences are right, the same ones with both: each BLEU is uncertain, their difference is not.
    half = [text if index % 2 else "x" for index, text in enumerate(REFERENCES)]
    nearly = [*half[:-1], "x"]
    paired, single = widths([(run("a"), rows_of(REFERENCES, half))], [(run("b"), rows_of(REFERENCES, nearly))])
    assert paired < 0.5 * single
    # Seeds are good or bad with both.
    outputs = [damaged(REFERENCES, share, seed=9) for share in (0.05, 0.3, 0.6)]
    a, b, crossed = (
        [(run(cell, seed), rows_of(REFERENCES, outputs[place])) for seed, place in enumerate(places)]
        for cell, places in (("a", (0, 1, 2)), ("b", (0, 1, 2)), ("b", (2, 1, 0)))
    )
    assert widths(a, b)[0] == 0.0
    assert widths(a, crossed)[0] > widths(a, crossed)[1]


def test_intervals_hold_their_estimate_and_widen_with_confidence_and_with_seeds_that_differ() -> None:
    for share in (0.0, 0.2, 0.9, 1.0):
        for seeds in ((0,), (0, 1), (0, 1, 2)):
            for row in translation_scores(translated(share, "lstm", seeds), num_bootstrap=30):
                assert 0.0 <= row.ci_low <= row.bleu <= row.ci_high <= 100.0
    shares = (0.2, 0.3, 0.25, 0.4)
    translations = [made for seed, share in enumerate(shares) for made in translated(share, "lstm", (seed,))]
    mean, *each = translation_scores(translations)
    (wide, *_) = translation_scores(translations, confidence=0.99)
    assert wide.ci_low < mean.ci_low < mean.ci_high < wide.ci_high
    assert mean.ci_high - mean.ci_low > 1.5 * max(row.ci_high - row.ci_low for row in each)
    again = translation_scores(translations)
    assert again == [mean, *each]
    other = translation_scores(translations, seed=1)
    assert [row.bleu for row in other] == [row.bleu for row in again]
    assert [row.ci_low for row in other] != [row.ci_low for row in again]


def test_the_interval_of_a_mean_over_seeds_is_students() -> None:
    values = np.array([21.0, 24.0, 30.0])
    shifts = seed_shifts(values, 40_000, 0)
    low, high = interval(0.0, shifts, 0.95)
    half = 4.302652729911275 * values.std(ddof=1) / 3**0.5  # t(0.975, 2) from tables
    assert (low, high) == pytest.approx((-half, half), rel=0.06)
    np.testing.assert_array_equal(seed_shifts(values[:1], 7, 0), np.zeros(7))
    np.testing.assert_allclose(seed_shifts(np.stack([values, 2 * values], axis=1), 40_000, 0)[:, 1], 2 * shifts)


def test_a_resample_draws_as_many_and_is_the_same_for_all() -> None:
    weights = unit_weights(50, 200, seed=3)
    np.testing.assert_array_equal(weights.sum(axis=1), 50.0)
    np.testing.assert_array_equal(unit_weights(50, 200, seed=3), weights)
    assert np.any(unit_weights(50, 200, seed=4) != weights)
    assert weights.var() == pytest.approx(1.0, rel=0.05)


def test_clear_differences_have_small_p_values_and_holm_is_applied() -> None:
    one = [*translated(0.1, "good", (0,)), *translated(0.7, "bad", (1,))]
    (pair,) = translation_contrasts(one)
    assert pair.difference > 20.0
    assert 0.0 < pair.ci_low < pair.difference < pair.ci_high
    assert pair.p_value == pytest.approx(2 / 1001, rel=1e-12)
    (back,) = translation_contrasts(one[::-1])
    assert (back.difference, back.ci_low, back.ci_high) == (-pair.difference, -pair.ci_high, -pair.ci_low)
    three = [*one, *translated(0.7, "as bad", (1,))]
    found = {(row.system_a, row.system_b): row for row in translation_contrasts(three)}
    assert list(found) == [("good", "bad"), ("good", "as bad"), ("bad", "as bad")]
    assert [row.p_value for row in found.values()] == pytest.approx([6 / 1001, 6 / 1001, 1.0], rel=1e-12)


def test_models_are_compared_with_the_best_baseline_alone() -> None:
    others = {"nothing": [""] * 60, "good": GOOD, "bad": BAD}
    pairs = translation_contrasts([*translated(0.3, "a", (0,)), *translated(0.4, "b", (0,))], others, num_bootstrap=50)
    assert [(pair.system_a, pair.system_b) for pair in pairs] == [("a", "b"), ("a", "good"), ("b", "good")]
    assert all(pair.difference < 0.0 for pair in pairs[1:])


def test_p_value_is_where_the_interval_touches_0() -> None:
    replicates = np.arange(-50.0, 950.0)  # 51 of 1000 are at most 0
    assert p_value(replicates) == pytest.approx(2 * 52 / 1001, rel=1e-12)
    assert p_value(-replicates) == p_value(replicates)
    assert p_value(np.zeros(10)) == 1.0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({1: 6, 2: 6, 3: 12, 8: 10, 9: 10, 16: 3, 17: 8, 90: 2}, [(1, 2), (3, 4), (5, 8), (9, 16), (17, None)]),
        ({1: 12, 4: 10, 6: 9, 9: 11, 17: 10}, [(1, 2), (3, 8), (9, 16), (17, None)]),
        ({1: 9, 3: 10, 5: 10}, [(1, 4), (5, 8)]),
        ({2: 10, 20: 3}, [(1, None)]),
        ({2: 10, 20: 10}, [(1, 2), (17, None)]),  # nothing in between
        ({1: 5, 3: 5, 5: 5, 9: 5, 17: 5}, [(1, 4), (5, None)]),
        ({7: 1}, [(5, 8)]),
        ({0: 1}, [(1, 2)]),
        ({}, []),
    ],
)
def test_bins_of_few_sentences_are_merged_with_their_smaller_neighbour(
    counts: dict[int, int], expected: list[tuple[int, int | None]]
) -> None:
    lengths = [length for length, count in counts.items() for _ in range(count)]
    random.Random(0).shuffle(lengths)
    bins = length_bins(lengths)
    assert [(low, high) for low, high, _ in bins] == expected
    assert sorted(itertools.chain.from_iterable(members for *_, members in bins)) == list(range(len(lengths)))
    for low, high, members in bins:
        assert all((low <= max(1, lengths[index])) and (high is None or lengths[index] <= high) for index in members)
        assert len(members) >= 10 or len(bins) == 1


def test_scores_by_length_are_those_of_the_sentences_of_a_bin() -> None:
    sources = [" ".join(["w"] * length) for length in [1] * 15 + [4] * 20 + [6] * 25]
    others = {"bad": BAD}

    def written(outputs: list[str]) -> list[Row]:
        return [{**row, "source": source} for row, source in zip(rows_of(REFERENCES, outputs), sources, strict=True)]

    translations: Translations = [(run(seed=0), written(GOOD)), (run(seed=1), written(BAD))]
    rows = bleu_by_length(translations, others, num_bootstrap=50)
    assert [(row.system, row.kind, row.low, row.high, row.num_sentences) for row in rows] == [
        (system, kind, low, high, number)
        for system, kind in (("lstm", "model"), ("bad", "baseline"))
        for low, high, number in ((1, 2, 15), (3, 4, 20), (5, 8, 25))
    ]
    parts = (slice(0, 15), slice(15, 35), slice(35, 60))
    for row, part, systems in zip(rows, parts * 2, [(GOOD, BAD)] * 3 + [(BAD,)] * 3, strict=True):
        its = [REFERENCES[part]]
        by_words, by_characters = (
            np.mean([score(outputs[part], its) for outputs in systems])
            for score in (
                lambda own, its: sacrebleu.corpus_bleu(own, its, tokenize="none", use_effective_order=True).score,
                lambda own, its: sacrebleu.corpus_chrf(own, its).score,
            )
        )
        assert (row.bleu, row.chrf) == pytest.approx((by_words, by_characters), abs=1e-9)
        assert 0.0 <= row.bleu_low <= row.bleu <= row.bleu_high <= 100.0
        assert 0.0 <= row.chrf_low <= row.chrf <= row.chrf_high <= 100.0


def test_short_sentences_that_are_right_score_100() -> None:
    rows = rows_of(["ठीक"] * 12, ["ठीक"] * 12)
    (row,) = bleu_by_length([(run(), [{**row, "source": "OK"} for row in rows])], num_bootstrap=10)
    assert (row.bleu, row.bleu_low, row.chrf) == pytest.approx((100.0, 100.0, 100.0), abs=1e-9)


def similarities(train: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    """The cosine of weighted sets of words, word by word."""
    count = {word: sum(word in words for words in train) for words in train for word in words}
    weight = {word: float(np.log((1 + len(train)) / (1 + number)) + 1) for word, number in count.items()}

    def norm(words: Sequence[str]) -> float:
        return sum(weight[word] ** 2 for word in set(words) if word in weight) ** 0.5

    return [
        sum(weight[word] ** 2 for word in set(words) & set(query)) / (norm(words) * norm(query) or 1.0)
        for words in train
    ]


def test_the_nearest_neighbour_is_that_of_a_loop_over_all() -> None:
    rng = random.Random(0)
    words = [f"w{index}" for index in range(30)]
    train = [rng.choices(words, k=rng.randint(0, 6)) for _ in range(120)]
    test = [rng.choices([*words, "new", "newer"], k=rng.randint(1, 6)) for _ in range(150)]
    found = nearest_sentences(train, test)
    for query, index in zip(test, found, strict=True):
        each = similarities(train, query)
        if max(each) == 0.0:
            assert index is None
        else:
            assert index == next(place for place, value in enumerate(each) if value > max(each) - 1e-9)
    assert 0 < sum(index is None for index in found) < 20


def test_of_equally_near_sentences_the_first_is_taken_and_without_a_shared_word_the_most_frequent() -> None:
    train = [["open", "file"], ["close", "file"], ["file", "open"], ["open"], [], ["undo"]]
    targets = [["उघडा"], ["बंद"], ["दुसरे"], ["बंद"], ["रिकामे"], ["पूर्ववत", "करा"]]
    test = [["file", "open", "open"], ["nothing", "shared"], ["undo"], []]
    assert nearest_sentences(train, test) == [0, None, 5, None]
    found = baselines(train, targets, test)
    assert found == {
        "most frequent": ["बंद"] * 4,
        "copy": ["file open open", "nothing shared", "undo", ""],
        NEAREST: ["उघडा", "बंद", "पूर्ववत करा", "बंद"],
    }
    # Equally near but for rounding: the same weights in another order.
    alike = [["x", "a", "b", "c"], ["x", "d", "e", "f"]]
    alike += [[word] for word, count in zip("abcdef", (4, 3, 2, 2, 4, 3), strict=True) for _ in range(count)]
    assert nearest_sentences(alike, [["x"]]) == [0]
    # A rare word says more than a common one.
    assert nearest_sentences([["the", "a"], ["the", "b"], ["the", "c"], ["rare", "d"]], [["the", "rare"]]) == [3]


def test_baselines_want_training_pairs() -> None:
    with pytest.raises(ValueError, match="got 0 sources and 0 targets"):
        baselines([], [], [["a"]])
    with pytest.raises(ValueError, match="got 1 sources and 2 targets"):
        baselines([["a"]], [["b"], ["c"]], [["a"]])


def test_the_share_of_unknown_words_stands_beside_bleu() -> None:
    """Of the references' tokens that no model can write, and of the sources' that it can't read; of models alone."""
    rows = [
        {"source": "go now .", "reference": "जा आता .", "output": "जा .", "greedy": "जा ."},
        {"source": "run x", "reference": "पळ क्ष", "output": "पळ", "greedy": "पळ"},
    ]
    sides = Vocabulary.of([["go", "now", ".", "run"]]), Vocabulary.of([["जा", "."]])
    known = Reader(sides[0], AS_WORDS), Reader(sides[1], AS_WORDS)
    runs = [(make_run("lstm", seed=seed), rows) for seed in (0, 1)]
    scores = translation_scores(runs, {"copy": ["a", "b"]}, known, num_bootstrap=10)
    assert [(row.unk_share, row.source_unk_share) for row in scores] == [(3 / 5, 1 / 5)] * 3 + [(None, None)]
    (at_all, baseline) = bleu_by_length(runs, {"copy": ["a", "b"]}, known, num_bootstrap=10)
    assert (at_all.unk_share, at_all.source_unk_share, baseline.unk_share) == (3 / 5, 1 / 5, None)
    assert translation_scores(runs, num_bootstrap=10)[0].unk_share is None


def test_spaces_are_not_scored() -> None:
    """An output that says more of them, or less, than the reference is as good."""
    marked = {"source": "2 :\u2060 30", "reference": "२ :\u2060 ३० \u200b/ क", "output": "२ : ३० / क"}
    plain = {"source": "2 : 30", "reference": "२ : ३० / क", "output": "२ :\u2060 ३० /\u2060 क"}
    for row in (marked, plain):
        (score, *_) = translation_scores([(make_run("lstm"), [row | {"greedy": row["output"]}])], num_bootstrap=10)
        assert (score.bleu, score.chrf, score.greedy_bleu, score.exact_match) == (pytest.approx(100.0),) * 3 + (1.0,)
        assert sentence_scores([row]) == [pytest.approx(100.0)]
    assert nearest_sentences([["a", "b"], ["2", ":\u2060", "x"]], [["3", ":"]]) == [1]
