"""NADE: a product of conditionals in raster order whose hidden units are shared from pixel to pixel.

Symbols: x_1 .. x_D the pixels of an integer image in raster order (channel by channel), L the number of levels, H the
number of hidden units, g the logistic function. With W_d the input weights of pixel d and V_d its output weights,

    p(x) = prod_d p(x_d | x_<d),    p(x_d | x_<d) = softmax(b_d + V_d h_d),
    h_d = g(a_d),    a_1 = c,    a_(d+1) = a_d + W_d phi(x_d):

all D conditionals in O(D H), because a_(d+1) differs from a_d by one pixel's share. For two levels phi(x_d) is the
pixel and V_d has one row, the Bernoulli of the paper; for more, phi(x_d) is the pixel's one-hot code.

Deviations from the paper: Adam for stochastic gradient descent; categorical conditionals for more than two
levels; beyond 32 levels phi is the pixel in [0, 1] again, and V_d h_d has 32 entries, which one matrix E that all
pixels share turns into L logits, so that V does not grow with L.

Reference: The neural autoregressive distribution estimator (Larochelle and Murray, 2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.images import to_unit
from genbench.noise import categorical
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Step

_RANK = 32  # the largest number of levels that is coded one by one


@dataclass(frozen=True, kw_only=True)
class NADEConfig:
    hidden: int = 500  # H
    learning_rate: float = 2e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> NADEConfig:
        return cls(hidden=min(500, max(32, 4 * data.dim)))


class _Scan(torch.autograd.Function):
    """V_d g(a_d) for all d: the running sum of the paper, forwards and backwards.

    Autograd would keep five tensors `(D, n, H)`, this keeps one, h; a gradient is again a running sum:
    dC/da_d = dC/da_(d+1) + (V_d' dC/do_d) h_d (1 - h_d).
    """

    @staticmethod
    def forward(ctx: Any, phi: Tensor, w: Tensor, v: Tensor, c: Tensor) -> Tensor:
        """phi `(D, n, F)`, W `(D, F, H)`, V `(D, K, H)`, c `(H,)` to `(D, n, K)`."""
        h = phi.new_empty(len(phi), phi.shape[1], len(c))
        a = c.repeat(phi.shape[1], 1)
        for d in range(len(phi)):
            torch.sigmoid(a, out=h[d])
            a.addmm_(phi[d], w[d])
        ctx.save_for_backward(phi, w, v, h)
        return h @ v.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        phi, w, v, h = ctx.saved_tensors
        grad_w, grad_v = torch.empty_like(w), torch.empty_like(v)
        grad_a = torch.zeros_like(h[0])
        for d in reversed(range(len(phi))):
            torch.mm(phi[d].T, grad_a, out=grad_w[d])
            torch.mm(grad[d].T, h[d], out=grad_v[d])
            share = torch.mm(grad[d], v[d]).mul_(h[d])
            grad_a.add_(share).addcmul_(share, h[d], value=-1.0)
        return None, grad_w, grad_v, grad_a.sum(dim=0)


class NADE(Model):
    """The neural autoregressive distribution estimator, exact likelihood."""

    family = "autoregressive"
    likelihood = "exact"
    Config = NADEConfig

    def __init__(self, data: DataSpec, config: NADEConfig) -> None:
        super().__init__(data, config)
        assert data.levels is not None
        self.levels = data.levels
        coded = 2 < self.levels <= _RANK
        features, outputs = self.levels if coded else 1, 1 if self.levels == 2 else min(self.levels, _RANK)
        scale = 1.0 / math.sqrt(config.hidden)
        self.w = nn.Parameter(torch.randn(data.dim, features, config.hidden) * scale)
        self.v = nn.Parameter(torch.randn(data.dim, outputs, config.hidden) * (0.1 * scale))
        self.c = nn.Parameter(torch.zeros(config.hidden))
        self.b = nn.Parameter(torch.zeros(data.dim, 1 if self.levels == 2 else self.levels))
        self.expand = nn.Linear(_RANK, self.levels, bias=False) if self.levels > _RANK else nn.Identity()

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return None if data.is_image else "it models integer levels, and points have none"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        return Recipe(steps=3000, batch_size=100, schedule="cosine", ema=0.999)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)}

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if step.index == 0:
            self._base_rates(batch.x)
        yield "model", -self._log_prob(batch.x).mean()

    @torch.no_grad()
    def _base_rates(self, x: Tensor) -> None:
        """b starts at the marginals' log odds (add one), which leaves only the dependences to be learnt."""
        x = x.flatten(1)
        counts = torch.stack([1.0 + (x == level).sum(dim=0) for level in range(self.levels)], dim=1)
        rates = torch.log(counts / counts.sum(dim=1, keepdim=True))
        self.b.copy_(rates[:, 1:] - rates[:, :1] if self.levels == 2 else rates)

    def _features(self, x: Tensor) -> Tensor:
        """phi(x) of integers `(...)`, `(..., F)`."""
        if self.w.shape[1] == 1:
            return to_unit(x, self.levels)[..., None]
        return F.one_hot(x.long(), self.levels).to(self.w.dtype)

    def _logits(self, output: Tensor, b: Tensor) -> Tensor:
        """V_d h_d `(..., K)` and b_d to the logits of all levels `(..., L)`."""
        logits = self.expand(output) + b
        return F.pad(logits, (1, 0)) if self.levels == 2 else logits

    def _log_prob(self, x: Tensor) -> Tensor:
        pixels = x.flatten(1).T
        output = _Scan.apply(self._features(pixels), self.w, self.v, self.c)
        logits = self._logits(output, self.b[:, None])
        chosen = logits.gather(2, pixels.long()[:, :, None])[:, :, 0]
        return (chosen - logits.logsumexp(dim=2)).sum(dim=0)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._log_prob(x)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        uniform = noise.uniform(self.data.dim)
        a, drawn = self.c.expand(noise.n, -1), []
        for d in range(self.data.dim):
            logits = self._logits(torch.sigmoid(a) @ self.v[d].T, self.b[d])
            drawn.append(categorical(logits, uniform[:, d]))
            a = a + self._features(drawn[-1]) @ self.w[d]
        return torch.stack(drawn, dim=1).to(torch.uint8).reshape(-1, *self.data.shape)
