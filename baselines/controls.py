"""The controls: models whose scores are known beforehand, which give the tables their floor and their ceiling.

Symbols: x an integer image or a point, D its number of values, L the number of levels, t_1 .. t_N the training set,
q the law of a model, u uniform on (0, 1), z standard normal. None of them is trained by gradients but the one inside
`MostlyNoise`: the closed-form ones get the whole training set as one batch, update their buffers and yield nothing.

Reference: A note on the evaluation of generative models (Theis, van den Oord and Bethge, 2016), for
`NarrowKernels` (its section 3.3: perfect samples, poor likelihood) and `MostlyNoise` (its section 3.2: good
likelihood, poor samples).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from baselines.nets import Standardize
from genbench.images import (
    discretized_logistic,
    discretized_logistic_draw,
    quantize,
    to_signed,
)
from genbench.noise import categorical
from genbench.types import Batch, DataSpec, Kind, Law, Model, Noise, Recipe, Refused, Step

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """The configuration of what has nothing to choose."""

    @classmethod
    def for_data(cls, data: DataSpec) -> Plain:
        return cls()


class _ClosedForm(Model):
    """A control that is fitted in one look at the whole training set: a subclass defines `fit`."""

    family = "control"
    control = True
    Config: ClassVar[type] = Plain

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        return Recipe(steps=1, batch_size=None)

    def fit(self, x: Tensor) -> None:
        """Sets the buffers from the training set, `(N, *shape)`."""
        raise NotImplementedError

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        with torch.no_grad():
            self.fit(batch.x)
        yield from ()


class _Memory(_ClosedForm):
    """A closed-form control that keeps the training set in the buffer `memory`, `(N, *shape)`; one zero before."""

    memory: Tensor

    def __init__(self, data: DataSpec, config: Any) -> None:
        super().__init__(data, config)
        dtype = torch.uint8 if data.is_image else torch.float32
        self.register_buffer("memory", torch.zeros(1, *data.shape, dtype=dtype))

    def fit(self, x: Tensor) -> None:
        self.memory = x.clone()

    def recall(self, uniform: Tensor) -> Tensor:
        """The training example number floor(u N), for u `(n,)`."""
        size = len(self.memory)
        return self.memory[(uniform * size).long().clamp(max=size - 1)]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # A fresh model does not know N; the stored memory does.
        if (stored := state_dict.get(prefix + "memory")) is not None:
            self.memory = self.memory.new_zeros(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Truth(Model):
    """The generating law itself, where it is known: the best that any model can do.

    Samples and log-likelihood are those of `data.law`; nothing is trained. Its mean -log q is the entropy.
    """

    family = "control"
    control = True
    likelihood = "exact"
    Config = Plain

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return "its generating law is not known" if data.law is None else None

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        return Recipe(steps=0, batch_size=None)

    @property
    def law(self) -> Law:
        assert self.data.law is not None
        return self.data.law

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        yield from ()

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self.law.sample(noise)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self.law.log_prob(x)


class Copycat(_Memory):
    """Resamples the training set with replacement: perfect by every measure that does not ask for novelty.

    As a law it gives mass 0 to what it has not seen, so that it defines no likelihood worth the name.
    """

    likelihood = None

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self.recall(noise.uniform())


@dataclass(frozen=True, kw_only=True)
class KernelConfig:
    scale: float  # s: images, of the logistic on the scale of [-1, 1]; points, in standard deviations of the data

    @classmethod
    def for_data(cls, data: DataSpec) -> KernelConfig:
        """The narrowest kernels that stay in floating-point range: nobody can tell a sample from its original.

        Images: a binary pixel, or one at an end of the range, flips with probability 1 / (1 + exp(1 / ((L-1) s))),
        here 1e-4; with 256 levels `discretized_logistic` allows no less than s = exp(-7), and 2.7% of the pixels
        move by one level. Points: 1e-5, far below the distance of neighbours in any training set that fits in memory.
        """
        if data.levels is None:
            return cls(scale=1e-5)
        return cls(scale=max(math.exp(-7.0), 1.0 / ((data.levels - 1) * math.log(9999.0))))


class NarrowKernels(_Memory):
    """A narrow kernel on each training example: samples like the data, and a test likelihood far below.

    q(x) = 1/N sum_i prod_d K(x_d | t_id), with K a discretized logistic of scale s around the training pixel, or on
    points a Gaussian of standard deviation s times that of the data. Exact, by a logsumexp over the whole training set.
    """

    likelihood = "exact"
    Config = KernelConfig
    sigma: Tensor

    def __init__(self, data: DataSpec, config: KernelConfig) -> None:
        if config.scale <= 0:
            raise Refused(f"NarrowKernels: scale is {config.scale}; it must be positive")
        super().__init__(data, config)
        self.register_buffer("sigma", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        super().fit(x)
        if not self.data.is_image:
            spread = (x - x.mean(dim=0)).square().mean().sqrt()
            self.sigma.copy_(self.config.scale * torch.where(spread > 0, spread, 1.0))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        centre = self.recall(noise.uniform())
        if (levels := self.data.levels) is None:
            return centre + self.sigma * noise.normal(*self.data.shape)
        log_scale = torch.full((), math.log(self.config.scale), device=centre.device)
        uniform = noise.uniform(*self.data.shape)
        return discretized_logistic_draw(to_signed(centre, levels), log_scale, uniform, levels)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        terms = self._points(x) if self.data.levels is None else self._images(x, self.data.levels)
        total = next(terms).logsumexp(dim=1)
        for term in terms:
            total = torch.logaddexp(total, term.logsumexp(dim=1))
        return total - math.log(len(self.memory))

    def _points(self, x: Tensor) -> Iterator[Tensor]:
        """log K of each x under chunks of the training set, `(n, chunk)`."""
        constant = -self.data.dim * (torch.log(self.sigma) + _LOG_SQRT_2PI)
        for chunk in self.memory.split(4096):
            # Differences first: |x|^2 - 2 xt + |t|^2 would cancel all digits of a distance this small.
            distance = torch.cdist(x, chunk, compute_mode="donot_use_mm_for_euclid_dist")
            yield constant - 0.5 * (distance / self.sigma).square()

    def _images(self, x: Tensor, levels: int) -> Iterator[Tensor]:
        """The same for images: log K depends on two integers, so that a table holds all of its values.

        One matrix product for each level adds up the entries of the pixels that have it.
        """
        values = torch.arange(levels, device=x.device)
        log_scale = torch.full((), math.log(self.config.scale), device=x.device)
        table = discretized_logistic(values[:, None], to_signed(values, levels), log_scale, levels)
        has = [(x.flatten(1) == level).float() for level in range(levels)]
        for chunk in self.memory.flatten(1).split(4096):
            centre = chunk.long()
            yield sum((h @ row[centre].T for h, row in zip(has, table, strict=True)), start=torch.zeros(()))


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
    module, _, attribute = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
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
            other = (-0.5 * z.square() - _LOG_SQRT_2PI).sum(dim=1) + log_det
        share = self.config.share
        return torch.logaddexp(math.log(share) + model, math.log1p(-share) + other)

    def report(self) -> dict[str, float]:
        return self.inner.report()


@dataclass(frozen=True, kw_only=True)
class IndependentConfig:
    bins: int = 128  # of each coordinate of a point; images have their levels

    @classmethod
    def for_data(cls, data: DataSpec) -> IndependentConfig:
        return cls()


class Independent(_ClosedForm):
    """Every pixel by itself: the product of the marginals.

    q(x) = prod_d q_d(x_d), with q_d(l) = (1 + N_dl) / (L + N), N_dl the training images whose pixel d is l (add one,
    so that no test image is impossible). With much data its mean -log q is the sum of the marginal entropies.
    On points q_d is a smoothed histogram: the coordinate's range in B bins, a Gaussian on the centre of each with the
    bins' width as its standard deviation, weighed in the same way.
    """

    likelihood = "exact"
    Config = IndependentConfig
    logits: Tensor
    low: Tensor
    width: Tensor

    def __init__(self, data: DataSpec, config: IndependentConfig) -> None:
        super().__init__(data, config)
        self.bins = data.levels or config.bins
        self.register_buffer("logits", torch.full((data.dim, self.bins), -math.log(self.bins)))
        if not data.is_image:
            self.register_buffer("low", torch.full((data.dim,), -3.0))
            self.register_buffer("width", torch.full((data.dim,), 6.0 / self.bins))

    def fit(self, x: Tensor) -> None:
        cell = x.flatten(1)
        if not self.data.is_image:
            self.low.copy_(x.amin(dim=0))
            extent = x.amax(dim=0) - self.low
            self.width.copy_(torch.where(extent > 0, extent, 1.0) / self.bins)
            cell = ((x - self.low) / self.width).floor().clamp(max=self.bins - 1)
        counts = torch.stack([(cell == level).sum(dim=0) for level in range(self.bins)], dim=1)
        self.logits.copy_(torch.log((1.0 + counts) / (self.bins + len(x))))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        cell = categorical(self.logits, noise.uniform(self.data.dim))
        if self.data.is_image:
            return cell.to(torch.uint8).reshape(-1, *self.data.shape)
        return self.low + self.width * (cell + 0.5 + noise.normal(self.data.dim))

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        if self.data.is_image:
            return self.logits.expand(len(x), -1, -1).gather(2, x.flatten(1).long()[:, :, None]).sum(dim=(1, 2))
        offset = ((x - self.low) / self.width)[:, :, None] - torch.arange(self.bins, device=x.device) - 0.5
        kernel = -0.5 * offset.square() - _LOG_SQRT_2PI - torch.log(self.width)[:, None]
        return (self.logits + kernel).logsumexp(dim=2).sum(dim=1)


class Gaussian(_ClosedForm):
    """One Gaussian with the mean mu and the full covariance S of the training set: second moments and no more.

    Points: the exact density. Images: y = (x + u) / L in the unit cube, whose moments are exact (the uniform adds
    1 / (12 L^2) to each variance); the likelihood is the uniform-dequantization bound

        log q(x) >= E_u[log N((x + u) / L; mu, S)] - D log L
                  = log N(m; mu, S) - tr(S^-1) / (24 L^2) - D log L,    m = (x + 1/2) / L,

    with its expectation in closed form. Samples are quantized: what falls outside the cube is clamped.
    """

    likelihood: Kind | None = "dequantized"
    mean: Tensor
    factor: Tensor
    gap: Tensor

    def __init__(self, data: DataSpec, config: Plain) -> None:
        super().__init__(data, config)
        if not data.is_image:
            self.likelihood = "exact"
        self.register_buffer("mean", torch.full((data.dim,), 0.5 if data.is_image else 0.0))
        self.register_buffer("factor", torch.eye(data.dim))
        self.register_buffer("gap", torch.zeros(()))
        self._measure()

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        if data.dim > 8192:
            return f"it has {data.dim} values; a full covariance is kept up to 8192"
        return None

    def fit(self, x: Tensor) -> None:
        total = torch.zeros(self.data.dim, dtype=torch.float64, device=x.device)
        square = torch.zeros(self.data.dim, self.data.dim, dtype=torch.float64, device=x.device)
        for part in x.flatten(1).split(4096):
            y = self._centre(part)
            total += y.sum(dim=0)
            square += y.T @ y
        mean = total / len(x)
        covariance = square / len(x) - torch.outer(mean, mean)
        if self.data.levels is not None:
            covariance.diagonal().add_(1.0 / (12.0 * self.data.levels**2))
        # Against a coordinate that does not vary, or one that others determine.
        covariance.diagonal().add_(1e-9 * covariance.diagonal().mean() + 1e-12)
        self.mean.copy_(mean)
        self.factor.copy_(torch.linalg.cholesky(covariance))
        self._measure()

    def _centre(self, x: Tensor) -> Tensor:
        """float64 `(n, D)`: a point, or the centre m of an integer image's cell in the unit cube."""
        y = x.flatten(1).double()
        return y if self.data.levels is None else (y + 0.5) / self.data.levels

    def _measure(self) -> None:
        """gap = tr(S^-1) / (24 L^2), what the expectation over u costs; 0 on points."""
        if self.data.levels is not None:
            eye = torch.eye(self.data.dim, dtype=torch.float64, device=self.factor.device)
            inverse = torch.linalg.solve_triangular(self.factor.double(), eye, upper=False)
            self.gap.copy_(inverse.square().sum() / (24.0 * self.data.levels**2))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        y = self.mean + noise.normal(self.data.dim) @ self.factor.T
        if self.data.levels is None:
            return y
        return quantize(y, self.data.levels).reshape(-1, *self.data.shape)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        offset = self._centre(x) - self.mean.double()
        z = torch.linalg.solve_triangular(self.factor.double(), offset.T, upper=False)
        log_density = (-0.5 * z.square() - _LOG_SQRT_2PI).sum(dim=0) - self.factor.double().diagonal().log().sum()
        return log_density - self.gap.double() - self.data.dim * math.log(self.data.levels or 1)
