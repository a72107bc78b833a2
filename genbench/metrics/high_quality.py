"""How many samples lie close to a mode of the law.

Symbols: id_j the mode of sample j, -1 where it belongs to none; n samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import mode_ids, mode_weights
from genbench.types import Metric


def _terms(*, real: Any = None, fake: Any) -> np.ndarray:
    modes = None if real is None else len(mode_weights(real, "high_quality: real"))
    return mode_ids(fake, "high_quality: fake", modes) >= 0


def high_quality(*, real: Any = None, fake: Any) -> float:
    """The share of samples that belong to a mode.

    (1/n) sum_j 1[id_j >= 0]. The law's own rule decides who belongs; for a mixture of Gaussians in the plane it is
    three standard deviations, under which a perfect sampler scores 1 - exp(-9/2) = 0.989, not 1.

    Estimator: unbiased. Higher is better up to the law's own share; from 0 to 1.

    Reference: VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning (Srivastava, Valkov,
    Russell, Gutmann and Sutton, 2017).

    Args:
        real: the modes' weights `(K,)`, to check the numbers of the modes against; may be left out.
        fake: int `(n,)`, the mode of each sample, -1 for none.
    """
    return float(_terms(real=real, fake=fake).mean())


METRIC = Metric(
    fn=high_quality,
    axis="quality",
    better="higher",
    needs="modes",
    interval="wilson",
    min_samples=20,
    range=(0.0, 1.0),
    terms=_terms,
)
