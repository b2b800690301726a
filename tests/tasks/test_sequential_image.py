"""Images pixel by pixel, of a small set in the form of MNIST: a bright row says the class."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import batch_of, held_out

from lstm_jax.images import idx, sets
from lstm_jax.tasks import make_task


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """60 images of 4 x 4 to train on and 21 to test on, of three classes; the pixel 5 says which image it is."""
    place, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, number, first in (("train", 60, 0), ("t10k", 21, 100)):
        labels = rng.permutation(np.arange(number) % 3).astype(np.uint8)
        images = np.zeros((number, 4, 4), np.uint8)
        images[np.arange(number), labels + (labels > 0)] = 200  # row 0, 2 or 3
        images[:, 1, 1] = first + np.arange(number)
        idx.write(place / f"{split}-images-idx3-ubyte", images)
        idx.write(place / f"{split}-labels-idx1-ubyte", labels)
    return place


def images_of(batch):
    """Which image each is."""
    return np.round(batch.inputs[5, :, 0] * 255).astype(int)


def test_pixels_come_row_by_row(directory):
    task = make_task(f"sequential_image@data={directory}", 16)
    batch, given = batch_of(task), sets.load(str(directory))
    assert batch.inputs.shape == (16, 200, 1) and batch.targets.shape == batch.weights.shape == (1, 200)
    chosen = images_of(batch)
    expected = given.train[chosen].reshape(200, 16).T / 255
    np.testing.assert_allclose(batch.inputs[..., 0], expected, rtol=0, atol=1e-7)
    assert (batch.targets[0] == given.train_labels[chosen]).all() and batch.weights.all() and batch.recall.all()
    assert (task.num_classes, task.chance, task.num_steps, task.distance) == (3, 1 / 3, 16, 14)
    assert len(set(chosen)) > 50


def test_permuted_pixels_are_the_same_in_one_other_order(directory):
    plain, permuted = (batch_of(make_task(f"sequential_image@data={directory}{each}", 16)) for each in
                       ("", ",permuted=true"))  # fmt: skip
    order = np.random.default_rng(0).permutation(16)
    np.testing.assert_array_equal(permuted.inputs, plain.inputs[order])
    task = make_task(f"sequential_image@data={directory},permuted=true", 16)
    assert task.show(permuted.inputs[:, 0], np.array([0])) == make_task(f"sequential_image@data={directory}", 16).show(
        plain.inputs[:, 0], np.array([0])
    )


def test_smaller_images_are_means(directory):
    small, whole = (batch_of(make_task(f"sequential_image@data={directory}", gap)).inputs[..., 0] for gap in (4, 16))
    expected = whole.T.reshape(200, 2, 2, 2, 2).mean(axis=(2, 4)).reshape(200, 4).T
    np.testing.assert_allclose(small, expected, atol=1e-6)


def test_the_held_out_images_are_to_test_on_and_balanced(directory):
    task = make_task(f"sequential_image@data={directory}", 16)
    batch = held_out(task, 12)
    assert (images_of(batch) >= 100).all() and len(set(images_of(batch))) == 12
    assert np.bincount(batch.targets[0]).tolist() == [4, 4, 4]
    assert set(images_of(held_out(task, 21))) == set(range(100, 121)), "all of them"
    assert task.keeps_apart(12) is False and (images_of(batch_of(task)) < 100).all()
    train = jax.eval_shape(lambda: task.train_batch(jax.random.key(0), jnp.int32(0), 5, 0))
    assert train.inputs.shape == (16, 5, 1)
    with pytest.raises(ValueError, match="eval_size: there are 21 images to test on, got 22"):
        task.held_out(22)


def test_memoryless_loss_is_that_of_the_last_pixel(directory):
    """The last row is bright of one class in three; before it, of the others, nothing is known."""
    assert make_task(f"sequential_image@data={directory}", 16).memoryless_loss == pytest.approx(2 / 3 * math.log(2))


def test_show(directory):
    task = make_task(f"sequential_image@data={directory}", 16)
    image = np.zeros((16, 1), np.float32)
    image[8:12] = 1.0
    assert task.show(image, np.array([1])) == "    \n    \n@@@@\n    \nclass 1"


def test_other_images_are_another_task(directory, tmp_path):
    """Under the same name: a run's identity has the digest."""
    task = make_task(f"sequential_image@data={directory}", 16)
    assert task.digest == sets.load(str(directory)).digest and "digest" in {
        each.name for each in dataclasses.fields(task)
    }
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = sets.load(str(tmp_path))
    assert other.digest == task.digest
    labels = np.array(other.test_labels)
    labels[0] = (labels[0] + 1) % 3
    idx.write(tmp_path / "t10k-labels-idx1-ubyte", labels)
    sets.load.cache_clear()
    assert make_task(f"sequential_image@data={tmp_path}", 16).digest != task.digest


@pytest.mark.parametrize(
    ("gap", "settings", "message"),
    [
        (9, "", "gap: expected one of 1, 4, 16 pixels, got 9"),
        (16, "x", "data: .*x is not there"),
        (16, ",digest=a", "unknown setting 'digest'"),
    ],
)
def test_errors(directory, gap, settings, message):
    with pytest.raises(ValueError, match=message):
        make_task(f"sequential_image@data={directory}{settings}", gap)


def test_images_and_labels_have_to_fit(directory, tmp_path):
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    idx.write(tmp_path / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match=r"expected square images, and a label for each, got images \[60, 4, 4\]"):
        make_task(f"sequential_image@data={tmp_path}", 16)
