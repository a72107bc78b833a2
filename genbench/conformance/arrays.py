"""Arrays that are the same on every machine, and exact in float32.

They are made of the raw words of a counter-based generator (Philox4x64 under a stated key) by integer arithmetic
alone: no logarithm, no cosine, no generator's idea of a normal. Every value is a multiple of 1/256 (or of what is
said), small enough to have at most 24 significant bits, so that float32 and float64 hold the same numbers, ties are
ties, and sums of products can be derived in exact integers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray | None]

UNIT = 256


def words(key: int, *shape: int) -> np.ndarray:
    """Raw 64-bit words, uint64 `shape`."""
    raw: np.ndarray = np.random.Philox(key=key).random_raw(int(np.prod(shape))).reshape(shape)
    return raw


def bells(key: int, *shape: int) -> np.ndarray:
    """Nearly normal values, mean 0, standard deviation 0.82, within 4: eight bytes of a word added, over 256."""
    octets = words(key, *shape).astype("<u8").view(np.uint8).reshape(*shape, 8)
    return (octets.sum(axis=-1, dtype=np.int64) - 1020) / UNIT


def levels(key: int, *shape: int, bits: int = 8) -> np.ndarray:
    """Uniform integers from 0 to 2^bits - 1, int64."""
    return (words(key, *shape) >> np.uint64(64 - bits)).astype(np.int64)


def integers(values: np.ndarray, unit: int = UNIT) -> np.ndarray:
    """The values as Python integers, in units of 1/unit; refuses values that are no multiples of it."""
    scaled = np.asarray(values, dtype=np.float64) * unit
    if not np.array_equal(scaled, np.rint(scaled)):
        raise ValueError(f"a value is no multiple of 1/{unit}")
    return np.asarray(np.frompyfunc(int, 1, 1)(scaled), dtype=object)


def digest(arrays: Arrays) -> str:
    """Sixteen hexadecimal digits that follow from the names, shapes, types and bytes of arrays."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        if array is not None:
            found.update(f"{name} {array.shape} {array.dtype}".encode())
            found.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()[:16]
