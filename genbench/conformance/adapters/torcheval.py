"""torcheval: float32 throughout; its Fréchet distance takes images of three channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _tensor(x: Any) -> Any:
    import torch

    return torch.from_numpy(np.asarray(x, dtype=np.float32))


def fid(*, real: Any, fake: Any) -> float:
    """Features travel as the first channel of an image, which its model takes out again."""
    import torch
    from torcheval.metrics import FrechetInceptionDistance

    class First(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, 0, 0]

    metric = FrechetInceptionDistance(model=First(), feature_dim=np.shape(real)[1])
    for x, is_real in ((real, True), (fake, False)):
        metric.update(_tensor(x)[:, None, None].expand(-1, 3, 1, -1), is_real=is_real)
    return float(metric.compute())


def psnr(*, real: Any, fake: Any) -> float:
    """Over all images at once."""
    from torcheval.metrics.functional import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(_tensor(fake), _tensor(real), data_range=1.0))


def reconstruction_error(*, real: Any, fake: Any) -> float:
    """Its mean squared error."""
    from torcheval.metrics.functional import mean_squared_error

    return float(mean_squared_error(_tensor(fake).flatten(), _tensor(real).flatten()))


FUNCTIONS: dict[str, Callable[..., float]] = {"fid": fid, "psnr": psnr, "reconstruction_error": reconstruction_error}
_SINGLE = "sums x and x x' in float32, and takes eigenvalues in float32"
KNOWN = {
    "singular": _SINGLE,
    "cancellation": _SINGLE,
    "integers": _SINGLE,
    "no value": "hands NaN to an eigenvalue routine that takes the process down with it",
    "": "works in float32 throughout",
}
