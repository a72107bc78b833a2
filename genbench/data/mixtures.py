"""Points from mixtures of Gaussians: the density is known, and a model that forgets modes is seen to.

Symbols: K components with means mu_k in R^D and one standard deviation sigma; p(x) = 1/K sum_k N(x; mu_k,
sigma^2 I).

References: the ring and the grid, their constants and the count of high-quality samples: PacGAN: The power of
two samples in generative adversarial networks (Lin, Khetan, Fanti and Oh, 2018); VEEGAN: Reducing Mode
Collapse in GANs using Implicit Variational Learning (Srivastava, Valkov, Russell, Gutmann and Sutton, 2017).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.data.splits import drawn
from genbench.noise import Noise
from genbench.types import Dataset, DataSpec

SIZES = {"train": 20_000, "validation": 2_000, "test": 10_000}
WITHIN = 3.0  # standard deviations from its nearest mean within which a point belongs to a mode


class GaussianMixture:
    """The law 1/K sum_k N(mu_k, sigma^2 I).

    Args:
        means: float64 `(K, D)`.
        sigma: the components' standard deviation.
        mode: int64 `(K,)`, the mode that each component is a part of; by default each is a mode of its own.
    """

    def __init__(self, means: Tensor, sigma: float, mode: Tensor | None = None) -> None:
        self.means = means.double()
        self.sigma = sigma
        self.mode = torch.arange(len(means)) if mode is None else mode
        self.n_modes = int(self.mode.max()) + 1

    def _squared_distances(self, x: Tensor) -> Tensor:
        """|x - mu_k|^2 / sigma^2, float64 `(n, K)`, from differences: no cancellation far from the origin."""
        total = x.new_zeros(len(x), len(self.means), dtype=torch.float64)
        for column, means in zip(x.double().unbind(1), self.means.to(x.device).unbind(1), strict=True):
            total += (column[:, None] - means).square_()
        return total / self.sigma**2

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, float64 `(n,)`."""
        count, dim = self.means.shape
        constant = math.log(count) + 0.5 * dim * math.log(2.0 * math.pi * self.sigma**2)
        parts = x.split(4096)
        return torch.cat([torch.logsumexp(-0.5 * self._squared_distances(p), dim=1) for p in parts]) - constant

    def sample(self, noise: Noise) -> Tensor:
        """Points float32 `(n, D)`: a uniform component, then normal noise."""
        count, dim = self.means.shape
        component = (noise.uniform() * count).long()
        return self.means.float().to(noise.device)[component] + self.sigma * noise.normal(dim)

    def modes(self, x: Tensor) -> Tensor:
        """The nearest mean's mode, int64 `(n,)`; -1 beyond 3 sigma of it.

        In the plane a point of the law lies within 3 sigma of its own mean with probability 1 - exp(-9/2) = 98.9%.
        """
        found = []
        for part in x.split(4096):
            squared, component = self._squared_distances(part).min(dim=1)
            # written so that a point that is not a number belongs to no mode
            found.append(torch.where(squared <= WITHIN**2, self.mode.to(x.device)[component], -1))
        return torch.cat(found)


def _dataset(name: str, law: GaussianMixture, about: str) -> Dataset:
    return Dataset(
        name=name,
        spec=DataSpec(shape=(law.means.shape[1],), levels=None, law=law),
        x=drawn(name, SIZES, law.sample, chunk=20_000),
        about=about,
    )


def ring8() -> Dataset:
    """Eight Gaussians of deviation 0.01 on the unit circle."""
    angle = torch.arange(8, dtype=torch.float64) * (2.0 * math.pi / 8)
    law = GaussianMixture(torch.stack([angle.cos(), angle.sin()], dim=1), sigma=0.01)
    return _dataset("ring8", law, "Eight Gaussians, sigma 0.01, on the circle of radius 1.")


def grid25() -> Dataset:
    """Twenty-five Gaussians of deviation 0.05 on a 5x5 grid."""
    axis = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0], dtype=torch.float64)
    law = GaussianMixture(torch.cartesian_prod(axis, axis), sigma=0.05)
    return _dataset("grid25", law, "Twenty-five Gaussians, sigma 0.05, on {-4, -2, 0, 2, 4} squared.")
