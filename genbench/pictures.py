"""The pictures of a record: what the samples look like, and what they are nearest to in the training set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench import images
from genbench.files import sha256
from genbench.record import Asset
from genbench.types import Dataset

_GRID = 100  # images on a contact sheet
_POINTS = 2500
_COMPARED, _COLUMNS = 20, 10  # samples beside their neighbours, and how many in a row
_ROWS = 4096  # of the training set at a time


def pictures(
    samples: Tensor, data: Dataset, key: str, *, neighbours: bool
) -> tuple[dict[str, Asset], dict[str, bytes]]:
    """The assets of a record by their names, and the files that hold them.

    Args:
        samples: `(n, *shape)`.
        neighbours: whether to show training images beside samples; points are scattered over test points instead.
    """
    levels = data.spec.levels
    if levels is None:
        sheets = {"samples": images.scatter(samples[:_POINTS], data.images("test")[:_POINTS])}
    else:
        sheets = {"samples": images.grid(samples[:_GRID], levels)}
        if neighbours:
            sheets["neighbours"] = _beside(samples[:_COMPARED], data.images("train"), levels)
    files = {name: images.png(sheet) for name, sheet in sheets.items()}
    assets = {
        name: Asset(file=f"{key}-{name}.png", sha256=sha256(files[name]), height=sheet.shape[0], width=sheet.shape[1])
        for name, sheet in sheets.items()
    }
    return assets, {assets[name].file: content for name, content in files.items()}


def nearest(x: Tensor, train: Tensor) -> Tensor:
    """For each x the training row at the least Euclidean distance, the first of equals, `(n, *shape)`."""
    rows = x.flatten(1).double()
    best = torch.full((len(x),), torch.inf, dtype=torch.float64)
    at = torch.zeros(len(x), dtype=torch.int64)
    for start in range(0, len(train), _ROWS):
        block = train[start : start + _ROWS].flatten(1).double()
        found = torch.cdist(rows, block, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
        closer = found.values < best
        best, at = torch.where(closer, found.values, best), torch.where(closer, found.indices + start, at)
    return train[at]


def _beside(x: Tensor, train: Tensor, levels: int) -> np.ndarray:
    """Rows of samples, each above the row of their nearest training images."""
    x = x.cpu()
    pairs = zip(x.split(_COLUMNS), nearest(x, train).split(_COLUMNS), strict=True)
    return images.grid(torch.cat([part for pair in pairs for part in pair]), levels, columns=_COLUMNS)
