"""torchmetrics: features through a module that passes them on; float32 in, running sums in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from genbench.conformance.run import NotOffered


def _tensor(x: Any) -> Any:
    import torch

    x = np.asarray(x)
    return torch.from_numpy(x if x.dtype.kind in "iu" else x.astype(np.float32))


def _identity(width: int) -> Any:
    import torch

    module = torch.nn.Identity()
    module.num_features = width  # type: ignore[assignment]
    return module


def fid(*, real: Any, fake: Any) -> float:
    """Its metric as a user runs it, in one batch."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_identity(np.shape(real)[1]), normalize=True)
    metric.update(_tensor(real), real=True)
    metric.update(_tensor(fake), real=False)
    return float(metric.compute())


def kid(*, real: Any, fake: Any, degree: int = 3, gamma: float | None = None, coef0: float = 1.0) -> float:
    """One subset that is the whole set; its own subsets come from torch's generator."""
    from torchmetrics.image.kid import KernelInceptionDistance

    if len(real) != len(fake):
        raise NotOffered("subsets of the two sets have one size")
    metric = KernelInceptionDistance(
        feature=_identity(np.shape(real)[1]), subsets=1, subset_size=len(real), degree=degree, gamma=gamma, coef=coef0
    )
    metric.update(_tensor(real), real=True)
    metric.update(_tensor(fake), real=False)
    return float(metric.compute()[0])


def inception_score(*, fake: Any, splits: int = 1) -> float:
    """Probabilities are handed over as their logarithms in float64; 0 as -700."""
    import torch
    from torchmetrics.image.inception import InceptionScore

    if splits > 1:
        raise NotOffered("shuffles with torch's generator before it splits")
    metric = InceptionScore(feature=_identity(np.shape(fake)[1]), splits=1)
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(np.asarray(fake, dtype=np.float64)), -700)
    metric.update(torch.from_numpy(logits))
    return float(metric.compute()[0])


def psnr(*, real: Any, fake: Any) -> float:
    """Image by image, averaged."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(_tensor(fake), _tensor(real), data_range=1.0, dim=(1, 2, 3)))


def ssim(*, real: Any, fake: Any, border: str = "valid") -> float:
    """A Gaussian window, the data range 1; it mirrors the image at its border, and cannot do otherwise."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    found = structural_similarity_index_measure(_tensor(fake), _tensor(real), data_range=1.0)
    return float(found)  # type: ignore[arg-type]


def reconstruction_error(*, real: Any, fake: Any) -> float:
    """Its mean squared error."""
    from torchmetrics.functional.regression import mean_squared_error

    return float(mean_squared_error(_tensor(fake).flatten(), _tensor(real).flatten()))


FUNCTIONS: dict[str, Callable[..., float]] = {
    "fid": fid,
    "kid": kid,
    "inception_score": inception_score,
    "psnr": psnr,
    "ssim": ssim,
    "reconstruction_error": reconstruction_error,
}
KNOWN = {
    "singular": "takes the roots of a singular product's eigenvalues, which are rounding",
    "cancellation": "sums squares before it takes the mean away; kernels and windows are those of float32",
    "integers": "casts the answer back to the features' type, which for bytes is modulo 256",
    "small image": "keeps its window of 11 pixels in a smaller image, and mirrors the image around it",
    "": "works in float32, or returns it",
}
