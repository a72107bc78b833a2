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

Deviations: the prior is a small causal transformer, on small images of few levels a deep NADE (there a PixelCNN), both
in `code_priors.py`; the codebook starts from encoder outputs, and codes that hardly any image uses start anew from
there (as in Jukebox: A generative model for music, Dhariwal, Jun, Payne, Kim, Radford and Sutskever, 2020); group
normalization in the residual blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.code_priors import Attention, Drawn, Perceptron, Prior
from baselines.nets import ResBlock
from genbench import images
from genbench.noise import Streams
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step, Unit


def _is_tiny(data: DataSpec) -> bool:
    """Whether the perceptron was measured on such data: up to 64 values an image, levels few but more than two."""
    return data.levels is not None and 2 < data.levels <= 32 and 16 < data.dim <= 64


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
    prior: Literal["attention", "perceptron"] = "attention"
    prior_width: int = 96
    prior_depth: int = 3
    prior_dropout: float = 0.0
    prior_heads: int = 4  # of "attention"
    prior_forgetting: float = 0.0  # of "perceptron"
    learning_rate: float = 1e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> VQVAEConfig:
        if data.dim <= 16:
            return cls(codes=8, code_dim=4, width=32, blocks=1, restart_every=20, prior_width=64, learning_rate=5e-3)
        if _is_tiny(data):
            # Few codes: a thousand images teach the prior what goes with what only where there is little to choose.
            return cls(
                codes=8,
                width=48,
                blocks=1,
                tokenizer_share=0.3,
                prior="perceptron",
                prior_width=256,
                prior_depth=1,
                prior_dropout=0.3,
                prior_forgetting=0.2,
            )
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
        self.prior = self._prior(height * width)
        # Uses of each code since the last restart; in the second phase since its beginning.
        self.register_buffer("counts", torch.zeros(config.codes, dtype=torch.int64))

    def _prior(self, positions: int) -> Prior:
        c = self.config
        sizes: dict[str, Any] = {"width": c.prior_width, "depth": c.prior_depth, "dropout": c.prior_dropout}
        if c.prior == "perceptron":
            return Perceptron(positions, c.codes, forgetting=c.prior_forgetting, **sizes)
        return Attention(positions, c.codes, heads=c.prior_heads, **sizes)

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return None if data.is_image else "its codes stand on the grid of an image"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if _is_tiny(data):
            return Recipe(steps=3200, batch_size=64, ema=0.99, clip=100.0, warmup=50, schedule="cosine")
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
        e = F.embedding(z, self.codebook)  # whose gradient, unlike an index's, adds up in one order on any threads
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
        """A position of the prior, given what it keeps of those before."""
        return Unit(
            module=self.prior.step(),
            example=lambda n: self.prior.example(Streams(0, range(n), self.device)),
            inputs=self.prior.inputs,
            outputs=self.prior.outputs,
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
