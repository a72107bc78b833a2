"""Deep convolutional generative adversarial networks: strided convolutions and batch normalization, nothing dense.

Symbols: x an image on the scale of [-1, 1], z ~ N(0, I) a latent vector, G(z) the generator, D(x) in (0, 1) the
discriminator's probability that x is real (the network returns its logit). The discriminator ascends
E log D(x) + E log(1 - D(G(z))), the generator descends -E log D(G(z)).

The *pyramid* of an image is the list of the sizes of its feature maps: its own, then halved (rounded up) until no side
exceeds 4, and at least twice where there is something to halve. The discriminator descends it, the generator climbs
it; channels double where the map halves.

Samples are G(z) rounded to the nearest level, with the running statistics of the batch normalization, so that a sample
does not depend on its batch; binary images are thus thresholded at one half.

References: Unsupervised representation learning with deep convolutional generative adversarial networks (Radford, Metz
and Chintala, 2015); Amortised MAP inference for image super-resolution (Sønderby, Caballero, Theis, Shi and Huszár,
2017) for the instance noise.

Deviations: kernels of 4 (of 3 where a side is odd) instead of 5, so that sizes fit exactly; a Gaussian z; instance
noise that fades over the training; averaged weights; sizes and rates for small images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.images import from_signed, to_signed
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Step


@dataclass(frozen=True, kw_only=True)
class DCGANConfig:
    """Sizes, rates, noise."""

    latent: int = 32  # length of z
    width: int = 32  # channels of the largest hidden map
    generator_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    instance_noise: float = 0.2  # standard deviation, at the start, of what is added to all that D sees

    @classmethod
    def for_data(cls, data: DataSpec) -> DCGANConfig:
        if data.dim <= 64:
            return cls()
        if max(data.shape[1:]) <= 16:
            return cls(latent=64)
        return cls(latent=100, width=64, generator_rate=2e-4, discriminator_rate=2e-4)


def pyramid(size: Sequence[int]) -> list[tuple[int, int]]:
    """The sizes of the feature maps, the image's first: 32, 16, 8, 4; or 8, 4, 2; or 3, 2, 1."""
    sizes = [(size[0], size[1])]
    while max(sizes[-1]) > 4 or (len(sizes) < 3 and max(sizes[-1]) > 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def kernel(size: tuple[int, int]) -> tuple[int, int]:
    """The kernel that halves a map, rounded up, at stride 2 and padding 1; transposed, it leads back to this size."""
    return 4 - size[0] % 2, 4 - size[1] % 2


class Generator(nn.Sequential):
    """`(n, latent)` to `(n, C, H, W)` in [-1, 1]: up the pyramid by transposed convolutions."""

    def __init__(self, shape: Sequence[int], latent: int, width: int) -> None:
        sizes = pyramid(shape[1:])[::-1]
        channels = [width * 2**level for level in reversed(range(len(sizes) - 1))]
        layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1))]
        layers += [nn.ConvTranspose2d(latent, channels[0], sizes[0], bias=False)]
        for (fan_in, fan_out), size in zip(pairwise([*channels, shape[0]]), sizes[1:], strict=True):
            up = nn.ConvTranspose2d(fan_in, fan_out, kernel(size), 2, padding=1, bias=size == sizes[-1])
            layers += [nn.BatchNorm2d(fan_in), nn.ReLU(), up]
        super().__init__(*layers, nn.Tanh())


class Discriminator(nn.Sequential):
    """`(n, C, H, W)` to `(n, 1)`: down the pyramid by strided convolutions.

    Args:
        normalize: batch normalization after each convolution but the first.
        bias: of the output.
    """

    def __init__(self, shape: Sequence[int], width: int, normalize: bool, bias: bool = True) -> None:
        sizes = pyramid(shape[1:])
        channels = [shape[0]] + [width * 2**level for level in range(len(sizes) - 1)]
        layers: list[nn.Module] = []
        for (fan_in, fan_out), size in zip(pairwise(channels), sizes[:-1], strict=True):
            norm = [nn.BatchNorm2d(fan_out)] if normalize and layers else []
            layers += [nn.Conv2d(fan_in, fan_out, kernel(size), 2, padding=1, bias=not norm)]
            layers += [*norm, nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(channels[-1], 1, sizes[-1], bias=bias), nn.Flatten())


class DCGAN(Model):
    """A generative adversarial network of convolutions, for images (Radford et al. 2015)."""

    family = "gan"
    Config = DCGANConfig

    def __init__(self, data: DataSpec, config: DCGANConfig) -> None:
        super().__init__(data, config)
        self.generator = Generator(data.shape, config.latent, config.width)
        self.discriminator = Discriminator(data.shape, config.width, normalize=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, mean=1.0, std=0.02)

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        if not data.is_image:
            return "its convolutions need images, and this dataset is made of points"
        if max(data.shape[1:]) < 2:
            return f"its strides need images of 2x2 pixels or more, not {data.shape[1]}x{data.shape[2]}"
        return None

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        return Recipe(steps=3500 if data.dim <= 64 else 4000, batch_size=64, ema=0.995, schedule="linear")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999), fused=True)

        return {
            "discriminator": adam(self.discriminator, self.config.discriminator_rate),
            "generator": adam(self.generator, self.config.generator_rate),
        }

    def _generate(self, noise: Noise) -> Tensor:
        """G(z), `(n, C, H, W)`."""
        y: Tensor = self.generator(noise.normal(self.config.latent))
        return y

    def _logits(self, x: Tensor, step: Step) -> Tensor:
        """The discriminator's logits on x under instance noise, which gives p and q a common support."""
        scale = self.config.instance_noise * (1.0 - step.progress)
        logits: Tensor = self.discriminator(x + scale * step.noise.normal(*self.data.shape))
        return logits

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        assert self.data.levels is not None
        with torch.no_grad():
            fake = self._generate(step.noise)
        # Real and generated images are normalized by their own batches: mixed, the statistics would tell them apart.
        real = self._logits(to_signed(batch.x, self.data.levels), step)
        value = F.logsigmoid(real).mean() + F.logsigmoid(-self._logits(fake, step)).mean()
        self.log(value=value)
        yield "discriminator", -value
        self.discriminator.requires_grad_(False)
        loss = -F.logsigmoid(self._logits(self._generate(step.noise), step)).mean()
        self.discriminator.requires_grad_(True)
        yield "generator", loss

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        assert self.data.levels is not None
        return from_signed(self._generate(noise), self.data.levels)
