"""Narrow kernels on the training examples: perfect samples, poor likelihood.

Symbols: x an integer image or a point, D its number of values, L the number of levels, t_1 .. t_N the training set,
q the law of the model.

Reference: A note on the evaluation of generative models (Theis, van den Oord and Bethge, 2016), section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.closed_form import Memory
from genbench.images import discretized_logistic, discretized_logistic_draw, to_signed
from genbench.types import DataSpec, Noise, Refused


@dataclass(frozen=True, kw_only=True)
class KernelConfig:
    scale: float  # s: images, of the logistic on the scale of [-1, 1]; points, in standard deviations of the data

    @classmethod
    def for_data(cls, data: DataSpec) -> KernelConfig:
        """The narrowest kernels that stay in floating-point range: nobody can tell a sample from its original.

        Images: a binary pixel, or one at an end of the range, flips with probability 1 / (1 + exp(1 / ((L-1) s))),
        here 1e-4; with 256 levels `discretized_logistic` allows no less than s = exp(-7), and 2.7% of the pixels
        move by one level. Points: 1e-5, far below the distance of neighbours in any training set that fits in memory.
        """
        if data.levels is None:
            return cls(scale=1e-5)
        return cls(scale=max(math.exp(-7.0), 1.0 / ((data.levels - 1) * math.log(9999.0))))


class NarrowKernels(Memory):
    """A narrow kernel on each training example: samples like the data, and a test likelihood far below.

    q(x) = 1/N sum_i prod_d K(x_d | t_id), with K a discretized logistic of scale s around the training pixel, or on
    points a Gaussian of standard deviation s times that of the data. Exact, by a logsumexp over the whole training set.
    """

    likelihood = "exact"
    Config = KernelConfig
    sigma: Tensor

    def __init__(self, data: DataSpec, config: KernelConfig) -> None:
        if config.scale <= 0:
            raise Refused(f"NarrowKernels: scale is {config.scale}; it must be positive")
        super().__init__(data, config)
        self.register_buffer("sigma", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        super().fit(x)
        if not self.data.is_image:
            spread = (x - x.mean(dim=0)).square().mean().sqrt()
            self.sigma.copy_(self.config.scale * torch.where(spread > 0, spread, 1.0))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        centre = self.recall(noise.uniform())
        if (levels := self.data.levels) is None:
            return centre + self.sigma * noise.normal(*self.data.shape)
        log_scale = torch.full((), math.log(self.config.scale), device=centre.device)
        uniform = noise.uniform(*self.data.shape)
        return discretized_logistic_draw(to_signed(centre, levels), log_scale, uniform, levels)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        terms = self._points(x) if self.data.levels is None else self._images(x, self.data.levels)
        total = next(terms).logsumexp(dim=1)
        for term in terms:
            total = torch.logaddexp(total, term.logsumexp(dim=1))
        return total - math.log(len(self.memory))

    def _points(self, x: Tensor) -> Iterator[Tensor]:
        """log K of each x under chunks of the training set, `(n, chunk)`."""
        constant = -self.data.dim * (torch.log(self.sigma) + 0.5 * math.log(2.0 * math.pi))
        for chunk in self.memory.split(4096):
            # Differences first: |x|^2 - 2 xt + |t|^2 would cancel all digits of a distance this small.
            distance = torch.cdist(x, chunk, compute_mode="donot_use_mm_for_euclid_dist")
            yield constant - 0.5 * (distance / self.sigma).square()

    def _images(self, x: Tensor, levels: int) -> Iterator[Tensor]:
        """The same for images: log K depends on two integers, so that a table holds all of its values.

        One matrix product for each level adds up the entries of the pixels that have it.
        """
        values = torch.arange(levels, device=x.device)
        log_scale = torch.full((), math.log(self.config.scale), device=x.device)
        table = discretized_logistic(values[:, None], to_signed(values, levels), log_scale, levels)
        has = [(x.flatten(1) == level).float() for level in range(levels)]
        for chunk in self.memory.flatten(1).split(4096):
            centre = chunk.long()
            yield sum((h @ row[centre].T for h, row in zip(has, table, strict=True)), start=torch.zeros(()))
