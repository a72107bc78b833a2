"""clean-fid: features stay in float32; means are float32, covariances float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from genbench.conformance.run import NotOffered


def fid(*, real: Any, fake: Any) -> float:
    """From the moments, as its `fid_from_feats` takes them."""
    from cleanfid.fid import fid_from_feats

    return float(fid_from_feats(np.asarray(real, dtype=np.float32), np.asarray(fake, dtype=np.float32)))


def kid(*, real: Any, fake: Any) -> float:
    """One subset that is the whole set."""
    from cleanfid.fid import kernel_distance

    if len(real) != len(fake):
        raise NotOffered("subsets of the two sets have one size")
    state = np.random.get_state()  # noqa: NPY002  (its generator)
    try:
        x, y = np.asarray(real, dtype=np.float32), np.asarray(fake, dtype=np.float32)
        return float(kernel_distance(x, y, num_subsets=1, max_subset_size=len(x)))
    finally:
        np.random.set_state(state)  # noqa: NPY002


FUNCTIONS: dict[str, Callable[..., float]] = {"fid": fid, "kid": kid}
KNOWN = {
    "one dimension": "unpacks two values from scipy's matrix root, which returns one for 1 x 1 (scipy >= 1.16)",
    "singular": "takes the matrix root of a singular product, which is rounding",
    "absolute offset": "adds 1e-6 to both diagonals where the matrix root is not finite",
    "cancellation": "takes means and kernels in float32",
    "float32": "takes means and kernels in float32",
    "": "works in float32",
}
