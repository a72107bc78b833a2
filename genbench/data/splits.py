"""How splits are made: by noise streams that never meet where a law is known, by content hashes elsewhere.

Nothing here depends on the random number generator of a library, on the order of rows or on file names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from genbench.noise import Noise, Streams, derive

CHUNK = 512  # rows drawn at a time: the words of one chunk stay in the processor's cache


def streams(name: str, split: str, n: int, chunk: int = CHUNK) -> list[Streams]:
    """The noise of a split, in chunks of rows; the seed is derived from dataset and split, so no two splits share."""
    return [Streams(derive(0, f"{name}/{split}"), rows) for rows in torch.arange(n).split(chunk)]


def drawn(
    name: str, sizes: Mapping[str, int], sample: Callable[[Noise], Tensor], chunk: int = CHUNK
) -> dict[str, Tensor]:
    """Every split as draws of `sample` from the split's own noise."""
    return {split: torch.cat([sample(noise) for noise in streams(name, split, n, chunk)]) for split, n in sizes.items()}


def content_order(x: np.ndarray) -> np.ndarray:
    """The permutation that sorts rows by the sha256 of their bytes: random-looking, and a matter of content alone."""
    digests = [hashlib.sha256(row.tobytes()).digest() for row in np.ascontiguousarray(x)]
    return np.array(sorted(range(len(x)), key=digests.__getitem__), dtype=np.int64)


def stratified(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A permutation of which every prefix holds each class in its share, to within one image.

    The r-th image of a class of size m (in the given order) is sorted by (r + 1/2) / m.
    """
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(rank[order], kind="stable")]
