"""Variational autoencoder: a latent-variable model and an encoder, trained together on a lower bound.

Symbols (Kingma and Welling): x the data, z in R^J the latent variables, p(z) = N(0, I) the prior, p(x|z) the
decoder, q(z|x) = N(mu(x), diag sigma(x)^2) the encoder, K the number of importance samples, w = p(x, z) / q(z|x).

    log p(x) >= ELBO = E_q[log p(x|z)] - KL(q(z|x) || p(z))       reconstruction and kl, kept apart
             >= IWAE-K = E log 1/K sum_k w_k >= ELBO,    z_k ~ q(z|x)    (first inequality: log p(x) >= IWAE-K)
    KL(q || p) = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - log sigma_j^2)

The decoder is a normalised law of the data as they are: Bernoulli for two levels; for more, a logistic law rounded to
the levels, its mean and scale the decoder's outputs; for points a Gaussian whose mean and scale of each coordinate are
the decoder's outputs, as in the paper's appendix C.2.

References: Auto-encoding variational Bayes (Kingma and Welling, 2014); Importance weighted autoencoders (Burda, Grosse
and Salakhutdinov, 2016); the rounded logistic law: Improved variational inference with inverse autoregressive flow
(Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, 2016).

Deviations: SiLU for tanh, Adam for Adagrad; convolutions before and after the perceptrons where images are larger than
8x8; the weight of the KL rises to 1 over the first steps of the training. For points, whose modes lie far apart and are
thin, the decoder reads sines and cosines of z and has residual blocks with layer norm, so that it can turn steeply from
one mode to the next; over the first part of the training its variance has a floor that falls from the width of the data
to nearly nothing, so that the latents lay the modes out before they separate them. The model that is left, and its
bound, know no floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.nets import MLP, Standardize, fourier_features
from genbench import images
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Sizes, the bound that is reported, and the training's own knobs."""

    latents: int = 32  # J
    hidden: int = 512  # of the perceptrons
    depth: int = 2
    blocks: int = 3  # of the decoder of points
    octaves: int = 5  # of z, for the decoder of points
    width: int = 0  # channels of the convolutions at half the image's side; 0: perceptrons alone, as in the paper
    dropout: float = 0.0  # on the encoder's input: small data sets are learned by heart without it
    importance_samples: int = 64  # K; 1 reports the ELBO
    chunk: int = 8192  # pairs (x, z) that are decoded at once
    warmup: float = 0.1  # the share of the training over which the weight of the KL rises to 1
    annealing: float = 0.3  # points: the share of the training over which the floor under the scale falls
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    @classmethod
    def for_data(cls, data: DataSpec) -> VAEConfig:
        if not data.is_image:
            return cls(latents=2, hidden=128, learning_rate=2e-3)
        if data.dim <= 64:
            if (data.levels or 0) > 32:
                return cls(warmup=0.6)  # of many levels a dropped pixel hides more than it keeps from being learned
            return cls(latents=16, hidden=256, dropout=0.1, weight_decay=1e-2)
        if data.dim <= 1024:
            # A long warm-up: without it the latents never say enough to tell the modes of glyphs apart. Perceptrons
            # learn every place of a shape anew, and blur; on maps below 16x16 convolutions have no room to help.
            return cls(width=32 if min(data.shape[1:]) >= 16 else 0, warmup=0.6, learning_rate=3e-3)
        return cls(latents=128, width=64)


class Terms(NamedTuple):
    """Nats, `(n,)` each: elbo = reconstruction - kl."""

    elbo: Tensor
    reconstruction: Tensor
    kl: Tensor


