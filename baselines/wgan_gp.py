"""Wasserstein GANs with a gradient penalty: the critic measures a distance instead of a probability.

Symbols: x an example of the law p (images on the scale of [-1, 1], points standardized), z ~ N(0, I) a latent vector,
x~ = G(z) the generator's, f the critic (a real number for each x), W1 the Wasserstein-1 distance, lambda the
coefficient of the penalty, x^ = eps x + (1 - eps) x~ with eps uniform in (0, 1). By Kantorovich and Rubinstein W1(p, q)
is the supremum of E f(x) - E f(x~) over the 1-Lipschitz f; the critic descends

    E f(x~) - E f(x) + lambda E (|grad f(x^)| - 1)^2

`n_critic` times, each on a fresh minibatch, for every step of the generator, which descends -E f(x~). A batch of the
recipe holds the n_critic minibatches of one such round.

Samples of images are tanh of the generator's output rounded to the nearest level; binary images are thus thresholded
at one half, and batch normalization, where the generator has it, runs on its running statistics.

Reference: Improved training of Wasserstein GANs (Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, 2017).

Deviations: a linear fall of the learning rates from larger ones; averaged weights; on points both networks see
Fourier features of their inputs, which resolve narrow modes sooner and shorten the bridges between them. The networks
are those of `gan` (perceptrons, batch normalization in the generator) and `dcgan` (convolutions). The critic has no
batch normalization, as in the paper, because the penalty is about one example at a time; and no bias at its output,
which would cancel in the distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from baselines.dcgan import Discriminator, Generator
from baselines.gan import perceptron
from baselines.nets import Standardize
from genbench.images import from_signed, to_signed
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step

N_CRITIC = 5


@dataclass(frozen=True, kw_only=True)
class WGANGPConfig:
    """Networks, the critic's rounds and penalty, rates."""

    network: Literal["perceptron", "convolutions"] = "perceptron"
    latent: int = 32  # length of z
    width: int = 256  # units of a hidden layer; channels of the largest hidden map
    layers: int = 2  # hidden layers of the perceptrons
    octaves: int = 0  # Fourier features of what the perceptron critic sees
    latent_octaves: int = 0  # Fourier features of z, for the perceptron
    n_critic: int = N_CRITIC  # minibatches in a batch
    penalty: float = 10.0  # lambda
    generator_rate: float = 1e-3
    critic_rate: float = 1e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> WGANGPConfig:
        if not data.is_image:
            return cls(latent=2, width=128, layers=3, octaves=5, latent_octaves=4, penalty=0.1)
        if data.dim <= 64:
            return cls()
        if max(data.shape[1:]) <= 16:
            return cls(latent=64, width=384)
        return cls(network="convolutions", latent=128, width=64, generator_rate=2e-4, critic_rate=2e-4)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    """E (|grad f(x^)| - 1)^2 at x^ = eps x + (1 - eps) x~; the Euclidean norm over all values of one example.

    The mean over the batch is unbiased; at least 0; differentiable in the critic's weights.

    Args:
        critic: maps `(n, ...)` to n numbers.
        real, fake: `(n, ...)`.
        eps: `(n, 1)` in (0, 1).
    """
    weight = eps.reshape(-1, *[1] * (real.ndim - 1))
    between = (weight * real + (1.0 - weight) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1.0).square().mean()


class WGANGP(Model):
    """A Wasserstein GAN with gradient penalty, for images and points (Gulrajani et al. 2017)."""

    family = "gan"
    Config = WGANGPConfig

    def __init__(self, data: DataSpec, config: WGANGPConfig) -> None:
        super().__init__(data, config)
        if config.network not in ("perceptron", "convolutions"):
            raise Refused(f"WGANGP: network is {config.network!r}; it can be 'perceptron' or 'convolutions'")
        if config.network == "convolutions":
            if not data.is_image or max(data.shape[1:]) < 2:
                raise Refused(f"WGANGP: convolutions need images of 2x2 pixels or more, not {data.shape}")
            self.generator: nn.Sequential = Generator(data.shape, config.latent, config.width)
            self.critic: nn.Sequential = Discriminator(data.shape, config.width, normalize=False, bias=False)
        else:
            sizes = config.width, config.layers
            generator = perceptron(
                config.latent, data.dim, *sizes, nn.ReLU, normalize=True, octaves=config.latent_octaves
            )
            bounded = [nn.Tanh(), nn.Unflatten(1, data.shape)] if data.is_image else []
            self.generator = nn.Sequential(generator, *bounded)
            critic = perceptron(data.dim, 1, *sizes, nn.ReLU, normalize=False, bias=False, octaves=config.octaves)
            self.critic = nn.Sequential(nn.Flatten(), critic)
        self.standardize = None if data.is_image else Standardize(data.shape)

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if not data.is_image:
            return Recipe(steps=3000, batch_size=N_CRITIC * 128, ema=0.99, schedule="linear")
        return Recipe(steps=2000, batch_size=N_CRITIC * 64, ema=0.995, schedule="linear")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.9), fused=True)

        return {
            "critic": adam(self.critic, self.config.critic_rate),
            "generator": adam(self.generator, self.config.generator_rate),
        }

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if self.data.levels is not None:
            x = to_signed(batch.x, self.data.levels)
        else:
            assert self.standardize is not None
            if step.index == 0:
                self.standardize.observe(batch.x)
            x = self.standardize(batch.x)
        # One draw for the whole round: a row of noise belongs to a row of the batch.
        latents, uniforms = step.noise.normal(2, self.config.latent), step.noise.uniform(1)
        rounds = [part.chunk(self.config.n_critic) for part in (x, latents[:, 0], uniforms)]
        for real, z, eps in zip(*rounds, strict=True):
            with torch.no_grad():
                fake = self.generator(z)
            distance = self.critic(real).mean() - self.critic(fake).mean()
            penalty = gradient_penalty(self.critic, real, fake, eps)
            self.log(distance=distance, penalty=penalty)
            yield "critic", -distance + self.config.penalty * penalty
        z = latents[: len(rounds[0][0]), 1]
        self.critic.requires_grad_(False)
        loss = -self.critic(self.generator(z)).mean()
        self.critic.requires_grad_(True)
        yield "generator", loss

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        y: Tensor = self.generator(noise.normal(self.config.latent))
        if self.data.levels is not None:
            return from_signed(y, self.data.levels)
        assert self.standardize is not None
        return self.standardize.inverse(y)
