"""pytorch-fid: features are copied into float64 before its statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def fid(*, real: Any, fake: Any) -> float:
    """From the moments, as its `calculate_activation_statistics` takes them."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    moments = [part for x in (real, fake) for part in (x.mean(axis=0), np.cov(x, rowvar=False))]
    return float(calculate_frechet_distance(*moments))


FUNCTIONS: dict[str, Callable[..., float]] = {"fid": fid}
KNOWN = {
    "one dimension": "unpacks two values from scipy's matrix root, which returns one for 1 x 1 (scipy >= 1.16)",
    "singular": "takes the matrix root of a singular product, which is rounding; adds 1e-6 to both diagonals where it "
    "is not finite",
    "absolute offset": "adds 1e-6 to both diagonals where the matrix root is not finite",
}
