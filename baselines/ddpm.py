"""Denoising diffusion: noise is added in T small steps, a network learns to take it away.

Symbols (Ho and others): x_0 the data on the scale of [-1, 1] (points: standardized), i = 1 .. T the step, beta_i its
variance, alpha_i = 1 - beta_i, abar_i = alpha_1 ... alpha_i (abar_0 = 1), q the noising process, p the model,
eps the noise in x_i = sqrt(abar_i) x_0 + sqrt(1 - abar_i) eps, eps_theta(x_i, i) the network's estimate of it.

    q(x_s | x_i, x_0) = N(m, v),   a = abar_i / abar_s,   v = (1 - a) (1 - abar_s) / (1 - abar_i),
    m = (sqrt(abar_s) (1 - a) x_0 + sqrt(a) (1 - abar_s) x_i) / (1 - abar_i)          for s < i
    p(x_{i-1} | x_i) = q(x_{i-1} | x_i, x_0 estimated), and at i = 1 the decoder with standard deviation sqrt(beta_1)

References: Denoising diffusion probabilistic models (Ho, Jain and Abbeel, 2020); Improved denoising diffusion
probabilistic models (Nichol and Dhariwal, 2021) for the cosine schedule and for sampling in fewer steps; Denoising
diffusion implicit models (Song, Meng and Ermon, 2021); DPM-Solver++: fast solver for guided sampling of diffusion
probabilistic models (Lu, Zhou, Bao, Chen, Li and Zhu, 2022).

Deviations: sizes and T suit small data; attention at the lowest resolution only; the linear schedule keeps its
total when T is not 1000 (Nichol and Dhariwal).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.nets import Standardize, TimeMLP, UNet
from genbench import images
from genbench.noise import State, Streams, fold
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step, Unit

SAMPLING = {"sampling": True}
Scalar = Any  # a number, or a tensor without dimensions
Index = Any  # likewise, whole
Eps = Callable[[Tensor, Index], Tensor]  # eps(x_i, i)


@dataclass(frozen=True, kw_only=True)
class DDPMConfig:
    """Sizes, schedule and sampler."""

    timesteps: int = 1000  # T
    schedule: Literal["linear", "cosine"] = "linear"
    sampler: Literal["ancestral", "ddim", "dpmpp"] = field(default="ancestral", metadata=SAMPLING)
    sampling_steps: int | None = field(default=None, metadata=SAMPLING)  # of the T; None: all of them
    eta: float = field(default=0.0, metadata=SAMPLING)  # of DDIM: 0 is deterministic, 1 has the ancestral variance
    width: int = 32  # of the U-Net (images)
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    hidden: int = 128  # of the residual MLP (points)
    depth: int = 3
    octaves: int = 6
    learning_rate: float = 2e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> DDPMConfig:
        if not data.is_image:
            return cls(sampling_steps=250)
        if data.shape[-1] <= 8:
            return cls(timesteps=50, schedule="cosine", multipliers=(1, 1))
        if data.shape[-1] <= 16:
            return cls(timesteps=50, schedule="cosine", multipliers=(1, 1, 2))
        return cls(width=128, multipliers=(1, 2, 2, 2), blocks=2, learning_rate=2e-4)


def cumulative(schedule: str, timesteps: int) -> list[float]:
    """abar_0 .. abar_T, in double precision.

    Linear: beta_i evenly spaced from 1e-4 to 0.02, times 1000 / T. Cosine: abar_i = f(i / T) / f(0) with
    f(t) = cos((t + 0.008) / 1.008 * pi / 2)^2. Either way beta_i <= 0.999.
    """
    if schedule == "linear":
        betas = [1000.0 / timesteps * (1e-4 + (0.02 - 1e-4) * i / max(1, timesteps - 1)) for i in range(timesteps)]
    else:
        f = [math.cos((i / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(timesteps + 1)]
        betas = [1.0 - after / before for before, after in pairwise(f)]
    abar = [1.0]
    for beta in betas:
        abar.append(abar[-1] * (1.0 - min(beta, 0.999)))
    return abar


def path(timesteps: int, steps: int) -> list[int]:
    """`steps` of the indices 1 .. T, evenly spaced from T down to 1, and 0 at the end."""
    if steps == 1:
        return [timesteps, 0]
    return [round(1 + (timesteps - 1) * k / (steps - 1)) for k in reversed(range(steps))] + [0]


def path_in_snr(abar: Sequence[float], steps: int, lowest: float = -3.0) -> list[int]:
    """T, then indices whose lambda (half the log signal-to-noise ratio) lies evenly up to lambda_1, and 0 at the end.

    Below `lowest` x_i is noise and nearly nothing changes, so that one step, the first, is enough there.
    """
    half_log_snr = [0.5 * math.log(a / (1.0 - a)) for a in abar[1:]]
    low, high, found = max(lowest, half_log_snr[-1]), half_log_snr[0], [len(abar) - 1]
    for k in range(1, steps):
        aim = low + (high - low) * k / (steps - 1)
        nearest = min(range(1, len(abar)), key=lambda i: abs(half_log_snr[i - 1] - aim))
        found.append(max(min(nearest, found[-1] - 1), steps - k))
    return [*found, 0]


def estimate(x: Tensor, e: Tensor, abar: Scalar, clip: float | None) -> Tensor:
    """x_0 = (x_i - sqrt(1 - abar_i) eps) / sqrt(abar_i), clipped to [-clip, clip] where there is one."""
    x0 = (x - (1.0 - abar) ** 0.5 * e) / abar**0.5
    return x0 if clip is None else x0.clamp(-clip, clip)


def posterior(x: Tensor, x0: Tensor, abar_i: Scalar, abar_s: Scalar) -> tuple[Tensor, Scalar]:
    """Mean and variance of q(x_s | x_i, x_0)."""
    a = abar_i / abar_s
    mean = abar_s**0.5 * (1.0 - a) / (1.0 - abar_i) * x0 + a**0.5 * (1.0 - abar_s) / (1.0 - abar_i) * x
    return mean, (1.0 - a) * (1.0 - abar_s) / (1.0 - abar_i)


def _rows(abar: Sequence[float], steps: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """i, abar_i and abar_s of all steps that end in noise; numbers, which stay on the CPU in double precision."""
    i, level = torch.tensor([i for i in steps if i]), torch.tensor(abar, dtype=torch.float64)
    return i[:-1], level[i[:-1]], level[i[1:]]


def ancestral(
    eps: Eps, x: Tensor, noise: Noise, abar: Sequence[float], steps: Sequence[int],
    clip: float | None = None, last: float = 0.0,
) -> Tensor:  # fmt: skip
    """From x_T down the steps: x_s drawn from q(x_s | x_i, x_0 estimated).

    Args:
        steps: decreasing, T first, 0 last.
        last: standard deviation of the noise in the last step; with 0 none is drawn there, as Ho and others show
            images.
    """
    shape = x.shape[1:]

    def towards(x: Tensor, i: Index, abar_i: Scalar, abar_s: Scalar) -> tuple[Tensor, Scalar]:
        return posterior(x, estimate(x, eps(x, i), abar_i, clip), abar_i, abar_s)

    def body(state: State, row: State, drawn: State) -> tuple[State, State]:
        mean, variance = towards(*state, *row)
        return (mean + variance**0.5 * drawn[0],), ()

    (x,), _ = fold(body, (x,), _rows(abar, steps), noise, [("normal", shape)])
    if steps[-1]:
        return x
    mean, _ = towards(x, steps[-2], abar[steps[-2]], 1.0)
    return mean + last * noise.normal(*shape) if last else mean


def ddim(
    eps: Eps, x: Tensor, noise: Noise, abar: Sequence[float], steps: Sequence[int],
    clip: float | None = None, eta: float = 0.0,
) -> Tensor:  # fmt: skip
    """x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s - sigma^2) eps + sigma z, sigma^2 = eta^2 v.

    Where x_0 is clipped, eps is what remains of x_i. Nothing is drawn for eta = 0, nor in the last step, which ends in
    x_0.
    """

    def body(state: State, row: State, drawn: State) -> tuple[State, State]:
        (x,), (i, abar_i, abar_s) = state, row
        x0 = estimate(x, eps(x, i), abar_i, clip)
        e = (x - abar_i**0.5 * x0) / (1.0 - abar_i) ** 0.5
        sigma = eta * posterior(x, x0, abar_i, abar_s)[1] ** 0.5
        x = abar_s**0.5 * x0 + (1.0 - abar_s - sigma**2).clamp(min=0.0) ** 0.5 * e
        return (x + sigma * drawn[0] if drawn else x,), ()

    (x,), _ = fold(body, (x,), _rows(abar, steps), noise, [("normal", x.shape[1:])] if eta else [])
    return x if steps[-1] else estimate(x, eps(x, steps[-2]), abar[steps[-2]], clip)


def dpmpp(eps: Eps, x: Tensor, abar: Sequence[float], steps: Sequence[int], clip: float | None = None) -> Tensor:
    """DPM-Solver++(2M): second order with one evaluation a step, by the estimate of x_0 before this one.

    With lambda_i = log(abar_i / (1 - abar_i)) / 2, h = lambda_s - lambda_i and r = (lambda_i - lambda_before) / h,

        x_s = sqrt((1 - abar_s) / (1 - abar_i)) x_i - sqrt(abar_s) (exp(-h) - 1) (x_0 + (x_0 - x_0 before) / (2 r)).

    The first step, and the one that ends without noise, where h is infinite, take x_0 alone: steps of DDIM. Nothing is
    drawn.
    """

    def body(state: State, row: State, drawn: State) -> tuple[State, State]:
        (x, before), (i, abar_i, abar_s, h, extrapolated) = state, row
        x0 = estimate(x, eps(x, i), abar_i, clip)
        d = x0 + extrapolated * (x0 - before)
        return (((1.0 - abar_s) / (1.0 - abar_i)) ** 0.5 * x - abar_s**0.5 * torch.expm1(-h) * d, x0), ()

    i, abar_i, abar_s = _rows(abar, steps)
    here, there = torch.logit(abar_i) / 2, torch.logit(abar_s) / 2
    h = there - here
    # Nothing lies before the first step: it extrapolates by nothing.
    extrapolated = F.pad(0.5 * h[1:] / (here[1:] - here[:-1]), (min(1, len(i)), 0))
    (x, _), _ = fold(body, (x, torch.zeros_like(x)), (i, abar_i, abar_s, h, extrapolated))
    return x if steps[-1] else estimate(x, eps(x, steps[-2]), abar[steps[-2]], clip)


def discretized_gaussian(x: Tensor, mean: Tensor, scale: float, levels: int) -> Tensor:
    """log P(x) of an integer x under a Gaussian on the scale of [-1, 1], rounded to the levels; open tails.

    P(x) = Phi((x_signed + 1 / (L - 1) - mean) / scale) - Phi((x_signed - 1 / (L - 1) - mean) / scale), with the
    lowest level taking all below and the highest all above (equation 13 of Ho and others). Same shape as x.
    """
    centre = (images.to_signed(x, levels) - mean) / scale
    half = 1.0 / ((levels - 1) * scale)
    below, above = torch.special.log_ndtr(centre + half), torch.special.log_ndtr(half - centre)
    # On the side of the tail Phi(upper) - Phi(lower) loses nothing: log of a difference of two small numbers.
    far = centre.abs()
    upper, lower = torch.special.log_ndtr(half - far), torch.special.log_ndtr(-half - far)
    inner = upper + torch.log(-torch.expm1(lower - upper))
    return torch.where(x == 0, below, torch.where(x == levels - 1, above, inner))


def _total(x: Tensor) -> Tensor:
    """The sum over everything but the batch, `(n,)`."""
    return x.flatten(1).sum(dim=1)


class Terms(NamedTuple):
    """What the bound is made of, nats `(n,)` each: -log p(x) <= prior + diffusion + decoder in expectation."""

    prior: Tensor  # KL(q(x_T | x_0) || N(0, I))
    diffusion: Tensor  # sum over i = 2 .. T of KL(q(x_{i-1} | x_i, x_0) || p(x_{i-1} | x_i))
    decoder: Tensor  # -log p(x | x_1), for points with the change of scale


class DDPM(Model):
    """Denoising diffusion with L_simple, the mean square error of the predicted noise; three samplers.

    Likelihood: `log_prob` is minus the variational bound, an exact sum over the T steps with fresh noise in each,
    that is T network passes. It is an unbiased estimate of a lower bound; its variance over the noise falls with
    the network's error, since a perfect network leaves terms that hardly vary.
    """

    family = "diffusion"
    likelihood = "vlb"
    Config = DDPMConfig
    capabilities = frozenset({"terms"})

    config: DDPMConfig

    signal: Tensor  # sqrt(abar_i)
    spread: Tensor  # sqrt(1 - abar_i)

    def __init__(self, data: DataSpec, config: DDPMConfig) -> None:
        super().__init__(data, config)
        c = config
        if c.schedule not in ("linear", "cosine"):
            raise Refused(f"DDPM knows no schedule {c.schedule!r}; it has 'linear' and 'cosine'")
        if c.sampler not in ("ancestral", "ddim", "dpmpp"):
            raise Refused(f"DDPM knows no sampler {c.sampler!r}; it has 'ancestral', 'ddim' and 'dpmpp'")
        if not 1 <= (c.sampling_steps or c.timesteps) <= c.timesteps:
            raise Refused(f"DDPM takes 1 to timesteps = {c.timesteps} sampling steps, not {c.sampling_steps}")
        if not 0.0 <= c.eta <= 1.0:
            raise Refused(f"the eta of DDIM lies between 0 and 1; {c.eta} does not")
        self.abar = cumulative(c.schedule, c.timesteps)
        self.register_buffer("signal", torch.tensor([math.sqrt(a) for a in self.abar]), persistent=False)
        self.register_buffer("spread", torch.tensor([math.sqrt(1.0 - a) for a in self.abar]), persistent=False)
        count = c.sampling_steps or c.timesteps
        self.steps = path_in_snr(self.abar, count) if c.sampler == "dpmpp" else path(c.timesteps, count)
        self.clip = 1.0 if data.is_image else None
        if data.is_image:
            channels = data.shape[0]
            self.network: torch.nn.Module = UNet(channels, channels, c.width, c.multipliers, c.blocks)
        else:
            self.network = TimeMLP(data.dim, c.hidden, c.depth, c.octaves, highest=1000.0)
            self.standardize = Standardize(data.shape)

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if not data.is_image:
            return Recipe(steps=3000, batch_size=256, ema=0.998, clip=1.0, warmup=100, schedule="cosine")
        if data.shape[-1] <= 16:
            return Recipe(steps=1200, batch_size=64, ema=0.995, clip=1.0, warmup=100, schedule="cosine")
        return Recipe(steps=200_000, batch_size=128, ema=0.9999, clip=1.0, warmup=5000)

    @classmethod
    def samplers(cls, config: DDPMConfig) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {"ancestral": {"sampler": "ancestral", "sampling_steps": None}}
        for kind, counts in (("ddim", (5, 10, 20, 50)), ("dpmpp", (5, 10, 20))):
            for n in counts:
                if n <= config.timesteps:
                    found[f"{kind}-{n}"] = {"sampler": kind, "sampling_steps": n, "eta": 0.0}
        return found

    @property
    def nfe(self) -> int:
        return len(self.steps) - 1

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": torch.optim.Adam(self.network.parameters(), self.config.learning_rate)}

    def to_diffusion(self, x: Tensor) -> Tensor:
        """The data on the scale of the diffusion."""
        return images.to_signed(x, self.data.levels) if self.data.levels else self.standardize(x)

    def eps(self, x: Tensor, i: int) -> Tensor:
        """eps_theta(x_i, i) at one step for the whole batch."""
        return self.network(x, torch.full((1,), i / self.config.timesteps, device=x.device))

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        """L_simple = E |eps - eps_theta(x_i, i)|^2 / D with i uniform in 1 .. T."""
        if step.index == 0 and not self.data.is_image:
            self.standardize.observe(batch.x)
        x0 = self.to_diffusion(batch.x)
        i = (step.noise.uniform() * self.config.timesteps).long().clamp(max=self.config.timesteps - 1) + 1
        e = step.noise.normal(*self.data.shape)
        each = (-1, *[1] * len(self.data.shape))
        x = self.signal[i].reshape(each) * x0 + self.spread[i].reshape(each) * e
        yield "network", (self.network(x, i / self.config.timesteps) - e).square().mean()

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._drive(self.network, noise)

    def _drive(self, call: Callable[..., Tensor], noise: Noise) -> Tensor:
        """The sampler around any callable that computes eps of `(n, *shape)` and i / T `(1,)`."""
        c, shape = self.config, self.data.shape

        def eps(x: Tensor, i: Index) -> Tensor:
            return call(x, x.new_zeros(1) + i / c.timesteps)

        x = noise.normal(*shape)
        if c.sampler == "dpmpp":
            x = dpmpp(eps, x, self.abar, self.steps, self.clip)
        elif c.sampler == "ddim":
            x = ddim(eps, x, noise, self.abar, self.steps, self.clip, c.eta)
        else:
            last = 0.0 if self.data.is_image else math.sqrt(1.0 - self.abar[1])
            x = ancestral(eps, x, noise, self.abar, self.steps, self.clip, last)
        return images.from_signed(x, self.data.levels) if self.data.levels else self.standardize.inverse(x)

    def step(self) -> Unit:
        """eps_theta(x_i, i), with i / T as a tensor."""

        def example(n: int) -> tuple[Tensor, Tensor]:
            x = Streams(0, range(n), self.device).normal(*self.data.shape)
            return x, torch.full((1,), 0.5, device=self.device)

        return Unit(module=self.network, example=example, inputs=("x", "t"), outputs=("eps",), drive=self._drive)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """Minus the variational bound of the T-step model, whatever steps the sampler takes."""
        self.refuse_labels(labels)
        terms = self.terms(x, noise)
        return -(terms.prior + terms.diffusion + terms.decoder)

    def terms(self, x: Tensor, noise: Noise) -> Terms:
        """The terms of the bound, each step with noise of its own.

        Both Gaussians of a step have the same variance, so that its divergence is
        (SNR_{i-1} - SNR_i) / 2 |x_0 - x_0 estimated|^2 with SNR_i = abar_i / (1 - abar_i).
        """
        x0 = self.to_diffusion(x)
        abar = self.abar
        prior = 0.5 * _total(abar[-1] * x0.square() - abar[-1] - math.log1p(-abar[-1]))
        diffusion, decoder = torch.zeros_like(prior), torch.zeros_like(prior)
        for i in range(1, self.config.timesteps + 1):
            noisy = math.sqrt(abar[i]) * x0 + math.sqrt(1.0 - abar[i]) * noise.normal(*self.data.shape)
            guess = estimate(noisy, self.eps(noisy, i), abar[i], self.clip)
            if i == 1:
                decoder = self._decoder(x, x0, guess)
            else:
                gain = abar[i - 1] / (1.0 - abar[i - 1]) - abar[i] / (1.0 - abar[i])
                diffusion = diffusion + 0.5 * gain * _total((x0 - guess).square())
        return Terms(prior, diffusion, decoder)

    def _decoder(self, x: Tensor, x0: Tensor, mean: Tensor) -> Tensor:
        """-log p(x | x_1): a discretized Gaussian for images, a Gaussian density for points."""
        scale = math.sqrt(1.0 - self.abar[1])
        if self.data.levels:
            return -_total(discretized_gaussian(x, mean, scale, self.data.levels))
        log_density = -0.5 * ((x0 - mean) / scale).square() - math.log(scale) - 0.5 * math.log(2.0 * math.pi)
        return -_total(log_density) - self.standardize.log_det
