"""Generative adversarial networks: two perceptrons that play a minimax game.

Symbols: x an example of the law p (images on the scale of [-1, 1], points standardized), z ~ N(0, I) a latent vector,
G(z) the generator, q the law of G(z), D(x) in (0, 1) the discriminator's probability that x is real. The game is

    min_G max_D V(D, G),   V(D, G) = E_p[log D(x)] + E_z[log(1 - D(G(z)))].

For a fixed G the best discriminator is D*(x) = p(x) / (p(x) + q(x)), and V(D*, G) = 2 JSD(p, q) - 2 log 2. The
discriminator returns the logit of D, so that no logarithm overflows.

Samples of images are G(z) rounded to the nearest level; a binary image is white where the logistic function of twice
the generator's output, which is tanh on the scale of [0, 1], exceeds one half.

References: Generative adversarial nets (Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville and
Bengio, 2014); Amortised MAP inference for image super-resolution (Sønderby, Caballero, Theis, Shi and Huszár, 2017)
for the instance noise.

Deviations: rectifiers instead of maxout and dropout; Adam instead of momentum; batch normalization in the
generator, as Radford and others (2015) have it, without which digits collapse to a few classes; instance noise that
fades over the training, without which the discriminator tells 1,000 images apart by heart; averaged weights. On
points both networks see Fourier features of their inputs, without which the discriminator misses the modes inside a
grid and the generator, a continuous map, leaves long bridges between modes; and the noise fades geometrically, so
that it passes the width of narrow modes while the learning rate is still large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.nets import Standardize, fourier_features
from genbench.images import from_signed, to_signed
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    """What the generator descends, sizes, rates, noise."""

    loss: Literal["saturating", "non-saturating"] = "non-saturating"
    latent: int = 32  # length of z
    hidden: int = 256  # units of a hidden layer, in both networks
    layers: int = 2  # hidden layers, in both networks
    octaves: int = 0  # Fourier features of what the discriminator sees
    latent_octaves: int = 0  # Fourier features of z
    generator_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    instance_noise: float = 0.2  # standard deviation, at the start, of what is added to all that D sees
    least_noise: float = 0.0  # what it fades to: linearly to zero, geometrically to anything else

    @classmethod
    def for_data(cls, data: DataSpec) -> GANConfig:
        if not data.is_image:
            return cls(
                latent=2, hidden=128, layers=3, octaves=5, latent_octaves=4, instance_noise=0.3, least_noise=0.005
            )
        if data.dim <= 64:
            return cls()
        return cls(latent=64, hidden=384, generator_rate=5e-4, discriminator_rate=5e-4)


class FourierFeatures(nn.Module):
    """Points with their sinusoids, `(n, D)` to `(n, D (1 + 2 octaves))`."""

    def __init__(self, octaves: int) -> None:
        super().__init__()
        self.octaves = octaves

    def forward(self, x: Tensor) -> Tensor:
        return fourier_features(x, self.octaves)


def perceptron(
    inputs: int,
    outputs: int,
    hidden: int,
    layers: int,
    activation: Callable[[], nn.Module],
    normalize: bool,
    bias: bool = True,
    octaves: int = 0,
) -> nn.Sequential:
    """Linear layers with an activation between them, `(n, inputs)` to `(n, outputs)`.

    Args:
        normalize: batch normalization before each activation; it replaces the bias of the layer before.
        bias: of the output.
        octaves: Fourier features that the inputs get first.
    """
    body: list[nn.Module] = [FourierFeatures(octaves)] if octaves else []
    inputs *= 1 + 2 * octaves
    for fan_in, fan_out in pairwise([inputs] + [hidden] * layers):
        body += [nn.Linear(fan_in, fan_out, bias=not normalize)]
        body += [nn.BatchNorm1d(fan_out)] if normalize else []
        body += [activation()]
    return nn.Sequential(*body, nn.Linear(hidden if layers else inputs, outputs, bias=bias))


def game_value(real: Tensor, fake: Tensor) -> Tensor:
    """The value V of the game, from the discriminator's logits on a real and on a generated batch.

    V = E log D(x) + E log(1 - D(G(z))) by the means over the batches: unbiased; in (-inf, 0); the discriminator
    ascends it. Logits of zero, which are best where p = q, give -2 log 2.
    """
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()


def generator_loss(fake: Tensor, loss: Literal["saturating", "non-saturating"]) -> Tensor:
    """What the generator descends, from the discriminator's logits on a generated batch.

    Saturating: E log(1 - D(G(z))), the game as it stands, whose gradient in the logit is -D: it vanishes where the
    discriminator wins, D -> 0. Non-saturating: -E log D(G(z)), whose gradient is -(1 - D): it does not.
    """
    return F.logsigmoid(-fake).mean() if loss == "saturating" else -F.logsigmoid(fake).mean()


class GAN(Model):
    """A generative adversarial network of perceptrons, for images and points (Goodfellow et al. 2014)."""

    family = "gan"
    Config = GANConfig

    def __init__(self, data: DataSpec, config: GANConfig) -> None:
        super().__init__(data, config)
        if config.loss not in ("saturating", "non-saturating"):
            raise Refused(f"GAN: loss is {config.loss!r}; it can be 'saturating' or 'non-saturating'")
        sizes = config.hidden, config.layers
        self.generator = perceptron(
            config.latent, data.dim, *sizes, nn.ReLU, normalize=True, octaves=config.latent_octaves
        )
        self.discriminator = perceptron(
            data.dim, 1, *sizes, lambda: nn.LeakyReLU(0.2), normalize=False, octaves=config.octaves
        )
        self.standardize = None if data.is_image else Standardize(data.shape)

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if not data.is_image:
            return Recipe(steps=6000, batch_size=256, ema=0.99, schedule="linear")
        return Recipe(steps=6000 if data.dim <= 64 else 5000, batch_size=64, ema=0.995, schedule="linear")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999), fused=True)

        return {
            "discriminator": adam(self.discriminator, self.config.discriminator_rate),
            "generator": adam(self.generator, self.config.generator_rate),
        }

    def _generate(self, noise: Noise) -> Tensor:
        """G(z), `(n, D)`."""
        y: Tensor = self.generator(noise.normal(self.config.latent))
        return torch.tanh(y) if self.data.is_image else y

    def _noise_scale(self, progress: float) -> float:
        """The standard deviation of the instance noise at a point of the training."""
        first, last = self.config.instance_noise, self.config.least_noise
        return first * (last / first) ** progress if first and last else first * (1.0 - progress)

    def _logits(self, x: Tensor, step: Step) -> Tensor:
        """The discriminator's logits on x under instance noise, which gives p and q a common support."""
        scale = self._noise_scale(step.progress)
        logits: Tensor = self.discriminator(x + scale * step.noise.normal(self.data.dim))
        return logits

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if self.data.levels is not None:
            x = to_signed(batch.x, self.data.levels).flatten(1)
        else:
            assert self.standardize is not None
            if step.index == 0:
                self.standardize.observe(batch.x)
            x = self.standardize(batch.x)
        with torch.no_grad():
            fake = self._generate(step.noise)
        value = game_value(self._logits(x, step), self._logits(fake, step))
        self.log(value=value)
        yield "discriminator", -value
        self.discriminator.requires_grad_(False)
        loss = generator_loss(self._logits(self._generate(step.noise), step), self.config.loss)
        self.discriminator.requires_grad_(True)
        yield "generator", loss

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        y = self._generate(noise)
        if self.data.levels is not None:
            return from_signed(y.reshape(-1, *self.data.shape), self.data.levels)
        assert self.standardize is not None
        return self.standardize.inverse(y)
