"""RealNVP: an invertible map of the data to a standard normal law, made of affine couplings.

Symbols (Dinh and others): x the data, D its dimension, z = f(x) with z ~ N(0, I), b a mask of zeros and ones, s and t
the scale and the translation, both outputs of one network; L the number of levels, u uniform in (0, 1)^D.

    coupling:   y = b x + (1 - b) (x exp(s(b x)) + t(b x)),      log |det dy/dx| = sum (1 - b) s(b x)
    density:    log q(x) = log N(f(x); 0, I) + log |det df/dx|

Points have an exact density, and couplings whose map of a coordinate x is a mixture of K affine ones, with weights p_k,
places m_k and widths w_k from the network, sigma the logistic function and logit its inverse:

    coupling:   y = logit sum_k p_k sigma((x - m_k) / w_k)              (K = 1: y = (x - m) / w, the paper's)

Images are integers: y = (x + u) / L lies in the unit cube, and the flow sees
logit(alpha + (1 - 2 alpha) y). With q_Y the density of y, Jacobians of logit and scaling included, and M draws of u,

    log P(x) = log E_u q_Y(y) - D log L >= E log 1/M sum_m q_Y(y_m) - D log L       (M = 1: the paper's bound)

A sample is f^-1(z), for images rounded down to its level. The flow reaches a little beyond the cube (alpha > 0); what
lies there is clamped to the outermost levels, so that the law of the samples is nowhere below the law that is bounded.

Reference: Density estimation using Real NVP (Dinh, Sohl-Dickstein and Bengio, 2017). The mixtures: Flow++: Improving
Flow-Based Generative Models with Variational Dequantization and Architecture Design (Ho, Chen, Srinivas, Duan and
Abbeel, 2019).

Deviations: no batch normalization, whose density of one image depends on the others: the data are standardized once,
and the networks have group normalization or none; s is bounded smoothly, c tanh(s / c). For points, mixtures, since
affine maps cannot pull narrow modes far apart out of one, and networks with one hidden layer of ramps of all widths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.nets import ResBlock, Standardize
from genbench import images
from genbench.noise import fold
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step

HALVINGS = 40  # of the interval that a mixture's inverse lies in: to the last place in single precision


@dataclass(frozen=True, kw_only=True)
class RealNVPConfig:
    """Sizes of the couplings, and how integers and narrow modes are treated."""

    couplings: int = 4  # of each kind and scale (images), in all (points)
    width: int = 32  # channels of a coupling's convolutions
    blocks: int = 1  # residual blocks of a coupling
    hidden: int = 64  # of a coupling's perceptron (points)
    components: int = 24  # K of a coupling (points)
    bound: float = 2.0  # c, of |s| (images)
    steepest: float = 20.0  # slope of the steepest ramp in a perceptron
    alpha: float = 0.05
    dequantization_samples: int = 1  # M
    learning_rate: float = 1e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> RealNVPConfig:
        if not data.is_image:
            return cls(learning_rate=5e-3)
        if data.dim <= 1024:
            return cls()
        return cls(width=64, blocks=4)


class Bijection(nn.Module):
    """An invertible map that knows its log-determinant."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y and log |det dy/dx|, `(n, ...)` and `(n,)`."""
        raise NotImplementedError

    def inverse(self, y: Tensor) -> Tensor:
        """x."""
        raise NotImplementedError


class Chain(Bijection):
    """Invertible maps, one after the other."""

    def __init__(self, links: Sequence[Bijection]) -> None:
        super().__init__()
        self.links = nn.ModuleList(links)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(x.shape[0])
        for link in self.links:
            x, change = link(x)
            log_det = log_det + change
        return x, log_det

    def inverse(self, y: Tensor) -> Tensor:
        for link in reversed(cast("list[Bijection]", list(self.links))):
            y = link.inverse(y)
        return y


