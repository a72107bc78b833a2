"""How far samples are from the training set: what the metrics of memorization share.

Symbols: t_l one of t training features, x any set of features, d(x, T) its distance to the nearest training feature.
The training set is taken as given, not as random.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np

from genbench.errors import Refused
from genbench.metrics.distances import rows_of, together
from genbench.metrics.nearest import nearest

_REMEMBERED = 16
_memory: OrderedDict[tuple[bytes, bytes, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()


def triple(train: Any, real: Any, fake: Any, metric: str, rows: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finite features of the training set, of the real data held out and of the samples, of one width."""
    sides = {"train": train, "real": real, "fake": fake}
    t, x, y = (rows_of(values, f"{metric}: {side}", rows) for side, values in sides.items())
    for side, other in (("real", x), ("fake", y)):
        if other.shape[1] != t.shape[1]:
            raise Refused(
                f"{metric}: train has {t.shape[1]} features and {side} {other.shape[1]}; they must be the same"
            )
    return t, x, y


def _digest(x: np.ndarray) -> bytes:
    digest = hashlib.sha256(f"{x.shape} {x.dtype}".encode())
    digest.update(np.ascontiguousarray(x).data)
    return digest.digest()


def nearest_rows(x: np.ndarray, centres: np.ndarray, kept: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Distances from each row of x to its `kept` nearest centres, upward, and which they are, `(n, kept)` each; exact.

    What was found for the last few pairs of sets is kept: metrics, asked one after the other, share it.
    """
    key = _digest(x), _digest(centres), kept
    if key not in _memory:
        a, b = together(x, centres)
        squared, index = nearest(a, b, kept)
        _memory[key] = np.sqrt(squared) / a.unit, index
    _memory.move_to_end(key)
    while len(_memory) > _REMEMBERED:
        _memory.popitem(last=False)
    return _memory[key]
