"""One Gaussian with the mean and the covariance of the training set: second moments and no more.

Symbols: x an integer image or a point, D its number of values, L the number of levels, u uniform on (0, 1), z standard
normal, q the law of the model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from baselines.closed_form import ClosedForm, Plain
from genbench.images import quantize
from genbench.types import DataSpec, Kind, Noise


class Gaussian(ClosedForm):
    """One Gaussian with the mean mu and the full covariance S of the training set: second moments and no more.

    Points: the exact density. Images: y = (x + u) / L in the unit cube, whose moments are exact (the uniform adds
    1 / (12 L^2) to each variance); the likelihood is the uniform-dequantization bound

        log q(x) >= E_u[log N((x + u) / L; mu, S)] - D log L
                  = log N(m; mu, S) - tr(S^-1) / (24 L^2) - D log L,    m = (x + 1/2) / L,

    with its expectation in closed form. Samples are quantized: what falls outside the cube is clamped.
    """

    likelihood: Kind | None = "dequantized"
    mean: Tensor
    factor: Tensor
    gap: Tensor

    def __init__(self, data: DataSpec, config: Plain) -> None:
        super().__init__(data, config)
        if not data.is_image:
            self.likelihood = "exact"
        self.register_buffer("mean", torch.full((data.dim,), 0.5 if data.is_image else 0.0))
        self.register_buffer("factor", torch.eye(data.dim))
        self.register_buffer("gap", torch.zeros(()))
        self._measure()

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        if data.dim > 8192:
            return f"it has {data.dim} values; a full covariance is kept up to 8192"
        return None

    def fit(self, x: Tensor) -> None:
        total = torch.zeros(self.data.dim, dtype=torch.float64, device=x.device)
        square = torch.zeros(self.data.dim, self.data.dim, dtype=torch.float64, device=x.device)
        for part in x.flatten(1).split(4096):
            y = self._centre(part)
            total += y.sum(dim=0)
            square += y.T @ y
        mean = total / len(x)
        covariance = square / len(x) - torch.outer(mean, mean)
        if self.data.levels is not None:
            covariance.diagonal().add_(1.0 / (12.0 * self.data.levels**2))
        # Against a coordinate that does not vary, or one that others determine.
        covariance.diagonal().add_(1e-9 * covariance.diagonal().mean() + 1e-12)
        self.mean.copy_(mean)
        self.factor.copy_(torch.linalg.cholesky(covariance))
        self._measure()

    def _centre(self, x: Tensor) -> Tensor:
        """float64 `(n, D)`: a point, or the centre m of an integer image's cell in the unit cube."""
        y = x.flatten(1).double()
        return y if self.data.levels is None else (y + 0.5) / self.data.levels

    def _measure(self) -> None:
        """gap = tr(S^-1) / (24 L^2), what the expectation over u costs; 0 on points."""
        if self.data.levels is not None:
            eye = torch.eye(self.data.dim, dtype=torch.float64, device=self.factor.device)
            inverse = torch.linalg.solve_triangular(self.factor.double(), eye, upper=False)
            self.gap.copy_(inverse.square().sum() / (24.0 * self.data.levels**2))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        y = self.mean + noise.normal(self.data.dim) @ self.factor.T
        if self.data.levels is None:
            return y
        return quantize(y, self.data.levels).reshape(-1, *self.data.shape)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        offset = self._centre(x) - self.mean.double()
        z = torch.linalg.solve_triangular(self.factor.double(), offset.T, upper=False)
        log_density = (-0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)).sum(
            dim=0
        ) - self.factor.double().diagonal().log().sum()
        return log_density - self.gap.double() - self.data.dim * math.log(self.data.levels or 1)
