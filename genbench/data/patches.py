"""Small pieces of two photographs: real texture and colour, with no file to fetch.

Each photograph is cut into tiles of 64x61 pixels (W x H); a tile belongs to one split, by the hash of its
place, and every patch lies within one tile: no pixel is in two splits. Within a tile patches start every four
pixels, so neighbours overlap: patches of a split are not independent, and intervals that take them to be are
too narrow.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from genbench.types import Dataset, DataSpec

TILE = (61, 64)  # height and width: the photographs have 427 x 640 pixels, 7 x 10 tiles
STRIDE = 4
TILES = {"train": 80, "validation": 10, "test": 50}  # of the 140 tiles of both photographs


def _photographs() -> list[np.ndarray]:
    """The photographs that scikit-learn carries (a temple, a flower), uint8 `(H, W, 3)`."""
    from sklearn.datasets import load_sample_images

    return [np.asarray(image, dtype=np.uint8) for image in load_sample_images().images]


def _tiles(shapes: list[tuple[int, ...]]) -> dict[str, list[tuple[int, int, int]]]:
    """For each split its tiles: photograph, top, left."""
    height, width = TILE
    corners = [
        (photograph, top, left)
        for photograph, shape in enumerate(shapes)
        for top in range(0, shape[0] - height + 1, height)
        for left in range(0, shape[1] - width + 1, width)
    ]
    corners.sort(key=lambda corner: hashlib.sha256("/".join(map(str, corner)).encode()).digest())
    bounds = np.cumsum([0, *TILES.values()])
    return {split: corners[start:end] for split, start, end in zip(TILES, bounds[:-1], bounds[1:], strict=True)}


def _cut(photographs: list[np.ndarray], tiles: list[tuple[int, int, int]], size: int) -> Tensor:
    """All patches of some tiles, uint8 `(n, C, size, size)`."""
    parts = []
    for photograph, top, left in tiles:
        tile = photographs[photograph][top : top + TILE[0], left : left + TILE[1]]
        windows = np.lib.stride_tricks.sliding_window_view(tile, (size, size), axis=(0, 1))
        parts.append(windows[::STRIDE, ::STRIDE].reshape(-1, tile.shape[2], size, size))
    return torch.from_numpy(np.concatenate(parts))


def _luma(image: np.ndarray) -> np.ndarray:
    """Grey of ITU-R BT.601 in whole numbers, `(H, W, 1)`: (299 R + 587 G + 114 B + 500) div 1000."""
    weighted = image.astype(np.int64) @ np.array([299, 587, 114])
    return ((weighted + 500) // 1000).astype(np.uint8)[..., None]


def _dataset(name: str, photographs: list[np.ndarray], size: int, about: str) -> Dataset:
    tiles = _tiles([photograph.shape for photograph in photographs])
    return Dataset(
        name=name,
        spec=DataSpec(shape=(photographs[0].shape[2], size, size), levels=256),
        x={split: _cut(photographs, corners, size) for split, corners in tiles.items()},
        about=about,
    )


def patches() -> Dataset:
    """Grey patches of 8x8 pixels of two photographs."""
    photographs = [_luma(photograph) for photograph in _photographs()]
    return _dataset("patches", photographs, 8, "8x8 grey patches of scikit-learn's two photographs.")


def patches_rgb() -> Dataset:
    """Colour patches of 16x16 pixels of two photographs."""
    return _dataset("patches-rgb", _photographs(), 16, "16x16 colour patches of scikit-learn's two photographs.")
