"""An image, pixel by pixel: of which class is it? Le, Jaitly & Hinton 2015, "A simple way to initialize recurrent
networks of rectified linear units", section 4.3, and its permuted form.

Definition. The pixels of a square image one by one, row by row from the top left, as numbers from 0 to 1; the class is
asked for at the last one. `data` is `mnist`, `fashion`, `digits` (8 x 8), or a directory with four IDX files as those
of MNIST; `python -m experiments.images` fetches the first three. With `permuted=true` the pixels of all images come in
one order that is drawn once, NumPy's default_rng(0).permutation(T): the published orders were never written down.

`gap` is T, the number of pixels, 784 for a whole image of MNIST. Images of 196 and 49 pixels are means of 2 x 2 and 4 x
4; any square number will do whose side divides that of the images.

    T=4, the class 1 of an image whose right half is white
        step      0    1    2    3
        input     0  1.0    0  1.0
        target                   1

Training draws from the training images, with repetition; scored on those to test on, with the classes as equally often
as `eval_size` allows: all of them for `--eval-size 10000` of MNIST. Chance level 1 over the number of classes. A solver
without memory sees the last pixel: the entropy of the classes by its value, in the training images. There is no script
that solves it. Bai et al. 2018 scale pixels to mean 0 and variance 1.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Integer, Key
from numpy.typing import NDArray

from lstm_jax.choices import Readout
from lstm_jax.images import sets
from lstm_jax.tasks.base import Batch, Task
from lstm_jax.tasks.kinds import Vectors

_SHADES = " .:-=+*#%@"


@dataclasses.dataclass(frozen=True)
class SequentialImage(Task):
    """Name the class of an image of T = `gap` pixels; see the top of the file."""

    axis: ClassVar[str] = "length (pixels)"
    inputs = Vectors(1)

    data: str = dataclasses.field(default="mnist", kw_only=True)
    permuted: bool = dataclasses.field(default=False, kw_only=True)
    digest: str = dataclasses.field(default="", init=False)
    """Of the images, which are a part of a run's identity by it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            images = self.images
        except ValueError as error:
            raise ValueError(f"data: {error}") from None
        object.__setattr__(self, "digest", images.digest)
        side = images.train.shape[1]
        allowed = [number**2 for number in range(1, side + 1) if side % number == 0]
        if self.gap not in allowed:
            raise ValueError(f"gap: expected one of {', '.join(map(str, allowed))} pixels, got {self.gap}")

    @property
    def images(self) -> sets.Images:
        """The images themselves."""
        return sets.load(self.data)

    @property
    def num_classes(self) -> int:
        return int(self.images.train_labels.max()) + 1

    @property
    def num_steps(self) -> int:
        return self.gap

    @property
    def distance(self) -> int:
        """What lies between the first pixel and the last."""
        return max(self.gap - 2, 0)

    @property
    def readout(self) -> Readout:
        return "last"

    @property
    def chance(self) -> float:
        return 1.0 / self.num_classes

    @property
    def memoryless_loss(self) -> float:
        images = self.images
        _, shade = np.unique(_sequences(self.data, "train", self.gap, self.permuted)[-1], return_inverse=True)
        counts = np.zeros((shade.max() + 1, self.num_classes))
        np.add.at(counts, (shade, images.train_labels), 1.0)
        given = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)
        seen = counts > 0
        return float(-(counts[seen] * np.log(counts[seen] / given[seen])).sum() / counts.sum())

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Training images, each as likely."""
        labels = self.images.train_labels
        chosen = jax.random.randint(key, (batch_size,), 0, len(labels))
        return self._batch(jnp.asarray(_sequences(self.data, "train", self.gap, self.permuted)), labels, chosen)

    def train_batch(self, key: Key[Array, ""], step: Int32[Array, ""], batch_size: int, shape: int) -> Batch:
        """None of the images to test on is among them."""
        del step, shape
        return self.sample(key, batch_size)

    def held_out(self, size: int) -> Batch:
        """Images to test on, the first of each class, then the second, in an order that is always the same."""
        labels = self.images.test_labels
        if size > len(labels):
            raise ValueError(f"eval_size: there are {len(labels)} images to test on, got {size}")
        drawn = np.random.default_rng(0).permutation(len(labels))
        rank = np.zeros(len(labels), np.int64)
        for label in range(self.num_classes):
            own = labels[drawn] == label
            rank[own] = np.arange(own.sum())
        chosen = drawn[np.argsort(rank, kind="stable")[:size]]
        sequences = _sequences(self.data, "test", self.gap, self.permuted)[:, chosen]
        return self._batch(jnp.asarray(sequences), labels[chosen], jnp.arange(size))

    def _batch(self, sequences: Array, labels: NDArray[np.uint8], chosen: Int32[Array, " B"]) -> Batch:
        inputs = sequences[:, chosen].astype(jnp.float32) / 255.0
        ones = jnp.ones((1, len(chosen)))
        return Batch(inputs[..., None], jnp.asarray(labels.astype(np.int32))[chosen][None], ones, ones)

    def show(self, inputs: Float[np.ndarray, "T 1"], targets: Integer[np.ndarray, " S"]) -> str:
        """The image, of at most 14 x 14, in shades of characters, and its class."""
        pixels = np.zeros(self.gap)
        pixels[_order(self.gap, self.permuted)] = np.asarray(inputs)[:, 0]
        side = math.isqrt(self.gap)
        step = next(each for each in range(1, side + 1) if side % each == 0 and side // each <= 14)
        small = pixels.reshape(side // step, step, side // step, step).mean(axis=(1, 3))
        rows = ["".join(_SHADES[min(int(value * 10), 9)] for value in row) for row in small]
        return "\n".join([*rows, f"class {int(targets[-1])}"])

    def words(self, inputs: Float[np.ndarray, "T 1"]) -> list[str]:
        """The pixels."""
        return [f"{value:.2f}" for value in np.asarray(inputs)[:, 0].tolist()]


def _order(num_pixels: int, permuted: bool) -> Integer[np.ndarray, " T"]:
    return np.random.default_rng(0).permutation(num_pixels) if permuted else np.arange(num_pixels)


@functools.lru_cache(maxsize=4)
def _sequences(data: str, split: str, num_pixels: int, permuted: bool) -> NDArray[np.generic]:
    """`[T, N]`: the pixels from 0 to 255 of all images of a split, as bytes where the images are whole."""
    images = getattr(sets.load(data), split)
    side = math.isqrt(num_pixels)
    if side < images.shape[1]:
        step = images.shape[1] // side
        blocks = images.reshape(len(images), side, step, side, step)
        images = blocks.mean(axis=(2, 4), dtype=np.float32)
    return np.ascontiguousarray(images.reshape(len(images), -1).T[_order(num_pixels, permuted)])
