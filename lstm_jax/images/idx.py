"""IDX files, the format of MNIST: bytes with a header that says their shape; plain, or compressed by gzip."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

_BYTES = 0x08
"""The third byte of the header: what is in the file are unsigned bytes."""


def read(path: Path) -> UInt8[np.ndarray, "..."]:
    """The array of a file, or of the same with .gz; raises ValueError where there is none, or no whole one."""
    place = path if path.exists() else path.with_name(f"{path.name}.gz")
    try:
        data = place.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected an IDX file, or one with .gz ({error})") from None
    if len(data) < 4 or data[:3] != bytes((0, 0, _BYTES)) or len(data) < 4 + 4 * data[3]:
        raise ValueError(
            f"{place}: expected an IDX file of unsigned bytes, got one that begins with {data[:4].hex()!r}"
        )
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if len(values) != np.prod(shape, dtype=np.int64):
        raise ValueError(
            f"{place}: expected {' x '.join(map(str, shape))} bytes, as its header says, got {len(values)}"
        )
    return values.reshape(shape)


def write(path: Path, values: UInt8[np.ndarray, "..."]) -> None:
    """A file that `read` reads."""
    header = bytes((0, 0, _BYTES, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.tobytes())
