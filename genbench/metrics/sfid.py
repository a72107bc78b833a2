"""Fréchet distance between features that keep their places in the image.

Symbols: as in `fid`; a feature is the value of one channel at one place, so that d = places x channels.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from genbench.metrics.fid import estimate
from genbench.metrics.frechet import distance, overlap, pair_of
from genbench.types import Metric


def sfid(*, real: Any, fake: Any, ddof: int = 1) -> float:
    """Fréchet distance (see `fid`) between features of a layer that has not been pooled over places.

    |mu_r - mu_f|^2 + Tr(S_r + S_f - 2 (S_r S_f)^(1/2)). Pooled features tell what is in an image; these also tell
    where, and are sensitive to spatial variability that pooling averages away. The layer belongs to the protocol:
    guided diffusion's (`sfid/adm`) is the branch `branch1x1` of `Mixed_6d` in the Inception network, its first 7
    channels at 17 x 17 places, d = 2023. Others tap elsewhere, and their numbers do not compare.

    Estimator, bias and interval: those of `fid`. With d = 2023 the bias is large below 10,000 samples. Lower is better;
    from 0 up.

    Reference: Generating Images with Sparse Representations (Nash, Menick, Dieleman and Battaglia, 2021).

    Args:
        real: features `(n, d)`, n >= 2, or their `genbench.moments.Moments`.
        fake: features `(m, d)`, m >= 2, or their moments.
        ddof: covariances are scatters over n - ddof.
    """
    r, f = pair_of(real, fake, "sfid", ddof)
    return distance(r, f, overlap(r, f).s)


METRIC = Metric(
    fn=sfid,
    axis="quality",
    better="lower",
    needs="spatial",
    interval="own",
    min_samples=40,
    range=(0.0, np.inf),
    estimate=partial(estimate, metric="sfid"),
)