class Coupling(Bijection):
    """What the mask keeps steers an affine map of the rest; a new one is the identity.

    Args:
        mask: b, of the shape of one x.
        net: b x, `(n, *shape)`, to s and t, `(n, 2 * shape[0], *shape[1:])`.
        bound: c.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, net: nn.Module, bound: float) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.net, self.bound = net, bound

    def _scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.net(kept).chunk(2, dim=1)
        rest = 1.0 - self.mask
        return rest * self.bound * torch.tanh(s / self.bound), rest * t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self._scale_and_shift(self.mask * x)
        return x * torch.exp(s) + t, s.flatten(1).sum(dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        s, t = self._scale_and_shift(self.mask * y)
        return (y - t) * torch.exp(-s)


class Mixture(Bijection):
    """What the mask keeps steers a monotone map of the rest, the logit of a mixture of logistic distributions.

    Args:
        mask: b, `(D,)`.
        net: b x, `(n, D)`, to log p, m and log w, `(n, 3 K D)`.
        components: K.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, net: nn.Module, components: int) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.net, self.components = net, components

    def _parts(self, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p, m and log w, each `(n, K, D)`."""
        found = self.net(kept).unflatten(1, (3, self.components, -1))
        return F.log_softmax(found[:, 0], dim=1), found[:, 1], found[:, 2].clamp(-8.0, 4.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_p, place, log_width = self._parts(self.mask * x)
        z = (x[:, None] - place) * torch.exp(-log_width)
        below, above = F.logsigmoid(z), F.logsigmoid(-z)
        log_below = torch.logsumexp(log_p + below, dim=1)
        log_above = torch.logsumexp(log_p + above, dim=1)
        log_slope = torch.logsumexp(log_p + below + above - log_width, dim=1) - log_below - log_above
        rest = 1.0 - self.mask
        return self.mask * x + rest * (log_below - log_above), (rest * log_slope).sum(dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """By halving the interval between the least and the largest of the components' own inverses."""
        log_p, place, log_width = self._parts(self.mask * y)
        narrow = torch.exp(-log_width)
        ends = place + y[:, None] / narrow

        def halve(state: tuple[Tensor, ...], row: tuple[Tensor, ...], drawn: tuple[Tensor, ...]) -> Any:
            low, high = state
            middle = 0.5 * (low + high)
            z = (middle[:, None] - place) * narrow
            reached = torch.logsumexp(log_p + F.logsigmoid(z), dim=1) - torch.logsumexp(log_p + F.logsigmoid(-z), dim=1)
            return (torch.where(reached < y, middle, low), torch.where(reached < y, high, middle)), ()

        (low, high), _ = fold(halve, (ends.amin(dim=1), ends.amax(dim=1)), (torch.arange(HALVINGS),))
        return self.mask * y + (1.0 - self.mask) * 0.5 * (low + high)


class Squeeze(Bijection):
    """Space to channels: `(n, C, H, W)` to `(n, 4 C, H/2, W/2)`."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        return F.pixel_shuffle(y, 2)


class Perceptron(nn.Sequential):
    """A hidden layer of clipped ramps: all places in the data, slopes from 1 to `steepest`; `(n, D)` to `(n, 3 K D)`.

    At first its outputs are those of K components with equal weights, side by side over the data, whatever it is given.
    """

    def __init__(self, dim: int, hidden: int, steepest: float, components: int) -> None:
        ramps, exit_ = nn.Linear(dim, hidden), _zero(nn.Linear(hidden, 3 * components * dim))
        with torch.no_grad():
            slope = torch.exp(torch.empty(hidden).uniform_(0.0, math.log(steepest)))
            direction = torch.where(torch.rand(hidden, dim) < 0.5, -1.0, 1.0) / math.sqrt(max(1, dim // 2))
            ramps.weight.copy_(slope[:, None] * direction)
            ramps.bias.copy_(slope * torch.empty(hidden).uniform_(-2.5, 2.5))
            _, place, log_width = cast(Tensor, exit_.bias).unflatten(0, (3, components, dim))
            if components > 1:
                place.copy_(torch.linspace(-2.0, 2.0, components)[:, None])
                log_width.fill_(-math.log(components) / 1.4)
        super().__init__(ramps, nn.Hardtanh(), exit_)


class Convolutions(nn.Module):
    """A small residual network that knows the place of each pixel; `(n, C, H, W)` to `(n, 2 C, H, W)`."""

    def __init__(self, shape: Sequence[int], width: int, blocks: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(shape[0], width, 3, padding=1)
        self.place = nn.Parameter(0.1 * torch.randn(width, *shape[1:]))
        self.blocks = nn.Sequential(*(ResBlock(width) for _ in range(blocks)))
        self.exit = _zero(nn.Conv2d(width, 2 * shape[0], 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.exit(F.silu(self.blocks(self.entry(x) + self.place)))


def _zero(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def checkerboard(shape: Sequence[int]) -> Tensor:
    """1 where row plus column is even; a one-pixel image alternates its channels instead."""
    channels, height, width = shape
    row, column = torch.arange(height)[:, None], torch.arange(width)
    parity = (row + column).expand(channels, height, width)
    if height * width == 1:
        parity = torch.arange(channels)[:, None, None]
    return (parity % 2 == 0).float()


def halves(shape: Sequence[int]) -> Tensor:
    """1 on the first half of the channels."""
    return (torch.arange(shape[0]) < shape[0] // 2).float()[:, None, None].expand(*shape)


class RealNVP(Model):
    """Couplings: affine and multi-scale for images (dequantized bound), mixtures for points (exact density)."""

    family = "flow"
    Config = RealNVPConfig

    def __init__(self, data: DataSpec, config: RealNVPConfig) -> None:
        super().__init__(data, config)
        if config.dequantization_samples < 1:
            raise Refused(f"dequantization_samples is {config.dequantization_samples}; it must be at least 1")
        if config.components < 1:
            raise Refused(f"components is {config.components}; it must be at least 1")
        self.likelihood = "dequantized" if data.is_image else "exact"
        self.standardize = Standardize(data.shape, per_coordinate=data.is_image)
        shape = list(data.shape)
        if not data.is_image:
            self.stages = nn.ModuleList([self._plain(shape[0])])
            self.shapes = [tuple(shape)]
            return
        # All scales but the last give half of their channels away, after a squeeze; shapes are those at their ends.
        stages, self.shapes = [], []
        while all(side % 2 == 0 and side > 4 for side in shape[1:]):
            layers = self._masked(checkerboard(shape))
            shape = [4 * shape[0], shape[1] // 2, shape[2] // 2]
            stages.append(Chain([*layers, Squeeze(), *self._masked(halves(shape))]))
            self.shapes.append(tuple(shape))
            shape[0] //= 2
        stages.append(Chain(self._masked(checkerboard(shape))))
        self.shapes.append(tuple(shape))
        self.stages = nn.ModuleList(stages)

    def _plain(self, dim: int) -> Chain:
        config, mask = self.config, (torch.arange(dim) < dim // 2).float()
        return Chain(
            [
                Mixture(
                    1.0 - mask if i % 2 else mask,
                    Perceptron(dim, config.hidden, config.steepest, config.components),
                    config.components,
                )
                for i in range(config.couplings)
            ]
        )

    def _masked(self, mask: Tensor) -> Sequence[Bijection]:
        """Couplings whose masks alternate between b and 1 - b."""
        config = self.config
        return [
            Coupling(1.0 - mask if i % 2 else mask, Convolutions(mask.shape, config.width, config.blocks), config.bound)
            for i in range(config.couplings)
        ]

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return None if data.dim > 1 else "a coupling needs at least two values, one to steer the other"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if not data.is_image:
            return Recipe(steps=3000, batch_size=512, ema=0.99, clip=1.0, warmup=50, schedule="cosine")
        if data.dim <= 64:
            return Recipe(steps=1000, batch_size=64, ema=0.995, clip=100.0, warmup=100, schedule="cosine")
        return Recipe(steps=600, batch_size=64, ema=0.995, clip=100.0, warmup=100, schedule="cosine")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"flow": torch.optim.Adam(self.parameters(), lr=self.config.learning_rate, fused=True)}

    def flow(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f: data as reals (logits of images, points) `(n, *shape)` to z `(n, D)` and log |det df/dx| `(n,)`."""
        h = self.standardize(x)
        log_det = self.standardize.log_det.expand(x.shape[0])
        found = []
        for number, stage in enumerate(self.stages):
            h, change = stage(h)
            log_det = log_det + change
            if number < len(self.stages) - 1:
                out, h = h.chunk(2, dim=1)
                found.append(out.flatten(1))
        return torch.cat([*found, h.flatten(1)], dim=1), log_det

    def inverse(self, z: Tensor) -> Tensor:
        """f^-1: z `(n, D)` to data as reals `(n, *shape)`."""
        sizes = [math.prod(shape) // 2 for shape in self.shapes[:-1]] + [math.prod(self.shapes[-1])]
        parts = z.split(sizes, dim=1)
        h = parts[-1].reshape(-1, *self.shapes[-1])
        for number in reversed(range(len(self.stages))):
            if number < len(self.stages) - 1:
                channels, *size = self.shapes[number]
                h = torch.cat([parts[number].reshape(-1, channels // 2, *size), h], dim=1)
            h = cast(Bijection, self.stages[number]).inverse(h)
        return self.standardize.inverse(h)

    def log_density(self, x: Tensor) -> Tensor:
        """log q of data as reals, `(n,)`."""
        z, log_det = self.flow(x)
        return log_det - 0.5 * z.square().sum(dim=1) - 0.5 * self.data.dim * math.log(2.0 * math.pi)

    def logits(self, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Integers to logit(alpha + (1 - 2 alpha) y), y = (x + u) / L, and the log-determinant from x + u to there."""
        levels, alpha = self.data.levels, self.config.alpha
        assert levels is not None
        v = alpha + (1.0 - 2.0 * alpha) * images.dequantize(x, uniform, levels)
        terms = math.log((1.0 - 2.0 * alpha) / levels) - torch.log(v) - torch.log1p(-v)
        return torch.logit(v), terms.flatten(1).sum(dim=1)

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if self.data.is_image:
            x, log_det = self.logits(batch.x, step.noise.uniform(*self.data.shape))
        else:
            x, log_det = batch.x, torch.zeros((), device=batch.x.device)
        if step.index == 0:
            self.standardize.observe(x)
        yield "flow", -(self.log_density(x) + log_det).mean()

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        x = self.inverse(noise.normal(self.data.dim))
        if self.data.levels is None:
            return x
        alpha = self.config.alpha
        return images.quantize((torch.sigmoid(x) - alpha) / (1.0 - 2.0 * alpha), self.data.levels)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """Points: the log density. Images: the bound with M draws of u, in nats of the integer image."""
        self.refuse_labels(labels)
        if not self.data.is_image:
            return self.log_density(x)
        count = self.config.dequantization_samples
        found = []
        for uniform in noise.uniform(count, *self.data.shape).unbind(1):
            y, log_det = self.logits(x, uniform)
            found.append(self.log_density(y) + log_det)
        return torch.logsumexp(torch.stack(found), dim=0) - math.log(count)