class Encoder(nn.Module):
    """x, on a scale of about one, to `(mu, log sigma)`, each `(n, J)`."""

    def __init__(self, shape: tuple[int, ...], config: VAEConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        maps = _maps(shape, config.width)
        layers: list[nn.Module] = []
        for (channels, *_), (channels_out, *_) in pairwise(maps):
            layers += [nn.Conv2d(channels, channels_out, 4, stride=2, padding=1), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)
        depth = config.depth if not layers else max(0, config.depth - 1)
        self.head = MLP(math.prod(maps[-1]), 2 * config.latents, config.hidden, depth)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_sigma = self.head(self.convolutions(self.dropout(x)).flatten(1)).chunk(2, dim=1)
        return mu, log_sigma.clamp(-8.0, 8.0)


class Decoder(nn.Module):
    """z `(n, J)` to the parameters of p(x|z), `(n, outputs * C, H, W)` or `(n, D)`."""

    def __init__(self, shape: tuple[int, ...], outputs: int, config: VAEConfig) -> None:
        super().__init__()
        self.shape = (outputs * shape[0], *shape[1:])
        maps = _maps(self.shape, config.width)[::-1]
        self.smallest = maps[0]
        layers: list[nn.Module] = []
        for (channels, *_), (channels_out, *_) in pairwise(maps):
            # On the small map, where it is cheap: details are put together before they are placed.
            layers += [nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)]
            layers += [nn.SiLU(), nn.ConvTranspose2d(channels, channels_out, 4, stride=2, padding=1)]
        self.convolutions = nn.Sequential(*layers)
        depth = config.depth if not layers else max(0, config.depth - 1)
        self.head = MLP(config.latents, math.prod(self.smallest), config.hidden, depth)

    def forward(self, z: Tensor) -> Tensor:
        return self.convolutions(self.head(z).reshape(-1, *self.smallest))


class PointDecoder(nn.Module):
    """z `(n, J)` to the mean and the log scale of each coordinate, `(n, 2 D)`, by residual blocks."""

    def __init__(self, dim: int, config: VAEConfig) -> None:
        super().__init__()
        self.octaves, hidden = config.octaves, config.hidden
        self.entry = nn.Linear(config.latents * (1 + 2 * self.octaves), hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
            for _ in range(config.blocks)
        )
        self.exit = nn.Sequential(nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, 2 * dim))

    def forward(self, z: Tensor) -> Tensor:
        h = self.entry(fourier_features(z, self.octaves))
        for block in self.blocks:
            h = h + block(h)
        return self.exit(h)


