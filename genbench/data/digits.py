"""Handwritten digits of 8x8 pixels, alone, thresholded, and three at a time as the channels of one image.

1,797 images with 17 levels, split 1,000 / 197 / 600 by class and by the hash of their pixels: the same images
in the same splits whatever the library's version or the order of its rows. `digits_stacked` combines images
of one split only, so that its splits share no digit either.

References: Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), in scikit-learn's copy of
the test half; stacked digits as a test of mode collapse: Unrolled Generative Adversarial Networks (Metz,
Poole, Pfau and Sohl-Dickstein, 2017).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.data.splits import content_order, stratified, streams
from genbench.noise import Noise
from genbench.types import Dataset, DataSpec

SIZES = {"train": 1000, "validation": 197, "test": 600}
STACKED_SIZES = {"train": 26_000, "validation": 2_000, "test": 26_000}
THRESHOLD = 8  # a pixel counts as ink from here on: half of the highest level


def _splits() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Images uint8 `(n, 1, 8, 8)` and labels int64 `(n,)` of every split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.asarray(bunch.images).round().astype(np.uint8)[:, None]
    labels = np.asarray(bunch.target, dtype=np.int64)
    order = stratified(content_order(images), labels)
    parts = np.split(order, np.cumsum(list(SIZES.values()))[:-1])
    x = {split: torch.from_numpy(images[part]) for split, part in zip(SIZES, parts, strict=True)}
    y = {split: torch.from_numpy(labels[part]) for split, part in zip(SIZES, parts, strict=True)}
    return x, y


def digits() -> Dataset:
    """Handwritten digits, 8x8 pixels, 17 levels."""
    x, y = _splits()
    return Dataset(
        name="digits",
        spec=DataSpec(shape=(1, 8, 8), levels=17, classes=10),
        x=x,
        y=y,
        extractor="digitnet",
        about="scikit-learn's 8x8 handwritten digits; 1,000 / 197 / 600 images, stratified by class.",
    )


def digits_binary() -> Dataset:
    """Handwritten digits, 8x8 pixels, black and white: ink where a pixel of `digits` is at least 8."""
    x, y = _splits()
    return Dataset(
        name="digits-binary",
        spec=DataSpec(shape=(1, 8, 8), levels=2, classes=10),
        x={split: (images >= THRESHOLD).to(torch.uint8) for split, images in x.items()},
        y=y,
        extractor="digitnet",
        about=f"The splits of digits, thresholded: 1 where the level is at least {THRESHOLD}.",
    )


def _triples(members: list[Tensor], noise: Noise) -> tuple[Tensor, Tensor]:
    """Three digits, each uniform over the ten classes, each an image uniform within its class.

    Args:
        members: for each class the rows of its images.

    Returns:
        rows int64 `(n, 3)` and labels int64 `(n,)`, 100 a + 10 b + c for the digits a, b, c.
    """
    u, v = noise.uniform(3), noise.uniform(3)
    digit = (u * 10).long()
    counts = torch.tensor([len(rows) for rows in members])
    starts = counts.cumsum(0) - counts
    rows = torch.cat(members)[starts[digit] + (v * counts[digit]).long()]
    return rows, digit @ torch.tensor([100, 10, 1])


def digits_stacked() -> Dataset:
    """Three handwritten digits as the channels of one image: 1,000 modes, all equally likely."""
    images, labels = _splits()
    x, y = {}, {}
    for split, n in STACKED_SIZES.items():
        members = [torch.nonzero(labels[split] == digit)[:, 0] for digit in range(10)]
        triples = [_triples(members, noise) for noise in streams("digits-stacked", split, n, chunk=n)]
        rows, y[split] = (torch.cat(parts) for parts in zip(*triples, strict=True))
        x[split] = images[split][:, 0][rows]
    return Dataset(
        name="digits-stacked",
        spec=DataSpec(shape=(3, 8, 8), levels=17, classes=1000),
        x=x,
        y=y,
        extractor="digitnet",
        about="Three digits of one split of digits as channels; the label is the number they spell.",
    )
