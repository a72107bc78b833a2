"""Every pixel by itself: the product of the marginals.

Symbols: x an integer image or a point, D its number of values, L the number of levels, N the number of training
examples, q the law of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.closed_form import ClosedForm
from genbench.noise import categorical
from genbench.types import DataSpec, Noise


@dataclass(frozen=True, kw_only=True)
class IndependentConfig:
    bins: int = 128  # of each coordinate of a point; images have their levels

    @classmethod
    def for_data(cls, data: DataSpec) -> IndependentConfig:
        return cls()


class Independent(ClosedForm):
    """Every pixel by itself: the product of the marginals.

    q(x) = prod_d q_d(x_d), with q_d(l) = (1 + N_dl) / (L + N), N_dl the training images whose pixel d is l (add one,
    so that no test image is impossible). With much data its mean -log q is the sum of the marginal entropies.
    On points q_d is a smoothed histogram: the coordinate's range in B bins, a Gaussian on the centre of each with the
    bins' width as its standard deviation, weighed in the same way.
    """

    likelihood = "exact"
    Config = IndependentConfig
    logits: Tensor
    low: Tensor
    width: Tensor

    def __init__(self, data: DataSpec, config: IndependentConfig) -> None:
        super().__init__(data, config)
        self.bins = data.levels or config.bins
        self.register_buffer("logits", torch.full((data.dim, self.bins), -math.log(self.bins)))
        if not data.is_image:
            self.register_buffer("low", torch.full((data.dim,), -3.0))
            self.register_buffer("width", torch.full((data.dim,), 6.0 / self.bins))

    def fit(self, x: Tensor) -> None:
        cell = x.flatten(1)
        if not self.data.is_image:
            self.low.copy_(x.amin(dim=0))
            extent = x.amax(dim=0) - self.low
            self.width.copy_(torch.where(extent > 0, extent, 1.0) / self.bins)
            cell = ((x - self.low) / self.width).floor().clamp(max=self.bins - 1)
        counts = torch.stack([(cell == level).sum(dim=0) for level in range(self.bins)], dim=1)
        self.logits.copy_(torch.log((1.0 + counts) / (self.bins + len(x))))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        cell = categorical(self.logits, noise.uniform(self.data.dim))
        if self.data.is_image:
            return cell.to(torch.uint8).reshape(-1, *self.data.shape)
        return self.low + self.width * (cell + 0.5 + noise.normal(self.data.dim))

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        if self.data.is_image:
            return self.logits.expand(len(x), -1, -1).gather(2, x.flatten(1).long()[:, :, None]).sum(dim=(1, 2))
        offset = ((x - self.low) / self.width)[:, :, None] - torch.arange(self.bins, device=x.device) - 0.5
        kernel = -0.5 * offset.square() - 0.5 * math.log(2.0 * math.pi) - torch.log(self.width)[:, None]
        return (self.logits + kernel).logsumexp(dim=2).sum(dim=1)
