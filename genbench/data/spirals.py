"""Points along two spirals: curved, thin, connected, and still of known density.

Symbols: arm a in {0, 1}; t in [0.2, 1] the radius along an arm; the curve c_a(t) = t (cos(3 pi t + a pi),
sin(3 pi t + a pi)). Each arm is 500 Gaussians of deviation 0.03 at t_j = sqrt(0.04 + 0.96 (j + 1/2) / 500), j
= 0..499, which are about 0.01 apart, a third of their deviation: no gap can be seen, and the density is a
finite sum, exact by definition.
"""

from __future__ import annotations

import math

import torch

from genbench.data.mixtures import SIZES, GaussianMixture
from genbench.data.splits import drawn
from genbench.types import Dataset, DataSpec

PER_ARM = 500


def spirals() -> Dataset:
    """Two interleaved spirals with Gaussian noise of deviation 0.03."""
    t = torch.sqrt(0.04 + 0.96 * (torch.arange(PER_ARM, dtype=torch.float64) + 0.5) / PER_ARM)
    arm = torch.stack([t * torch.cos(3.0 * math.pi * t), t * torch.sin(3.0 * math.pi * t)], dim=1)
    law = GaussianMixture(torch.cat([arm, -arm]), sigma=0.03, mode=torch.arange(2).repeat_interleave(PER_ARM))
    return Dataset(
        name="spirals",
        spec=DataSpec(shape=(2,), levels=None, law=law),
        x=drawn("spirals", SIZES, law.sample, chunk=20_000),
        about="Two spiral arms of 1.2 turns, sigma 0.03; the arms are the modes.",
    )
