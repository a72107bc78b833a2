"""Vector-quantised variational autoencoder: images become a small grid of codes, and a learned prior draws such grids.

Symbols (van den Oord and others): x the image, z_e(x) the encoder's output, `(n, S, D)` on a grid of S positions,
e_1 .. e_K in R^D the codebook, z(x) the codes: at each position the k whose e_k lies nearest to z_e(x), z_q(x) their
e_k, p(x|z) the decoder, p(z) the prior over codes, sg the stop-gradient, beta the weight of the commitment.

    tokenizer:  -log p(x|z_q(x)) + |sg[z_e(x)] - e|^2 + beta |z_e(x) - sg[e]|^2
    prior:      -log p(z) = -sum_s log p(z_s | z_1 .. z_{s-1}),   z = z(x),   the tokenizer fixed

The likelihood is a lower bound, since all terms of p(x) = sum_z p(z) p(x|z) are non-negative and z(x) is one of them:

    log p(x) >= log p(z(x)) + log p(x|z(x)),

which is the ELBO of the deterministic posterior q(z|x) = 1[z = z(x)], whose entropy is zero. It is no estimate: it uses
no noise. The decoder is a normalised law of the integer image: Bernoulli for two levels, for more a logistic law
rounded to the levels, its mean and scale the decoder's outputs.

Reference: Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017).

Deviations: the prior is a small causal transformer (there a PixelCNN); the codebook starts from encoder outputs, and
codes that hardly any image uses start anew from there (as in Jukebox: A generative model for music, Dhariwal, Jun,
Payne, Kim, Radford and Sutskever, 2020); group normalization in the residual blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.nets import ResBlock
from genbench import images
from genbench.noise import State, Streams, categorical, fold
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step, Unit

Drawn = tuple[Tensor, Tensor, Tensor]  # codes, and the keys and values of the position they were drawn at


@dataclass(frozen=True, kw_only=True)
class VQVAEConfig:
    """Sizes of the tokenizer and of the prior, and how the training is divided between them."""

    codes: int = 128  # K
    code_dim: int = 16  # D
    width: int = 64  # channels of the convolutions
    blocks: int = 2
    halvings: int = 2  # at most; fewer where a side of the grid would be odd or below `smallest`
    smallest: int = 4  # side of the grid
    commitment: float = 0.25  # beta
    restart_every: int = 100  # steps
    restart_below: float = 0.03  # of its fair share of the uses: then a code starts anew
    tokenizer_share: float = 0.5  # of the steps
    prior_width: int = 96
    prior_depth: int = 3
    prior_heads: int = 4
    prior_dropout: float = 0.0
    learning_rate: float = 1e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> VQVAEConfig:
        if data.dim <= 16:
            return cls(codes=8, code_dim=4, width=32, blocks=1, restart_every=20, prior_width=64, learning_rate=5e-3)
        if data.dim <= 64:
            # A quadrant for a code: a few hundred images teach the prior what goes with what only for few positions.
            return cls(codes=64, width=32, blocks=1, smallest=2, prior_width=64, prior_depth=2, prior_dropout=0.3)
        if data.dim <= 1024:
            return cls()
        return cls(codes=512, code_dim=64, width=128, prior_width=256, prior_depth=6)


def straight_through(z_e: Tensor, e: Tensor) -> Tensor:
    """Forward e, backward the identity to z_e."""
    return z_e + (e - z_e).detach()


class Encoder(nn.Sequential):
    """Images `(n, C, H, W)` to z_e on the grid, `(n, D, h, w)`."""

    def __init__(self, channels: int, halvings: int, config: VQVAEConfig) -> None:
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [nn.Conv2d(channels, config.width, 4, stride=2, padding=1), nn.SiLU()]
            channels = config.width
        layers += [nn.Conv2d(channels, config.width, 3, padding=1)]
        layers += [ResBlock(config.width) for _ in range(config.blocks)]
        super().__init__(*layers, nn.SiLU(), nn.Conv2d(config.width, config.code_dim, 1))


class Decoder(nn.Sequential):
    """z_q on the grid, `(n, D, h, w)`, to the parameters of p(x|z), `(n, outputs, H, W)`."""

    def __init__(self, outputs: int, halvings: int, config: VQVAEConfig) -> None:
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(config.code_dim, width, 3, padding=1)]
        layers += [ResBlock(width) for _ in range(config.blocks)]
        for _ in range(halvings):
            layers += [nn.SiLU(), nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)]
        super().__init__(*layers, nn.SiLU(), nn.Conv2d(width, outputs, 3, padding=1))


class Block(nn.Module):
    """Causal self-attention and a perceptron, both residual after layer normalization."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        # No bias: softmax does not see one that all keys share.
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        """`(n, s, width)` to the same."""
        q, k, v = self.qkv(self.norm1(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._after(h, seen.transpose(1, 2).flatten(2))

    def _after(self, h: Tensor, seen: Tensor) -> Tensor:
        h = h + self.dropout(self.out(seen))
        return h + self.dropout(self.mlp(self.norm2(h)))

    def at_a_position(self, h: Tensor, keys: Tensor, values: Tensor, earlier: Tensor) -> Drawn:
        """The same for one position, `(n, width)`, given keys and values of all.

        Args:
            keys, values: `(n, heads, S, d)`.
            earlier: boolean `(S,)`, the positions before this one; what stands at the others does not matter.

        Returns:
            h, and the position's own key and value, `(n, heads, d)`.
        """
        q, k, v = self.qkv(self.norm1(h)).unflatten(1, (3, self.heads, -1)).unbind(1)
        others = (keys @ q[..., None])[..., 0].masked_fill(~earlier, -torch.inf)
        scores = torch.cat([others, (q * k).sum(dim=2, keepdim=True)], dim=2)
        weights = torch.softmax(scores * q.shape[2] ** -0.5, dim=2)
        seen = (weights[:, :, None, :-1] @ values)[:, :, 0] + weights[:, :, -1:] * v
        return self._after(h, seen.flatten(1)), k, v


class Prior(nn.Module):
    """p(z) over sequences of S codes: a causal transformer, position s sees the codes before it."""

    def __init__(self, positions: int, config: VQVAEConfig) -> None:
        super().__init__()
        width, self.codes, self.heads = config.prior_width, config.codes, config.prior_heads
        self.embedding = nn.Embedding(config.codes + 1, width)  # the last one stands for the start
        self.place = nn.Parameter(0.02 * torch.randn(positions, width))
        self.dropout = nn.Dropout(config.prior_dropout)
        self.blocks = nn.ModuleList(
            Block(width, config.prior_heads, config.prior_dropout) for _ in range(config.prior_depth)
        )
        self.norm, self.exit = nn.LayerNorm(width), nn.Linear(width, config.codes)

    def forward(self, z: Tensor) -> Tensor:
        """Codes `(n, S)` to the logits of each given those before it, `(n, S, K)`."""
        before = F.pad(z, (1, 0), value=self.codes)[:, :-1]
        h = self.dropout(self.embedding(before) + self.place)
        for block in self.blocks:
            h = block(h)
        return self.exit(self.norm(h))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of codes `(n, S)`, `(n,)`."""
        return torch.log_softmax(self(z), dim=2).gather(2, z[..., None])[..., 0].sum(dim=1)

    def draw(self, code: Tensor, position: Tensor, uniform: Tensor, keys: Tensor, values: Tensor) -> Drawn:
        """The code at a position.

        Args:
            code: the one before it, `(n,)`.
            position: int64 `(1,)`.
            uniform: `(n,)`.
            keys, values: of B blocks at all positions, those before this one filled in, `(n, B, heads, S, d)`.

        Returns:
            The code, `(n,)`, and this position's keys and values, `(n, B, heads, d)`.
        """
        earlier = torch.arange(keys.shape[3], device=keys.device) < position
        h = self.embedding(code) + self.place.index_select(0, position)
        own = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            h, key, value = block.at_a_position(h, keys[:, i], values[:, i], earlier)
            own.append((key, value))
        code = categorical(self.exit(self.norm(h)), uniform)
        return code, torch.stack([key for key, _ in own], dim=1), torch.stack([value for _, value in own], dim=1)

    def cache(self, n: int) -> Tensor:
        """Room for the keys, or the values, of all blocks at all positions, `(n, B, heads, S, d)`."""
        (positions, width), heads = self.place.shape, self.heads
        return self.place.new_zeros(n, len(self.blocks), heads, positions, width // heads)

    def sample(self, uniform: Tensor, draw: Callable[..., Drawn] | None = None) -> Tensor:
        """Codes `(n, S)` from uniforms `(n, S)`, one position after the other, with keys and values kept.

        Args:
            draw: a callable that computes what `draw` does.
        """
        one = draw or self.draw

        def body(state: State, row: State, drawn: State) -> tuple[State, State]:
            (code, keys, values), (position, u) = state, row
            code, key, value = one(code, position, u, keys, values)
            key, value = key.detach()[:, :, :, None], value.detach()[:, :, :, None]
            if torch.compiler.is_exporting():  # a graph has no memory to write into; elsewhere a copy would cost
                return (code, keys.index_copy(3, position, key), values.index_copy(3, position, value)), (code,)
            return (code, keys.index_copy_(3, position, key), values.index_copy_(3, position, value)), (code,)

        code = torch.full_like(uniform[:, 0], self.codes, dtype=torch.int64)
        positions = torch.arange(len(self.place), device=uniform.device)[:, None]
        n = uniform.shape[0]  # `len` would fix the batch of an exported graph
        state = (code, self.cache(n), self.cache(n))
        _, (codes,) = fold(body, state, (positions, uniform.T))
        return codes.T


class PriorStep(nn.Module):
    """`Prior.draw` as a module of its own."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, code: Tensor, position: Tensor, uniform: Tensor, keys: Tensor, values: Tensor) -> Drawn:
        return self.prior.draw(code, position, uniform, keys, values)


class VQVAE(Model):
    """A discrete autoencoder and an autoregressive prior over its codes; trained one after the other."""

    family = "variational"
    likelihood = "elbo"
    Config = VQVAEConfig
    capabilities = frozenset({"encode", "reconstruct"})
    counts: Tensor

    def __init__(self, data: DataSpec, config: VQVAEConfig) -> None:
        super().__init__(data, config)
        if not 0.0 < config.tokenizer_share < 1.0:
            raise Refused(f"tokenizer_share is {config.tokenizer_share}; it must lie between 0 and 1")
        channels, height, width = data.shape
        halvings = 0
        least = 2 * config.smallest
        while halvings < config.halvings and all(side % 2 == 0 and side >= least for side in (height, width)):
            height, width, halvings = height // 2, width // 2, halvings + 1
        assert data.levels is not None
        self.grid = (height, width)
        self.encoder = Encoder(channels, halvings, config)
        self.decoder = Decoder(channels if data.levels == 2 else 2 * channels, halvings, config)
        self.codebook = nn.Parameter(torch.randn(config.codes, config.code_dim))
        self.prior = Prior(height * width, config)
        # Uses of each code since the last restart; in the second phase since its beginning.
        self.register_buffer("counts", torch.zeros(config.codes, dtype=torch.int64))

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return None if data.is_image else "its codes stand on the grid of an image"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if data.dim <= 64:
            return Recipe(steps=2000, batch_size=64, ema=0.99, clip=100.0, warmup=50, schedule="cosine")
        return Recipe(steps=8000, batch_size=64, clip=100.0, warmup=100, schedule="cosine")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.config.learning_rate
        tokenizer = [*self.encoder.parameters(), *self.decoder.parameters(), self.codebook]
        return {
            "tokenizer": torch.optim.Adam(tokenizer, lr=rate),
            "prior": torch.optim.AdamW(self.prior.parameters(), lr=2.0 * rate, weight_decay=0.01),
        }

    def _z_e(self, x: Tensor) -> Tensor:
        """`(n, S, D)`."""
        assert self.data.levels is not None
        return self.encoder(images.to_signed(x, self.data.levels)).flatten(2).transpose(1, 2)

    def nearest(self, z_e: Tensor) -> Tensor:
        """The index of the nearest code, `(n, S)`: the least |e_k|^2 - 2 <z_e, e_k>."""
        return (self.codebook.square().sum(dim=1) - 2.0 * z_e @ self.codebook.T).argmin(dim=2)

    def _decode(self, z_q: Tensor) -> Tensor:
        """`(n, S, D)` to the parameters of p(x|z)."""
        return self.decoder(z_q.transpose(1, 2).unflatten(2, self.grid))

    def observation(self, x: Tensor, z_q: Tensor) -> Tensor:
        """log p(x|z) in nats, `(n,)`."""
        parameters, levels = self._decode(z_q), self.data.levels
        assert levels is not None
        if levels == 2:
            terms = F.logsigmoid(torch.where(x > 0, parameters, -parameters))
        else:
            mean, log_scale = parameters.chunk(2, dim=1)
            terms = images.discretized_logistic(x, mean, log_scale, levels)
        return terms.flatten(1).sum(dim=1)

    def tokenizer_losses(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reconstruction, codebook loss and commitment (without beta), means over the batch, and the codes `(n, S)`."""
        z_e = self._z_e(x)
        z = self.nearest(z_e)
        e = self.codebook[z]
        reconstruction = -self.observation(x, straight_through(z_e, e)).mean()
        codebook = (z_e.detach() - e).square().sum(dim=(1, 2)).mean()
        commitment = (z_e - e.detach()).square().sum(dim=(1, 2)).mean()
        return reconstruction, codebook, commitment, z

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        switch = max(1, round(self.config.tokenizer_share * step.total))
        if step.index < switch:
            # The last restarts leave the codes a fifth of the phase to settle.
            if step.index % self.config.restart_every == 0 and step.index <= 0.8 * switch:
                self._restart(batch.x, step.noise.uniform(self.prior.place.shape[0]))
            reconstruction, codebook, commitment, z = self.tokenizer_losses(batch.x)
            self.log(reconstruction=reconstruction, codebook=codebook, commitment=commitment)
            self._count(z)
            yield "tokenizer", reconstruction + codebook + self.config.commitment * commitment
            return
        if step.index == switch:
            self.counts.zero_()
        with torch.no_grad():
            z = self.encode(batch.x).flatten(1)
        self._count(z)
        yield "prior", -self.prior.log_prob(z).mean()

    def _count(self, z: Tensor) -> None:
        self.counts += torch.bincount(z.flatten(), minlength=self.config.codes)

    @torch.no_grad()
    def _restart(self, x: Tensor, order: Tensor) -> None:
        """Moves codes with few uses since the last restart to random encoder outputs: those that come first in `order`.

        The first call moves all of them, since none has been used.
        """
        outputs = self._z_e(x).flatten(0, 1)[order.flatten().argsort()]
        outputs = outputs[torch.arange(self.config.codes, device=x.device) % len(outputs)]
        dead = self.counts <= self.config.restart_below * self.counts.sum() / self.config.codes
        self.codebook.copy_(torch.where(dead[:, None], outputs, self.codebook))
        self.counts.zero_()

    @property
    def nfe(self) -> int:
        """Codes drawn; the decoder, which runs once, is not among them."""
        return len(self.prior.place)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._drive(self.prior.draw, noise)

    def step(self) -> Unit:
        """A position of the prior, given keys and values of those before it."""

        def example(n: int) -> tuple[Tensor, ...]:
            noise, last = Streams(0, range(n), self.device), len(self.prior.place) - 1
            code = torch.zeros(n, dtype=torch.int64, device=self.device)
            keys, values = (noise.normal(*self.prior.cache(1).shape[1:]) for _ in range(2))
            return code, torch.full((1,), last, device=self.device), noise.uniform(), keys, values

        return Unit(
            module=PriorStep(self.prior),
            example=example,
            inputs=("code", "position", "uniform", "keys", "values"),
            outputs=("code_next", "key", "value"),
            drive=self._drive,
        )

    def _drive(self, call: Callable[..., Drawn], noise: Noise) -> Tensor:
        """Codes from any callable that draws one, then the decoder."""
        levels = self.data.levels
        assert levels is not None
        z = self.prior.sample(noise.uniform(self.prior.place.shape[0]), call)
        parameters, uniform = self._decode(self.codebook[z]), noise.uniform(*self.data.shape)
        if levels == 2:
            return (uniform < torch.sigmoid(parameters)).to(torch.uint8)
        mean, log_scale = parameters.chunk(2, dim=1)
        return images.discretized_logistic_draw(mean, log_scale, uniform, levels)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """log p(z(x)) + log p(x|z(x)), a lower bound of log p(x) without any noise."""
        self.refuse_labels(labels)
        z = self.encode(x).flatten(1)
        return self.prior.log_prob(z) + self.observation(x, self.codebook[z])

    def encode(self, x: Tensor) -> Tensor:
        """The codes of images, int64 `(n, h, w)`."""
        return self.nearest(self._z_e(x)).unflatten(1, self.grid)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoder's most probable image (for more levels than two: the rounded mean) given the codes of x."""
        parameters, levels = self._decode(self.codebook[self.encode(x).flatten(1)]), self.data.levels
        assert levels is not None
        if levels == 2:
            return (parameters > 0).to(torch.uint8)
        return images.from_signed(parameters.chunk(2, dim=1)[0], levels)

    def report(self) -> dict[str, float]:
        """Codebook use since the last restart or the begin of the prior's phase, over the training images.

        `codebook_used`: the share of codes used at all. `codebook_perplexity`: exp of the entropy of their frequencies,
        K when all are used alike.
        """
        if not self.counts.any():
            return {}
        frequency = self.counts.double() / self.counts.sum()
        return {
            "codebook_used": (self.counts > 0).double().mean().item(),
            "codebook_perplexity": math.exp(torch.special.entr(frequency).sum().item()),
        }
