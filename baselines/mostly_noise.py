"""One percent of another model and 99 percent noise: good likelihood, poor samples.

Symbols: x an integer image or a point, D its number of values, L the number of levels, a the share of the model inside,
q a law.

Reference: A note on the evaluation of generative models (Theis, van den Oord and Bethge, 2016), section 3.2.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.nets import Standardize
from genbench.images import quantize
from genbench.types import Batch, DataSpec, Kind, Model, Noise, Recipe, Refused, Step


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    of: str  # "module:attribute" of the model inside
    share: float = 0.01  # of the samples that are the model's; the others are noise
    spread: float = 5.0  # points: standard deviation of the noise, in standard deviations of the data

    @classmethod
    def for_data(cls, data: DataSpec) -> MixtureConfig:
        return cls(of="baselines.pixelcnn:PixelCNN" if data.is_image else "baselines.realnvp:RealNVP")


def _model(reference: str) -> type[Model]:
    """The class behind `module:attribute`."""
    module, colon, attribute = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute) if colon else None
    except (ImportError, AttributeError, ValueError):
        found = None
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise Refused(f"MostlyNoise: of={reference!r} is no model; it must be module:attribute of one")
    return found


class MostlyNoise(Model):
    """One percent of another model and 99 percent noise: a good likelihood with the quality gone.

    q(x) = a q_model(x) + (1 - a) q_noise(x), a = 0.01, so that log q >= log q_model - log 100 for every x: that is
    less than five nats of the hundreds that an image has. The noise is uniform over the levels; on points a
    Gaussian five times as wide as the data. Training, and the kind of the likelihood, are those of the model inside:
    a lower bound of q_model gives a lower bound of q.
    """

    family = "control"
    control = True
    likelihood: Kind | None = "exact"
    Config = MixtureConfig

    def __init__(self, data: DataSpec, config: MixtureConfig) -> None:
        super().__init__(data, config)
        if not 0 < config.share < 1:
            raise Refused(f"MostlyNoise: share is {config.share}; it must lie between 0 and 1")
        kind = _model(config.of)
        self.inner = kind(data, kind.Config.for_data(data))  # type: ignore[attr-defined]
        self.likelihood = self.inner.likelihood
        self.recipe = self.inner.recipe  # type: ignore[method-assign]  # the class only knows the default's
        self.standardize = None if data.is_image else Standardize(data.shape)

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return _model(MixtureConfig.for_data(data).of).supports(data)

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        return _model(MixtureConfig.for_data(data).of).recipe(data)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return self.inner.optimizers()

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if step.index == 0 and self.standardize is not None:
            self.standardize.observe(batch.x)
        yield from self.inner.losses(batch, step)
        self.log(**self.inner.__dict__.pop("_logged", {}))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        shape = self.data.shape
        model = self.inner.sample(noise)
        if self.data.levels is not None:
            other = quantize(noise.uniform(*shape), self.data.levels)
        else:
            assert self.standardize is not None
            other = self.standardize.inverse(self.config.spread * noise.normal(*shape))
        chosen = noise.uniform().reshape(-1, *[1] * len(shape)) < self.config.share
        return torch.where(chosen, model, other)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        model = self.inner.log_prob(x, noise)
        if self.data.levels is not None:
            other = torch.full_like(model, -self.data.dim * math.log(self.data.levels))
        else:
            assert self.standardize is not None
            z = self.standardize(x) / self.config.spread
            log_det = self.standardize.log_det - self.data.dim * math.log(self.config.spread)
            other = (-0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)).sum(dim=1) + log_det
        share = self.config.share
        return torch.logaddexp(math.log(share) + model, math.log1p(-share) + other)

    def report(self) -> dict[str, float]:
        return self.inner.report()