def _maps(shape: tuple[int, ...], width: int) -> list[tuple[int, ...]]:
    """The shapes from an image down to its smallest map: the sides halve while both are even and above 4.

    The first map has `width` channels, each further one twice as many, so that every layer costs about the same.
    """
    maps = [shape]
    while width and min(maps[-1][1:], default=0) > 4 and not any(side % 2 for side in maps[-1][1:]):
        maps.append((width * 2 ** (len(maps) - 1), *(side // 2 for side in maps[-1][1:])))
    return maps


class VAE(Model):
    """Gaussian latent variables, an encoder, a decoder; the likelihood is the IWAE-K bound (K = 1: the ELBO).

    A sample is z ~ N(0, I), then x ~ p(x|z), with the observation noise that the likelihood accounts for; showing the
    decoder's mean instead would show images of another law than the one that is scored.
    """

    family = "variational"
    Config = VAEConfig
    capabilities = frozenset({"encode", "reconstruct", "terms"})

    def __init__(self, data: DataSpec, config: VAEConfig) -> None:
        super().__init__(data, config)
        if config.importance_samples < 1:
            raise Refused(f"importance_samples is {config.importance_samples}; the bound needs at least 1")
        self.likelihood = "elbo" if config.importance_samples == 1 else "iwae"
        self.encoder = Encoder(data.shape, config)
        self.decoder: nn.Module
        if data.is_image:
            self.decoder = Decoder(data.shape, 2 if data.levels != 2 else 1, config)
        else:
            self.decoder = PointDecoder(data.dim, config)
            self.standardize = Standardize(data.shape)

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if not data.is_image:
            return Recipe(steps=6000, batch_size=256, ema=0.995, clip=10.0, warmup=100, schedule="cosine")
        if data.dim <= 64:
            return Recipe(steps=6000, batch_size=128, ema=0.998, clip=100.0, warmup=100, schedule="cosine")
        return Recipe(steps=10_000, batch_size=128, ema=0.998, clip=100.0, warmup=100, schedule="cosine")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        config = self.config
        return {"vae": torch.optim.AdamW(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)}

    def _input(self, x: Tensor) -> Tensor:
        """The data on a scale of about one."""
        return self.standardize(x) if self.data.levels is None else images.to_signed(x, self.data.levels)

    def _gaussian(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log scale of p(x|z) for standardized points, each `(n, D)`; no wider than the data."""
        mean, log_scale = self.decoder(z).chunk(2, dim=1)
        return mean, log_scale.clamp(-9.0, 0.0)

    def observation(self, x: Tensor, z: Tensor, floor: float = 0.0) -> Tensor:
        """log p(x|z) in nats of the integer image (of the density, for points), `(n,)`.

        Args:
            x: `(n, *shape)` or `(1, *shape)`.
            z: `(n, J)`.
            floor: added to the scale of standardized points, in squares.
        """
        if self.data.levels is None:
            mean, log_scale = self._gaussian(z)
            if floor:
                log_scale = 0.5 * torch.log(torch.exp(2.0 * log_scale) + floor**2)
            error = (self.standardize(x) - mean) * torch.exp(-log_scale)
            return (-0.5 * (error.square() + _LOG_2PI) - log_scale).sum(dim=1) + self.standardize.log_det
        parameters, levels = self.decoder(z), self.data.levels
        if levels == 2:
            terms = F.logsigmoid(torch.where(x > 0, parameters, -parameters))
        else:
            mean, log_scale = parameters.chunk(2, dim=1)
            terms = images.discretized_logistic(x, mean, log_scale, levels)
        return terms.flatten(1).sum(dim=1)

    def elbo(self, x: Tensor, noise: Noise, floor: float = 0.0) -> tuple[Tensor, Tensor]:
        """The two terms of the ELBO, reconstruction - kl: E_q log p(x|z) by one draw of z, and KL(q(z|x) || p(z)).

        Returns:
            nats, each `(n,)`.
        """
        mu, log_sigma = self.encoder(self._input(x))
        z = mu + torch.exp(log_sigma) * noise.normal(self.config.latents)
        reconstruction = self.observation(x, z, floor)
        return reconstruction, 0.5 * (mu.square() + torch.exp(2.0 * log_sigma) - 1.0 - 2.0 * log_sigma).sum(dim=1)

    def terms(self, x: Tensor, noise: Noise) -> Terms:
        """The ELBO with its two terms, which stand beside the IWAE bound."""
        reconstruction, kl = self.elbo(x, noise)
        return Terms(reconstruction - kl, reconstruction, kl)

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if step.index == 0 and self.data.levels is None:
            self.standardize.observe(batch.x)
        reconstruction, kl = (term.mean() for term in self.elbo(batch.x, step.noise, self._floor(step)))
        self.log(reconstruction=reconstruction, kl=kl)
        weight = min(1.0, (step.index + 1) / max(1.0, self.config.warmup * step.total))
        yield "vae", weight * kl - reconstruction

    def _floor(self, step: Step) -> float:
        """From 1 to 0.003 in even steps of its logarithm, then 0."""
        share = self.config.annealing
        return 0.003 ** (step.progress / share) if step.progress < share else 0.0

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        z, levels = noise.normal(self.config.latents), self.data.levels
        if levels is None:
            mean, log_scale = self._gaussian(z)
            return self.standardize.inverse(mean + torch.exp(log_scale) * noise.normal(*self.data.shape))
        parameters = self.decoder(z)
        uniform = noise.uniform(*self.data.shape)
        if levels == 2:
            return (uniform < torch.sigmoid(parameters)).to(torch.uint8)
        mean, log_scale = parameters.chunk(2, dim=1)
        return images.discretized_logistic_draw(mean, log_scale, uniform, levels)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """IWAE-K, log 1/K sum_k p(x, z_k) / q(z_k|x) with z_k ~ q(z|x): in expectation a lower bound that rises with K.

        With z = mu + sigma eps, log p(z) - log q(z|x) = sum_j (eps_j^2 - z_j^2) / 2 + log sigma_j.
        """
        self.refuse_labels(labels)
        count = self.config.importance_samples
        mu, log_sigma = self.encoder(self._input(x))
        at_once = count if torch.compiler.is_exporting() else max(1, self.config.chunk // len(x))
        log_weights = []
        for eps in noise.normal(count, self.config.latents).transpose(0, 1).split(at_once):
            z = mu + torch.exp(log_sigma) * eps  # (k, n, J)
            prior = (0.5 * (eps.square() - z.square()) + log_sigma).sum(dim=2)
            repeated = x.expand(len(z), *x.shape).flatten(0, 1)
            log_weights.append(prior + self.observation(repeated, z.flatten(0, 1)).reshape(len(z), -1))
        return torch.logsumexp(torch.cat(log_weights), dim=0) - math.log(count)

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), `(n, J)`."""
        return self.encoder(self._input(x))[0]

    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoder's most probable image (the mean, for points) at z = mu(x), `(n, *shape)`."""
        z, levels = self.encode(x), self.data.levels
        if levels is None:
            return self.standardize.inverse(self._gaussian(z)[0])
        parameters = self.decoder(z)
        if levels == 2:
            return (parameters > 0).to(torch.uint8)
        return images.from_signed(parameters.chunk(2, dim=1)[0], levels)
