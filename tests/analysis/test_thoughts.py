"""What is read from vectors that are known: a property that is in them, one that is not, and order from no order."""

from __future__ import annotations

import numpy as np
import pytest
from simulate import make_run

from lstm_jax.analysis.text.gains import gains
from lstm_jax.analysis.text.thoughts import BAG, bags, nearest, plane, readable, shifted

RANDOM = np.random.default_rng(0)
WORDS = ["the", "a", "cat", "dog", "sees", "eats"]
SENTENCES = [[str(word) for word in RANDOM.choice(WORDS, RANDOM.integers(2, 9))] for _ in range(120)]


def test_two_neighbouring_words_change_places():
    places, changed = shifted([*SENTENCES, ["same", "same"], ["one"]])
    assert max(places) < len(SENTENCES) and shifted(SENTENCES) == shifted(SENTENCES)
    for place, words in zip(places, changed, strict=True):
        different = [at for at, (old, new) in enumerate(zip(SENTENCES[place], words, strict=True)) if old != new]
        assert len(different) == 2 and different[1] == different[0] + 1 and sorted(words) == sorted(SENTENCES[place])


def test_what_is_in_the_vectors_is_read_and_nothing_else():
    """Of vectors that hold length, first word and a sign of order all is read, of noise nothing, of a bag no order."""
    places, changed = shifted(SENTENCES)

    def told(sentences, order):
        first = [[float(words[0] == word) for word in WORDS] for words in sentences]
        return np.column_stack([[len(words) for words in sentences], first, np.full(len(sentences), order)])

    whole = readable("known", SENTENCES, told(SENTENCES, 0.0), places, told(changed, 1.0))
    assert [row.property for row in whole] == ["length", "first word", "word order"]
    assert [row.score for row in whole] == pytest.approx([1.0, 1.0, 1.0], abs=0.02)
    assert whole[0].chance == 0.0 and whole[2].chance == 0.5 and 0.1 < whole[1].chance < 0.4
    noise, other = RANDOM.normal(size=(2, 120, 4))
    for row in readable("noise", SENTENCES, noise, places, other[places]):
        assert row.score < row.chance + 0.13 and row.low <= row.score <= row.high
    order = readable(BAG, SENTENCES, bags(SENTENCES, WORDS), places, bags(changed, WORDS))[2]
    assert order.score == 0.5, "a sentence and its shifted form are one bag, in one fold"
    with pytest.raises(ValueError, match="expected 20 sentences"):
        readable("few", SENTENCES[:30], noise[:30], places[:19], other[:19])


def test_neighbours_and_plane():
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]])
    assert nearest(vectors, np.array([2.0, 0.0]), 2) == [(0, 1.0), (2, pytest.approx(0.5**0.5))]
    cloud = RANDOM.normal(size=(50, 1)) * [[3.0, 4.0, 0.0]] + RANDOM.normal(size=(50, 1)) * [[0.0, 0.0, 0.5]]
    points, shares = plane(cloud)
    _, sizes, axes = np.linalg.svd(cloud - cloud.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs((cloud - cloud.mean(axis=0)) @ axes[:2].T), atol=1e-8)
    np.testing.assert_allclose(shares, sizes[:2] ** 2 / (sizes**2).sum(), atol=1e-12)


def test_gains_are_differences_on_the_same_sentences():
    references = [" ".join(words) for words in SENTENCES]

    def step(share, seed):
        random = np.random.default_rng(seed)
        outputs = [" ".join(w if random.random() > share else "x" for w in words) for words in SENTENCES]
        rows = [
            {"source": "s", "reference": reference, "output": output, "further": "x x x x x"}
            for reference, output in zip(references, outputs, strict=True)
        ]
        return make_run(seed=seed), rows

    worse, better = [step(0.5, 0), step(0.5, 1)], [step(0.1, 2), step(0.1, 3)]
    first, second = gains([("plain", worse), ("changed", better)], num_bootstrap=50)
    assert (first.step, first.num_runs, first.gain) == ("plain", 2, None) and second.gain > 10
    assert second.gain == pytest.approx(second.bleu - first.bleu) and second.gain_low < second.gain < second.gain_high
    assert first.first_reference_bleu < first.bleu
    assert (first.against, second.against, second.learning_rate) == ("", "plain", worse[0][0].learning_rate)
    three = gains([("plain", worse), ("changed", better), ("back", worse)], against="first", num_bootstrap=50)
    assert [row.against for row in three] == ["", "plain", "plain"] and three[1] == second
    assert (three[2].gain, three[2].gain_low, three[2].gain_high) == (0.0, 0.0, 0.0), "the same outputs"
    with pytest.raises(ValueError, match="each step once"):
        gains([("a", worse), ("a", better)])
