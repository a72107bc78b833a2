"""NADE: a product of conditionals in raster order whose hidden units are shared from pixel to pixel.

Symbols: x_1 .. x_D the values of an integer image in raster order, the channels of a pixel in turn; L the number of
levels; g the logistic function. With W_d the input weights of value d, V_d its output weights, and
phi(x) = (1, x / (L - 1)),

    p(x) = prod_d p(x_d | x_<d),    p(x_d | x_<d) = softmax(b_d + V_d h_d),
    h_d = g(a_d),    a_1 = c,    a_(d+1) = a_d + W_d phi(x_d),

so that all D conditionals cost no more than one pass over the weights. For two levels V_d has one row: the Bernoulli
of the paper.

With M > 0 further hidden layers it is the deep NADE, for which h_d is only the first of them; s(u) = u g(u):

    h1_d = s(e_d + V_d s(a_d)),    h(l+1)_d = h(l)_d + s(U_l h(l)_d + u_l),    softmax(b_d + E O h(M)_d).

e_d is all that is free to differ from place to place, next to b_d. O has few outputs, the rank; E turns them into L
logits. It starts as cosines of the level, E_xr = 2 cos(pi r x / (L - 1)) for r = 1 .. rank, so that neighbouring
levels share what is learnt: a thousand images hold too few examples of each level to learn all of them apart.

The weights are tied over translations, as in a convolution: F hidden units sit at every place of the pixel grid (and
around it), W_d touches only those in a k x k window around pixel d, and V_d reads only those; both depend on the unit
and on where it lies relative to d. The constant in phi tells a unit how much of its window has passed.

A training step evaluates, for each image, one conditional of every S in raster order, from a random offset, and
multiplies by S: an unbiased estimate of log p(x), which sees S times as many images in the same time. Neighbouring
conditionals share most of their hidden state, so that little is lost.

Deviations from the paper: the ties, because an untied machine has to learn a shape anew at each place (Uria and
others, 2016, have a convolutional NADE of another kind); that estimate; Adam for stochastic gradient descent;
categorical conditionals for more than two levels, through E (also without further layers) where the rank is below L;
in the deep machine one order of the values, the raster's, where the paper trains on all orders, its layers after the
first residual, and e_d.

References: The neural autoregressive distribution estimator (Larochelle and Murray, 2011); Neural autoregressive
distribution estimation (Uria, Côté, Gregor, Murray and Larochelle, 2016); A deep and tractable density estimator (Uria,
Murray and Larochelle, 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.images import to_unit
from genbench.noise import State, Streams, categorical, fold
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step, Unit


def _is_deep(data: DataSpec) -> bool:
    """Whether the deep machine suits the data: small images whose levels are few, and more than two."""
    return data.levels is not None and 2 < data.levels <= 32 and 4 < max(data.shape[1:]) <= 8


@dataclass(frozen=True, kw_only=True)
class NADEConfig:
    features: int = 32  # F, hidden units at each place
    window: int = 7  # k, odd
    stride: int  # S
    layers: int = 0  # M, hidden layers beyond the tied one
    width: int = 128  # units in each of them
    rank: int = 32  # numbers, at most, that E turns into the logits of more levels than that
    dropout: float = 0.0  # of the hidden units, in training
    learning_rate: float = 3e-2

    @classmethod
    def for_data(cls, data: DataSpec) -> NADEConfig:
        """Windows through which the last pixel of a small image sees the first."""
        size, stride = max(data.shape[1:], default=1), math.isqrt(data.dim)
        if size <= 4:
            return cls(window=5, stride=stride)
        if _is_deep(data):
            return cls(
                features=24, window=7, stride=max(1, stride // 2), layers=2, rank=6, dropout=0.2, learning_rate=4e-3
            )
        if size <= 8:
            return cls(window=9, stride=stride, dropout=0.5)
        return cls(stride=stride)


class NADE(Model):
    """The neural autoregressive distribution estimator with convolutional ties, exact likelihood."""

    family = "autoregressive"
    likelihood = "exact"
    Config = NADEConfig
    base: Tensor
    offset: Tensor
    seen: Tensor
    entry: Tensor

    def __init__(self, data: DataSpec, config: NADEConfig) -> None:
        super().__init__(data, config)
        if config.stride < 1 or config.window % 2 == 0:
            raise Refused(f"NADE: stride={config.stride} must be at least 1, window={config.window} odd")
        if config.layers < 0 or config.rank < 1:
            raise Refused(f"NADE: layers={config.layers} must be at least 0, rank={config.rank} at least 1")
        assert data.levels is not None
        self.levels, channels, k, width = data.levels, data.shape[0], config.window, config.width
        rank = 1 if self.levels == 2 else min(self.levels, config.rank)
        # What V_d reads goes through further layers, or is small at the start: then p(x) is about the product of b's.
        outputs, scale = (width, 1.0) if config.layers else (rank, 0.3)
        self.w = nn.Parameter(torch.randn(2, channels, k, k, config.features) * 0.3)
        self.v = nn.Parameter(
            torch.randn(k, k, config.features, channels, outputs) * scale / (k * config.features**0.5)
        )
        self.c = nn.Parameter(torch.zeros(config.features))
        self.b = nn.Parameter(torch.zeros(data.dim, 1 if self.levels == 2 else self.levels))
        self.expand = nn.Linear(rank, self.levels, bias=False) if 1 < rank < self.levels else nn.Identity()
        self.e = nn.Parameter(torch.zeros(data.dim, width)) if config.layers else None
        self.deeper = nn.ModuleList(nn.Linear(width, width) for _ in range(config.layers - 1))
        self.exit = nn.Linear(width, rank, bias=False) if config.layers else nn.Identity()
        with torch.no_grad():
            self.w[0] *= 0.3  # the constants of a whole window add up
            if config.layers and isinstance(self.expand, nn.Linear):
                angle = math.pi * torch.arange(self.levels)[:, None] / (self.levels - 1)
                self.expand.weight.copy_(2.0 * torch.cos(angle * torch.arange(1, rank + 1)))
            if isinstance(self.exit, nn.Linear):
                self.exit.weight *= 0.1
        for name, table in self._geometry().items():
            self.register_buffer(name, table, persistent=False)

    def _geometry(self) -> dict[str, Tensor]:
        """What the conditional of a value d depends on: J values around it, M = k k F hidden units around it.

        The image is padded by k - 1 at the top and on both sides. `base` `(D,)` is the place of d's pixel in the
        padded plane, `offset` `(J,)` what leads from there to each of the J values; `seen` `(D, J)` is 1 where that
        value is in the image and before d; `entry` `(J, k k)` the entry of W between a value and the units of a place,
        one past the end where the place's window does not hold the value.
        """
        (channels, height, width), k = self.data.shape, self.config.window
        reach, across = k - 1, width + 2 * (k - 1)
        plane = (height + reach) * across
        y, x, channel = (
            t.flatten()
            for t in torch.meshgrid(
                torch.arange(-reach, 1), torch.arange(-reach, reach + 1), torch.arange(channels), indexing="ij"
            )
        )
        own = (y == 0) & (x == 0)
        near = (y < 0) | (x < 0) | (own & (channel < channels - 1))
        y, x, channel, own = y[near], x[near], channel[near], own[near]
        value = torch.arange(self.data.dim)
        base = (value // channels // width + reach) * across + value // channels % width + reach
        offset = channel * plane + y * across + x
        inside = F.pad(torch.ones(self.data.shape), (reach, reach, reach, 0)).flatten()
        seen = inside[base[:, None] + offset] * (~own | (channel < (value % channels)[:, None]))
        place = torch.arange(k) - k // 2
        dy = y[:, None, None] - place[:, None] + k // 2
        dx = x[:, None, None] - place[None, :] + k // 2
        held = (dy >= 0) & (dy < k) & (dx >= 0) & (dx < k)
        entry = torch.where(held, (channel[:, None, None] * k + dy) * k + dx, channels * k * k).flatten(1)
        return {"base": base, "offset": offset, "seen": seen, "entry": entry}

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return None if data.is_image else "it models integer levels, and points have none"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        steps = 2600 if _is_deep(data) else 2000 if max(data.shape[1:]) <= 8 else 12_000
        return Recipe(steps=steps, batch_size=50, schedule="cosine", warmup=50, ema=0.998)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)}

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if step.index == 0:
            self._base_rates(batch.x)
        yield "model", -self._estimate(batch.x, step.noise.uniform()).mean()

    @torch.no_grad()
    def _base_rates(self, x: Tensor) -> None:
        """b starts at the marginals' log odds (add one, or 2 / L where levels share); dependences are left to learn."""
        values, more = self._raster(x), 2.0 / self.levels if self.config.layers else 1.0
        counts = torch.stack([more + (values == level).sum(dim=0) for level in range(self.levels)], dim=1)
        rates = torch.log(counts / counts.sum(dim=1, keepdim=True))
        self.b.copy_(rates[:, 1:] - rates[:, :1] if self.levels == 2 else rates)

    def _raster(self, x: Tensor) -> Tensor:
        """`(n, C, H, W)` to the values in their order, `(n, D)`."""
        return x.permute(0, 2, 3, 1).flatten(1)

    def _hidden(self, a: Tensor) -> Tensor:
        """h_d from a_d."""
        return F.silu(a) if self.config.layers else torch.sigmoid(a)

    def _drop(self, h: Tensor) -> Tensor:
        return F.dropout(h, self.config.dropout, self.training)

    def _logits(self, read: Tensor, d: Tensor) -> Tensor:
        """V_d h_d of the values d, int64 `(...)`, to the logits of all levels, `(..., L)`."""
        if self.e is not None:
            h = self._drop(F.silu(read + F.embedding(d, self.e)))
            for layer in self.deeper:
                h = h + self._drop(F.silu(layer(h)))
            read = self.exit(h)
        logits = self.expand(read) + F.embedding(d, self.b)
        return F.pad(logits, (1, 0)) if self.levels == 2 else logits

    def _nats(self, logits: Tensor, x: Tensor) -> Tensor:
        """log softmax at x: `(..., L)` and integers `(...)` to `(...)`."""
        return logits.gather(-1, x.long()[..., None])[..., 0] - logits.logsumexp(dim=-1)

    def _estimate(self, x: Tensor, uniform: Tensor) -> Tensor:
        """S times the sum of log p(x_d | x_<d) over d = r, r + S, r + 2S, ..., with r = floor(u S); unbiased.

        There is no running sum over values that are left out: a_d is computed from the J values near d.

        Args:
            x: integers `(n, C, H, W)`.
            uniform: u, `(n,)`.

        Returns:
            nats `(n,)`.
        """
        (channels, *_), k, stride = self.data.shape, self.config.window, self.config.stride
        r = (uniform * stride).long().clamp(max=stride - 1)
        d = r[:, None] + torch.arange(0, self.data.dim, stride, device=x.device)
        inside = d < self.data.dim
        d = d.clamp(max=self.data.dim - 1)
        padded = F.pad(to_unit(x, self.levels), (k - 1, k - 1, k - 1, 0)).flatten(1)
        near = padded.gather(1, (self.base[d][:, :, None] + self.offset).flatten(1)).reshape(*d.shape, -1)
        # Rows are looked up as embeddings: the gradient of an index adds up in an order that depends on the threads.
        rows = F.pad(self.w.flatten(1, 3), (0, 0, 0, 1)).transpose(0, 1).flatten(1)
        w = F.embedding(self.entry, rows).unflatten(-1, (2, -1)).movedim(-2, 0).flatten(2)
        constant = self.c.repeat(k * k) + self.seen @ w[0]
        a = F.embedding(d, constant) + (near * self.seen[d]) @ w[1]
        read = (self._drop(self._hidden(a)) @ self.v.flatten(0, 2).flatten(1)).unflatten(2, (channels, -1))
        own = (d % channels)[:, :, None, None].expand(-1, -1, 1, read.shape[-1])
        logits = self._logits(read.gather(2, own)[:, :, 0], d)
        chosen = self._raster(x).gather(1, d)
        return stride * torch.where(inside, self._nats(logits, chosen), 0.0).sum(dim=1)

    def _start(self, n: int) -> Tensor:
        """a_1 of all hidden units, `(n, H + k - 1, W + k - 1, F)`."""
        (_, height, width), margin = self.data.shape, self.config.window - 1
        return self.c.expand(n, height + margin, width + margin, -1).clone()

    def _window(self, a: Tensor, d: int) -> Tensor:
        """The units around value d, a view `(n, k, k, F)`."""
        (channels, _, width), k = self.data.shape, self.config.window
        row, column = divmod(d // channels, width)
        return a[:, row : row + k, column : column + k]

    def _read(self, window: Tensor, channel: int, d: Tensor) -> Tensor:
        """The logits of value d, int64 `(1,)`, of this channel from the units around it, `(n, L)`."""
        return self._logits(self._hidden(window).flatten(1) @ self.v[:, :, :, channel].flatten(0, 2), d)

    def _change(self, channel: int, x: Tensor) -> Tensor:
        """What a value of this channel adds to the units around it, `(n, k, k, F)`."""
        w = self.w[:, channel].flip(1, 2)
        return w[0] + to_unit(x, self.levels)[:, None, None, None] * w[1]

    def _conditional(self, a: Tensor, d: int) -> Tensor:
        """The logits of p(x_d | x_<d), `(n, L)`."""
        return self._read(self._window(a, d), d % self.data.shape[0], torch.tensor([d], device=a.device))

    def _absorb(self, a: Tensor, d: int, x: Tensor) -> None:
        """a_(d+1) from a_d, in place."""
        self._window(a, d).add_(self._change(d % self.data.shape[0], x))

    def draw_pixel(self, window: Tensor, pixel: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """All channels of a pixel from the units around it.

        Args:
            window: `(n, k, k, F)`.
            pixel: its number in raster order, int64 `(1,)`.
            uniform: `(n, C)`.

        Returns:
            The values, uint8 `(n, C)`, and the units around the pixel after them.
        """
        values = []
        for channel, u in enumerate(uniform.unbind(dim=1)):
            values.append(categorical(self._read(window, channel, pixel * uniform.shape[1] + channel), u))
            window = window + self._change(channel, values[-1])
        return torch.stack(values, dim=1).to(torch.uint8), window

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        a, total = self._start(x.shape[0]), torch.zeros(x.shape[0], device=x.device)
        for d, value in enumerate(self._raster(x).T):
            total = total + self._nats(self._conditional(a, d), value)
            self._absorb(a, d, value)
        return total

    @property
    def nfe(self) -> int:
        """A pixel a step."""
        return self.data.dim // self.data.shape[0]

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._drive(self.draw_pixel, noise)

    def _drive(self, call: Callable[..., tuple[Tensor, Tensor]], noise: Noise) -> Tensor:
        """The pixels in their order around any callable that draws one; the loop keeps the hidden units."""
        (channels, height, width), k = self.data.shape, self.config.window
        uniform = noise.uniform(self.data.dim).unflatten(1, (-1, channels)).transpose(0, 1)
        pixel = torch.arange(height * width, device=noise.device)[:, None]
        near = torch.arange(k, device=noise.device)
        across = width + k - 1
        places = pixel // width * across + pixel % width + (near[:, None] * across + near).flatten()

        def body(state: State, row: State, drawn: State) -> tuple[State, State]:
            (a,), (pixel, places, u) = state, row
            value, window = call(a.index_select(1, places).unflatten(1, (k, k)), pixel, u)
            window = window.flatten(1, 2)
            if torch.compiler.is_exporting():  # a graph has no memory to write into; elsewhere a copy would cost
                return (a.index_copy(1, places, window),), (value,)
            return (a.index_copy_(1, places, window.detach()),), (value,)

        start = self._start(noise.n).detach().flatten(1, 2)
        _, (values,) = fold(body, (start,), (pixel, places, uniform))
        return values.permute(1, 2, 0).unflatten(2, (height, width)).contiguous()

    def step(self) -> Unit:
        """A pixel, given the hidden units around it."""
        k = self.config.window

        def example(n: int) -> tuple[Tensor, Tensor, Tensor]:
            noise = Streams(0, range(n), self.device)
            window = noise.normal(k, k, self.config.features)
            return window, torch.zeros(1, dtype=torch.int64, device=self.device), noise.uniform(self.data.shape[0])

        return Unit(
            module=PixelStep(self),
            example=example,
            inputs=("window", "pixel", "uniform"),
            outputs=("value", "window_next"),
            drive=self._drive,
        )


class PixelStep(nn.Module):
    """`NADE.draw_pixel` as a module of its own."""

    def __init__(self, machine: NADE) -> None:
        super().__init__()
        self.machine = machine

    def forward(self, window: Tensor, pixel: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        return self.machine.draw_pixel(window, pixel, uniform)
