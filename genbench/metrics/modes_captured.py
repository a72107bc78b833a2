"""How many modes of the law a model reaches.

Symbols: K modes, id_j the mode of sample j, -1 where it belongs to none (where it is not of high quality).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.metrics.arrays import mode_ids, mode_weights
from genbench.stats import Estimate, jackknife
from genbench.types import Metric


def modes_captured(*, real: Any = None, fake: Any) -> float:
    """The number of modes with at least one high-quality sample.

    #{ k : some id_j = k }.

    Estimator: grows with n; for a mode of probability q_k the expected contribution is 1 - (1 - q_k)^n, so that even
    the law itself misses rare modes: compare equal n. Higher is better; from 0 to K.

    Reference: VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning (Srivastava, Valkov,
    Russell, Gutmann and Sutton, 2017); at least one sample, as in PacGAN: The power of two samples in generative
    adversarial networks (Lin, Khetan, Fanti and Oh, 2018).

    Args:
        real: the modes' weights `(K,)`, to check the numbers of the modes against; may be left out.
        fake: int `(n,)`, the mode of each sample, -1 for none.
    """
    modes = None if real is None else len(mode_weights(real, "modes_captured: real"))
    ids = mode_ids(fake, "modes_captured: fake", modes)
    return float(len(np.unique(ids[ids >= 0])))


def _estimate(*, real: Any = None, fake: Any) -> Estimate:
    """The jackknife's interval, inside 0 and K."""
    interval = jackknife(modes_captured, real, fake, resample=("fake",))
    most = math.inf if real is None else float(len(real))
    return Estimate(value=modes_captured(real=real, fake=fake), interval=interval.clipped(0.0, most), n=len(fake))


METRIC = Metric(
    fn=modes_captured,
    axis="diversity",
    better="higher",
    needs="modes",
    interval="own",
    unit="modes",
    min_samples=40,
    range=(0.0, math.inf),
    estimate=_estimate,
)
