"""MNIST made black and white once and for all, so that likelihoods of different papers compare.

Each pixel was drawn once with its grey value as probability, and the draws were published; drawing anew in
every epoch gives other, better likelihoods, which must not be mixed with these.

Reference: On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov and Murray, 2008); the files
are those of The Neural Autoregressive Distribution Estimator (Larochelle and Murray, 2011).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from genbench.errors import Refused
from genbench.sources import Source, fetch
from genbench.types import Dataset, DataSpec

_URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
# The checksums are those that tensorflow-datasets pins.
SOURCES: tuple[Source, ...] = tuple(
    Source(path=f"BinarizedMNIST/{file}", urls=(_URL + file,), digest=digest)
    for file, digest in {
        "binarized_mnist_train.amat": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        "binarized_mnist_valid.amat": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
        "binarized_mnist_test.amat": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    }.items()
)


def read_amat(path: Path) -> np.ndarray:
    """Lines of 784 digits 0 or 1, uint8 `(n, 1, 28, 28)`; their width is fixed, so no parser is needed."""
    data = np.fromfile(path, np.uint8)
    if not data.size or data.size % (2 * 784):
        raise Refused(f"{path} is no whole number of lines of 784 digits: it has {data.size:,} bytes")
    lines = data.reshape(-1, 784, 2)
    digits, ends = lines[..., 0] - ord("0"), lines[..., 1]
    if digits.max() > 1 or (ends[:, :-1] != ord(" ")).any() or (ends[:, -1] != ord("\n")).any():
        raise Refused(f"{path} does not consist of lines of 784 digits 0 or 1")
    return digits.reshape(-1, 1, 28, 28)


def binarized_mnist(*, root: Path | None = None, download: bool = False) -> Dataset:
    """Binarized MNIST: handwritten digits, 28x28, black and white, drawn once."""
    paths = fetch("binarized-mnist", SOURCES, root, download)
    splits = ("train", "validation", "test")
    return Dataset(
        name="binarized-mnist",
        spec=DataSpec(shape=(1, 28, 28), levels=2),
        x={split: torch.from_numpy(read_amat(path)) for split, path in zip(splits, paths, strict=True)},
        about="MNIST binarized once (static), the published splits of 50,000 / 10,000 / 10,000.",
    )
