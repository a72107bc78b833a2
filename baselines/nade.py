"""NADE: a product of conditionals in raster order whose hidden units are shared from pixel to pixel.

Symbols: x_1 .. x_D the pixels of an integer image in raster order (channel by channel), L the number of levels, H the
number of hidden units, g the logistic function. With W_d the input weights of pixel d and V_d its output weights,

    p(x) = prod_d p(x_d | x_<d),    p(x_d | x_<d) = softmax(b_d + V_d h_d),
    h_d = g(a_d),    a_1 = c,    a_(d+1) = a_d + W_d phi(x_d):

all D conditionals in O(D H), because a_(d+1) differs from a_d by one pixel's share. For two levels phi(x_d) is the
pixel and V_d has one row, the Bernoulli of the paper; for more, phi(x_d) is the pixel's one-hot code.

A training step evaluates, for each image, one conditional of every S in raster order, from a random offset, and
multiplies by S: an unbiased estimate of log p(x) at the price of D / S hidden states instead of D. Neighbouring
conditionals share nearly all of their hidden state, so that little is lost.

Deviations from the paper: that estimate; Adam for stochastic gradient descent; categorical conditionals for more than
two levels; beyond 32 levels phi is the pixel in [0, 1] again, and V_d h_d has 32 entries, which one matrix E that all
pixels share turns into L logits, so that V does not grow with L.

Reference: The neural autoregressive distribution estimator (Larochelle and Murray, 2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.images import to_unit
from genbench.noise import categorical
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step

_RANK = 32  # the largest number of levels that is coded one by one


@dataclass(frozen=True, kw_only=True)
class NADEConfig:
    hidden: int  # H
    stride: int  # S
    learning_rate: float = 1e-2

    @classmethod
    def for_data(cls, data: DataSpec) -> NADEConfig:
        return cls(hidden=min(500, max(32, 4 * data.dim)), stride=math.isqrt(data.dim))


class NADE(Model):
    """The neural autoregressive distribution estimator, exact likelihood."""

    family = "autoregressive"
    likelihood = "exact"
    Config = NADEConfig

    def __init__(self, data: DataSpec, config: NADEConfig) -> None:
        super().__init__(data, config)
        if config.stride < 1:
            raise Refused(f"NADE: stride is {config.stride}; it must be at least 1")
        assert data.levels is not None
        self.levels = data.levels
        coded = 2 < self.levels <= _RANK
        features, outputs = self.levels if coded else 1, 1 if self.levels == 2 else min(self.levels, _RANK)
        self.w = nn.Parameter(torch.randn(data.dim, features, config.hidden) * 0.5)
        self.v = nn.Parameter(torch.randn(data.dim, outputs, config.hidden) * (0.1 / math.sqrt(config.hidden)))
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
        yield "model", -self._estimate(batch.x.flatten(1), step.noise.uniform()).mean()

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

    def _nats(self, logits: Tensor, x: Tensor) -> Tensor:
        """log softmax at x: `(..., L)` and integers `(...)` to `(...)`."""
        return logits.gather(-1, x.long()[..., None])[..., 0] - logits.logsumexp(dim=-1)

    def _estimate(self, x: Tensor, uniform: Tensor) -> Tensor:
        """S times the sum of log p(x_d | x_<d) over d = r, r + S, r + 2S, ..., with r = floor(u S); unbiased.

        The D pixels, padded, are K blocks of S: a_d is what all earlier blocks add to c, a running sum of K terms,
        and what the first r pixels of its own block add.

        Args:
            x: integers `(n, D)`.
            uniform: u, `(n,)`.

        Returns:
            nats `(n,)`.
        """
        n, dim, size = len(x), self.data.dim, self.config.stride
        blocks = -(-dim // size)
        pad = blocks * size - dim
        w = F.pad(self.w, (0, 0, 0, 0, 0, pad)).reshape(blocks, -1, self.config.hidden)
        v = F.pad(self.v, (0, 0, 0, 0, 0, pad)).reshape(blocks, -1, self.config.hidden)
        b = F.pad(self.b, (0, 0, 0, pad)).reshape(blocks, size, -1)
        r = (uniform * size).long().clamp(max=size - 1)
        place = torch.arange(size, device=x.device)
        phi = F.pad(self._features(x), (0, 0, 0, pad)).reshape(n, blocks, size, -1).transpose(0, 1)
        added = phi.flatten(2) @ w
        within = (phi * (place < r[:, None])[None, :, :, None]).flatten(2) @ w
        h = torch.sigmoid(self.c + added.cumsum(dim=0) - added + within)
        output = (h @ v.transpose(1, 2)).unflatten(2, (size, -1))
        rows = torch.arange(n, device=x.device)
        logits = self._logits(output[:, rows, r], b[:, r])
        chosen = F.pad(x, (0, pad)).reshape(n, blocks, size)[rows, :, r].T
        inside = size * torch.arange(blocks, device=x.device)[:, None] + r < dim
        return size * torch.where(inside, self._nats(logits, chosen), 0.0).sum(dim=0)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        a, total = self.c.expand(len(x), -1), torch.zeros(len(x), device=x.device)
        for d, pixel in enumerate(x.flatten(1).T):
            total = total + self._nats(self._logits(torch.sigmoid(a) @ self.v[d].T, self.b[d]), pixel)
            a = a + self._features(pixel) @ self.w[d]
        return total

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        uniform = noise.uniform(self.data.dim)
        a, drawn = self.c.expand(noise.n, -1), []
        for d in range(self.data.dim):
            logits = self._logits(torch.sigmoid(a) @ self.v[d].T, self.b[d])
            drawn.append(categorical(logits, uniform[:, d]))
            a = a + self._features(drawn[-1]) @ self.w[d]
        return torch.stack(drawn, dim=1).to(torch.uint8).reshape(-1, *self.data.shape)
