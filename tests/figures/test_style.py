"""Text that is broken into lines before it is drawn: each line fits, and takes all that does."""

from __future__ import annotations

import random

import pytest

from lstm_jax.figures.fonts import readable
from lstm_jax.figures.style import text_width_inches, wrap

TEXT = "LSTM solves gaps of 12 time steps (95% interval: 10 to 14), αβγ नमस्कार own_cells:Leaky@leak=0.5 W i"


def by_each_word(text, width, points, weight):
    """A loop that adds one word after another, and measures each line."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and text_width_inches(longer, points, weight) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


@pytest.mark.parametrize("weight", ["normal", "bold"])
@pytest.mark.parametrize("width", [1.9, 3.0, 6.5])
def test_lines_are_those_of_a_loop_over_words(width, weight):
    draw = random.Random(0)
    paragraphs = [" ".join(draw.choices(TEXT.split(), k=number)) for number in (1, 40, 0, 25)]
    text = "\n".join(paragraphs)
    lines = wrap(text, width, 8.5, weight)
    assert lines == by_each_word(readable(text), width, 8.5, weight) and len(lines) > 4
    assert all(text_width_inches(line, 8.5, weight) <= width for line in lines)


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_a_word_that_is_too_wide_is_cut(weight):
    text = "of " + "Wm" * 40 + " steps"
    lines = wrap(text, 1.5, 8.5, weight)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert lines[0] == "of" and len(lines) > 3
    assert all(text_width_inches(line, 8.5, weight) <= 1.5 for line in lines)


def test_where_no_letter_fits_each_has_a_line():
    assert wrap("abc of", 0.001, 8.5) == ["a", "b", "c", "o", "f"]
