"""One fact, a gap, a query: name the fact.

Definition. One of `num_facts` facts, then `gap` filler tokens, then a query; the answer at the query is the fact, whose
index is `gap` + 1 less.

    tokens    facts 0 .. K-1    fillers K .. K+F-1    query K+F        (F = num_fillers, or 1 if filler=blank)
    K=8, F=8, gap=5:
        step      0   1   2   3   4   5   6
        input     3   9  15   8  12   9  16        "I grew up in Brazil ... I speak fluent ___"
        target                            3

The filler is random distractors (the default), or one blank. With `length` the whole sequence has that many steps for
every gap: further filler stands before the fact, so only the fact's position varies, not length or compute.

Chance level 1/K. A solver without memory sees nothing but filler and the query: its best loss is ln K nats. Scored at
the query only. In the manner of Hochreiter & Schmidhuber 1997, experiment 2 (long time lags with distractors).
"""

from __future__ import annotations

import dataclasses
import math
import re
import zlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Said, Task, balanced, elide, held_out_key

_FACTS = [
    ("France", "French"),
    ("Maharashtra", "Marathi"),
    ("Japan", "Japanese"),
    ("Brazil", "Portuguese"),
    ("Egypt", "Arabic"),
    ("Finland", "Finnish"),
    ("Mexico", "Spanish"),
    ("Turkey", "Turkish"),
    ("Greece", "Greek"),
    ("Hungary", "Hungarian"),
]
_FILLERS = ["and", "then", "we", "often", "walked", "along", "rivers", "singing", "until", "winter", "came", "quietly"]


@dataclasses.dataclass(frozen=True)
class Gap(Task):
    """Name the fact that came `gap` filler tokens before the query; see the top of the file."""

    filler: Literal["random", "blank"] = dataclasses.field(default="random", kw_only=True)
    num_facts: int = dataclasses.field(default=8, kw_only=True)
    num_fillers: int = dataclasses.field(default=8, kw_only=True)
    length: int | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_facts < 2:
            raise ValueError(f"num_facts: expected at least 2, got {self.num_facts}")
        if self.num_fillers < 1:
            raise ValueError(f"num_fillers: expected at least 1, got {self.num_fillers}")
        if self.length is not None and self.length < self.gap + 2:
            raise ValueError(
                f"length: expected at least gap + 2 = {self.gap + 2} (fact, gap, query), got {self.length}"
            )

    @property
    def num_tokens(self) -> int:
        """Facts, fillers, and the query."""
        return self.num_facts + self._num_fillers + 1

    @property
    def num_classes(self) -> int:
        return self.num_facts

    @property
    def num_steps(self) -> int:
        return self.gap + 2 if self.length is None else self.length

    @property
    def readout(self) -> Readout:
        return "last"

    @property
    def chance(self) -> float:
        return 1.0 / self.num_facts

    @property
    def memoryless_loss(self) -> float:
        return math.log(self.num_facts)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Facts and fillers, uniform and independent."""
        fact_key, filler_key = jax.random.split(key)
        return self._batch(jax.random.randint(fact_key, (1, batch_size), 0, self.num_facts), filler_key)

    @property
    def num_sequences(self) -> int | None:
        """Each fact with any fillers."""
        return self.num_facts * self._num_fillers ** (self.num_steps - 2) if self.draws_as(Gap) else None

    def held_out(self, size: int) -> Batch:
        """Each fact equally often."""
        if not self.draws_as(Gap):
            return super().held_out(size)
        fact_key, filler_key = jax.random.split(held_out_key())
        return self._batch(balanced(fact_key, 1, size, self.num_facts), filler_key)

    def _batch(self, facts: Integer[Array, "1 B"], filler_key: Key[Array, ""]) -> Batch:
        batch_size = facts.shape[1]
        num_before = self.num_steps - self.gap - 2
        shape = (num_before + self.gap, batch_size)
        fillers = jax.random.randint(filler_key, shape, self.num_facts, self.num_facts + self._num_fillers)
        query = jnp.full((1, batch_size), self.num_tokens - 1)
        inputs = jnp.concatenate([fillers[:num_before], facts, fillers[num_before:], query])
        ones = jnp.ones((1, batch_size))
        return Batch(inputs, facts, ones, ones)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "1 B"]:
        """The only token of a sequence that is a fact."""
        return np.take_along_axis(inputs, np.argmax(inputs < self.num_facts, axis=0)[None], axis=0)

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """ "I grew up in France ... I speak fluent ___ (French)"."""
        position = int(np.argmax(inputs < self.num_facts))
        before = [self._filler_word(token) for token in inputs[:position].tolist()]
        between = [self._filler_word(token) for token in inputs[position + 1 : -1].tolist()]
        opening = f"{elide(before)} " if before else ""
        country, language = self._fact_words(int(targets[-1]))
        return f"{opening}I grew up in {country} {elide(between)} I speak fluent ___ ({language})"

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """Countries, filler, and "fluent ___" at the query."""
        return [
            self._fact_words(token)[0] if token < self.num_facts
            else "fluent ___" if token == self.num_tokens - 1 else self._filler_word(token)
            for token in inputs.tolist()
        ]  # fmt: skip

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The facts, and the query."""
        return [*np.flatnonzero(inputs < self.num_facts).tolist(), len(inputs) - 1]

    def read(self, sentence: str) -> Said:
        """ "I grew up in Japan and rivers came. I speak fluent": a country, any filler, and the query at the end.

        A word that is no country is filler, the same for the same word; the opening and the question need not be
        there. Raises ValueError without a country.
        """
        if elided := re.search(r"\.\.\. \((\d+) more\) \.\.\.", sentence):
            raise ValueError(f"sentence: {elided[1]} words are left out at {elided[0]!r}; expected all of them")
        text = re.sub(r"(?i)\bi (now )?speak( fluent)?\b.*$", "", sentence, flags=re.DOTALL)
        text = re.sub(r"(?i)^\s*i grew up in\b", "", text)
        countries = {self._fact_words(fact)[0].lower(): fact for fact in range(self.num_facts)}
        tokens, words = [], re.findall(r"\w+", text)
        for word in map(str.lower, words):
            if word in countries:
                tokens.append(countries[word])
            else:
                index = _FILLERS.index(word) if word in _FILLERS else zlib.crc32(word.encode())
                tokens.append(self.num_facts + index % self._num_fillers)
        if not any(token < self.num_facts for token in tokens):
            known = ", ".join(self._fact_words(fact)[0] for fact in range(self.num_facts))
            raise ValueError(f"sentence: got {sentence!r}; expected one with a country, one of {known}")
        return Said(np.array([*tokens, self.num_tokens - 1]), [*words, "fluent ___"])

    @property
    def _num_fillers(self) -> int:
        return self.num_fillers if self.filler == "random" else 1

    def _filler_word(self, token: int) -> str:
        index = token - self.num_facts
        if self.filler == "blank":
            return "."
        return _FILLERS[index] if index < len(_FILLERS) else f"word{index}"

    def _fact_words(self, fact: int) -> tuple[str, str]:
        return _FACTS[fact] if fact < len(_FACTS) else (f"Country{fact}", f"Language{fact}")
