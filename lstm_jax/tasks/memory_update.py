"""A memory that is written, written again and cleared: what does it hold now?

Definition. `num_keys` keys hold one of `num_values` values each, or nothing. Every step writes a value to a key, clears
a key, or does nothing; the last step asks for a key, and the answer is what was written to it last, or nothing if it
was cleared. The asked key's last change is `gap` steps before the query; until then any key may change, and in the gap
others do, or nothing happens, half of the steps each.

    tokens    write of v to k: k V + v    clearing k: K V + k    nothing: K V + K    query of k: K V + K + 1 + k
    K=2, V=4, gap=3, 2 steps before:
        step      0    1    2    3    4    5    6
        input     1    5    3   10    6   10   11       k0=1, k1=1, k0=3, nothing, k1=2, nothing, k0?
        target                                   3      (4 would be: nothing)

So a memory has to keep a value over changes of others, and to give it up at once when its own key changes: a cell
that can't forget confuses the old with the new, and one that keeps too little answers with what came last. `answers`
counts errors by kind. After the article's memory that learns when to forget and when to update; nearest published
kin: associative recall with overwriting.

Chance level 1/(V + 1): whether it is a value or nothing, each answer is as likely. A solver without memory sees the
query alone: ln(V + 1) nats.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Said, Task, elide, held_out_key

Kind = Literal["right", "stale", "other key", "cleared", "none", "other"]
KINDS: tuple[Kind, ...] = ("right", "stale", "other key", "cleared", "none", "other")
NUM_ANSWERED = 2048
"""Sequences whose answers are counted by kind."""
_KEYS = ["Asha", "Ben", "Chloe", "Dipak", "Elena", "Femi"]
_VALUES = ["Paris", "Pune", "Kyoto", "Recife", "Cairo", "Turku", "Oaxaca", "Izmir", "Volos", "Szeged"]


@dataclasses.dataclass(frozen=True)
class MemoryUpdate(Task):
    """Say what a key holds `gap` steps after its last change; see the top of the file."""

    num_keys: int = dataclasses.field(default=3, kw_only=True)
    num_values: int = dataclasses.field(default=8, kw_only=True)
    num_before: int = dataclasses.field(default=6, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("num_keys", 2), ("num_values", 2), ("num_before", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")

    @property
    def num_tokens(self) -> int:
        """Writes, clearings, nothing, queries."""
        return self.num_keys * (self.num_values + 2) + 1

    @property
    def num_classes(self) -> int:
        """Values, and nothing."""
        return self.num_values + 1

    @property
    def num_steps(self) -> int:
        return self.num_before + self.gap + 2

    @property
    def readout(self) -> Readout:
        return "last"

    @property
    def chance(self) -> float:
        return 1.0 / self.num_classes

    @property
    def memoryless_loss(self) -> float:
        return math.log(self.num_classes)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Keys and what happens to them, uniform and independent; nothing happens in half of the gap's steps."""
        asked_key, last_key, before_key, gap_key, idle_key = jax.random.split(key, 5)
        asked = jax.random.randint(asked_key, (1, batch_size), 0, self.num_keys)
        last = jax.random.randint(last_key, (1, batch_size), 0, self.num_classes)
        any_key, any_change = self._changes(before_key, self.num_before, batch_size, self.num_keys)
        other, change = self._changes(gap_key, self.gap, batch_size, self.num_keys - 1)
        is_idle = jax.random.bernoulli(idle_key, 0.5, other.shape)
        between = jnp.where(is_idle, self._nothing, self._token((asked + 1 + other) % self.num_keys, change))
        before = self._token(any_key, any_change)
        query = self._nothing + 1 + asked
        ones = jnp.ones((1, batch_size))
        return Batch(jnp.concatenate([before, self._token(asked, last), between, query]), last, ones, ones)

    def _changes(self, key: Array, num_steps: int, batch_size: int, num_keys: int) -> tuple[Array, Array]:
        which, change = jax.random.split(key)
        shape = (num_steps, batch_size)
        return jax.random.randint(which, shape, 0, num_keys), jax.random.randint(change, shape, 0, self.num_classes)

    @property
    def _nothing(self) -> int:
        """The token of a step in which nothing happens."""
        return self.num_keys * (self.num_values + 1)

    def _token(self, key: Array, change: Array) -> Array:
        """The token that writes a value to a key, or, of the change `num_values`, clears it."""
        writes = key * self.num_values + change
        return jnp.where(change == self.num_values, self.num_keys * self.num_values + key, writes)

    def change_of(self, token: int) -> tuple[int, int] | None:
        """The key that a token changes, and the value that it then holds, `num_values` for none; None: no change."""
        if token < self.num_keys * self.num_values:
            return token // self.num_values, token % self.num_values
        if token < self._nothing:
            return token - self.num_keys * self.num_values, self.num_values
        return None

    def history(self, inputs: Integer[np.ndarray, " T"]) -> list[list[int]]:
        """Of each key, what it held before any change and after each, one after the other."""
        held = [[self.num_values] for _ in range(self.num_keys)]
        for token in inputs[:-1].tolist():
            change = self.change_of(token)
            if change is not None:
                held[change[0]].append(change[1])
        return held

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "1 B"]:
        """Keep a table of what each key holds, and look it up."""
        asked = inputs[-1] - self._nothing - 1
        answers = [self.history(column)[key][-1] for column, key in zip(inputs.T, asked.tolist(), strict=True)]
        return np.array([answers], dtype=inputs.dtype)

    def kind(self, inputs: Integer[np.ndarray, " T"], answer: int) -> Kind:
        """What kind of answer it is, the first that fits.

        right; none: nothing, where the key holds a value; cleared: of a key that holds nothing, the value that was
        cleared; stale: a value that the key held earlier; other key: one that another key holds now; other: none of
        these.
        """
        held = self.history(inputs)
        own = held.pop(int(inputs[-1]) - self._nothing - 1)
        if answer == own[-1]:
            return "right"
        if answer == self.num_values:
            return "none"
        values = [value for value in own if value != self.num_values]
        if own[-1] == self.num_values and values and answer == values[-1]:
            return "cleared"
        if answer in own:
            return "stale"
        return "other key" if any(answer == other[-1] for other in held) else "other"

    def answers(self, model: Any) -> dict[str, list[dict[str, Any]]]:
        """How many answers are of each kind, and how many would be of an answer drawn from the values at random."""
        batch = self.sample(jax.random.fold_in(held_out_key(), 1), NUM_ANSWERED)
        inputs = np.asarray(batch.inputs)
        given = np.asarray(jnp.argmax(model(batch.inputs)[-1], axis=-1)).tolist()
        drawn = np.random.default_rng(0).integers(self.num_classes, size=NUM_ANSWERED).tolist()
        counts = {
            name: [self.kind(column, answer) for column, answer in zip(inputs.T, answers, strict=True)]
            for name, answers in (("count", given), ("count_of_guessing", drawn))
        }
        return {
            "kinds": [{"kind": kind, **{name: kinds.count(kind) for name, kinds in counts.items()}} for kind in KINDS]
        }

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """ "Asha is in Pune. ... Asha has left. Where is Asha? ___ (nobody knows)"."""
        told = [self._sentence(token) for token in inputs[:-1].tolist()]
        asked = self._name(int(inputs[-1]) - self._nothing - 1)
        answer = int(targets[-1])
        place = "nobody knows" if answer == self.num_values else self._place(answer)
        return f"{elide(told, 24)} Where is {asked}? ___ ({place})"

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """ "Asha: Pune" for a write, "Asha: -" for a clearing, "rain" for nothing, "Asha?" for the query."""
        found = []
        for token in inputs[:-1].tolist():
            change = self.change_of(token)
            if change is None:
                found.append("rain")
            else:
                key, value = change
                found.append(f"{self._name(key)}: {'-' if value == self.num_values else self._place(value)}")
        return [*found, f"{self._name(int(inputs[-1]) - self._nothing - 1)}?"]

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The changes of the asked key, and the query."""
        asked = int(inputs[-1]) - self._nothing - 1
        changes = [self.change_of(token) for token in inputs[:-1].tolist()]
        own = [place for place, change in enumerate(changes) if change is not None and change[0] == asked]
        return [*own, len(inputs) - 1]

    def read(self, sentence: str) -> Said:
        """ "Asha is in Pune. Asha has left. It rains. Where is Asha?", in the words of `show`; raises ValueError."""
        keys = {self._name(key).lower(): key for key in range(self.num_keys)}
        values = {self._place(value).lower(): value for value in range(self.num_values)}
        tokens = []
        for part in filter(str.strip, re.split(r"[.?!]", re.sub(r"___.*$", "", sentence))):
            words = part.lower().split()
            if len(words) == 4 and words[1:3] == ["is", "in"] and words[0] in keys and words[3] in values:
                tokens.append(keys[words[0]] * self.num_values + values[words[3]])
            elif words[1:] == ["has", "left"] and words[0] in keys:
                tokens.append(self.num_keys * self.num_values + keys[words[0]])
            elif words[:1] == ["it"]:
                tokens.append(self._nothing)
            elif len(words) == 3 and words[:2] == ["where", "is"] and words[2] in keys:
                tokens.append(self._nothing + 1 + keys[words[2]])
                break
            else:
                raise ValueError(
                    f"sentence: got {part.strip()!r}; expected '{self._name(0)} is in {self._place(0)}.', "
                    f"'{self._name(0)} has left.', 'It rains.' or 'Where is {self._name(0)}?'; there are "
                    f"{', '.join(map(str.capitalize, keys))}, and {', '.join(map(str.capitalize, values))}"
                )
        if not tokens or tokens[-1] <= self._nothing:
            raise ValueError(f"sentence: expected it to end with a question, 'Where is {self._name(0)}?'")
        inputs = np.array(tokens)
        return Said(inputs, self.words(inputs))

    def _sentence(self, token: int) -> str:
        change = self.change_of(token)
        if change is None:
            return "It rains."
        key, value = change
        return (
            f"{self._name(key)} has left."
            if value == self.num_values
            else f"{self._name(key)} is in {self._place(value)}."
        )

    def _name(self, key: int) -> str:
        return _KEYS[key] if key < len(_KEYS) else f"Person{key}"

    def _place(self, value: int) -> str:
        return _VALUES[value] if value < len(_VALUES) else f"Town{value}"
