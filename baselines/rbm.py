"""The restricted Boltzmann machine: binary pixels, binary hidden units, no edges inside a layer.

Symbols: v in {0, 1}^D the pixels, h in {0, 1}^H the hidden units, W `(D, H)` the weights, b and c the biases, s the
logistic function, mu in (0, 1)^D the data's mean and l = 1/2 the offsets that centre both layers. The energy

    E(v, h) = -(v - mu)' b - (h - l)' c - (v - mu)' W (h - l)

is that of a plain machine with other biases, better conditioned. With a(v) = c + W' (v - mu) and r(h) = b + W (h - l),

    p(h_j = 1 | v) = s(a_j),    p(v_i = 1 | h) = s(r_i),    p(v) = exp(-F(v)) / Z,
    F(v) = -(v - mu)' b + l' a(v) - sum_j log(1 + exp a_j(v)).

Training: the gradient of the mean F over the data, less that over persistent chains (one for each image of a batch),
which take k Gibbs steps before every update. Z: the sum over all states of the smaller layer where it has at most 20
units, else annealed importance sampling; `likelihood` says which.

Deviations: centring with fixed offsets; a linearly falling learning rate.

References: Training products of experts by minimizing contrastive divergence (Hinton, 2002); Training restricted
Boltzmann machines using approximations to the likelihood gradient (Tieleman, 2008) for the persistent chains; On the
quantitative analysis of deep belief networks (Salakhutdinov and Murray, 2008) for AIS; Deep Boltzmann machines and
the centering trick (Montavon and Müller, 2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.noise import State, Streams, fold
from genbench.types import Batch, DataSpec, Kind, Model, Noise, Recipe, Step, Unit

_ENUMERABLE = 20  # units whose 2^20 states are summed in about a second
_AIS_SEED = 2008  # of the noise that estimates Z: the estimate is a function of the weights alone
_BLOCK = 20  # Gibbs steps whose uniforms are drawn in one call


@dataclass(frozen=True, kw_only=True)
class RBMConfig:
    hidden: int  # H
    gibbs_steps: int = field(default=1000, metadata={"sampling": True})  # from the base rates to a sample
    chain_steps: int = 5  # k, of the persistent chains between two updates
    learning_rate: float = 0.05
    weight_cost: float = 2e-4  # of half the squared weights
    temperatures: int = 1000  # of AIS
    ais_chains: int = 100

    @classmethod
    def for_data(cls, data: DataSpec) -> RBMConfig:
        if data.dim <= _ENUMERABLE:
            return cls(hidden=8, gibbs_steps=20)
        return cls(hidden=min(500, 2 * data.dim))


class RBM(Model):
    """Restricted Boltzmann machine by persistent contrastive divergence; Z exact by enumeration, or AIS."""

    family = "energy-based"
    likelihood: Kind | None = "exact"
    Config = RBMConfig
    mu: Tensor
    chains: Tensor

    def __init__(self, data: DataSpec, config: RBMConfig) -> None:
        super().__init__(data, config)
        if min(data.dim, config.hidden) > _ENUMERABLE:
            self.likelihood = "ais"
        self.w = nn.Parameter(torch.randn(data.dim, config.hidden) * 0.01)
        self.b = nn.Parameter(torch.zeros(data.dim))
        self.c = nn.Parameter(torch.zeros(config.hidden))
        self.register_buffer("mu", torch.full((data.dim,), 0.5))
        self.register_buffer("chains", torch.zeros(0, data.dim))
        self._partition: tuple[Tensor, float, float] | None = None

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        if data.levels == 2:
            return None
        return f"its pixels are binary, the data has {data.levels or 'no'} levels"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        return Recipe(steps=12_000 if data.dim <= 64 else 4000, batch_size=100, schedule="linear")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": torch.optim.SGD(self.parameters(), lr=self.config.learning_rate)}

    @classmethod
    def samplers(cls, config: RBMConfig) -> dict[str, dict[str, Any]]:
        return {f"gibbs-{n}": {"gibbs_steps": n} for n in (10, 100, 1000)}

    @property
    def nfe(self) -> int:
        return self.config.gibbs_steps

    def _to_hidden(self, v: Tensor) -> Tensor:
        """a(v), `(n, D)` to `(n, H)`."""
        return self.c + (v - self.mu) @ self.w

    def _to_visible(self, h: Tensor) -> Tensor:
        """r(h), `(n, H)` to `(n, D)`."""
        return self.b + (h - 0.5) @ self.w.T

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) of float `(n, D)`, `(n,)`; log p(v) = -F(v) - log Z."""
        a = self._to_hidden(v)
        return -(v - self.mu) @ self.b + 0.5 * a.sum(dim=1) - F.softplus(a).sum(dim=1)

    def gibbs_step(self, v: Tensor, uniform: Tensor) -> Tensor:
        """The hidden layer, then the visible one: v `(n, D)` and uniforms `(n, H + D)` to v."""
        hidden = self.config.hidden
        h = (uniform[:, :hidden] < torch.sigmoid(self._to_hidden(v))).to(v.dtype)
        return (uniform[:, hidden:] < torch.sigmoid(self._to_visible(h))).to(v.dtype)

    def gibbs(self, v: Tensor, uniform: Tensor, step: Callable[..., Tensor] | None = None) -> Tensor:
        """Alternates between the layers: v `(n, D)`, uniforms `(n, steps, H + D)`, to v after those steps."""
        step = step or self.gibbs_step
        for u in uniform.unbind(dim=1):
            v = step(v, u)
        return v

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        v = batch.x.flatten(1).float()
        units = self.config.hidden + self.data.dim
        if step.index == 0:
            self._start(v, step.noise)
        with torch.no_grad():
            self.chains.copy_(self.gibbs(self.chains, step.noise.uniform(self.config.chain_steps, units)))
        data, model = self.free_energy(v).mean(), self.free_energy(self.chains).mean()
        self.log(free_energy_gap=data - model)
        yield "model", data - model + 0.5 * self.config.weight_cost * self.w.square().sum()

    @torch.no_grad()
    def _start(self, v: Tensor, noise: Noise) -> None:
        """Offsets and visible biases from the base rates (add one), and as many chains as images in a batch."""
        self.mu.copy_((1.0 + v.sum(dim=0)) / (2.0 + len(v)))
        self.b.copy_(torch.logit(self.mu))
        self.chains = (noise.uniform(self.data.dim) < self.mu).to(v.dtype)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """A Gibbs chain for each image, from the base rates: exact in the limit of many steps."""
        self.refuse_labels(labels)
        return self._drive(self.gibbs_step, noise)

    def _drive(self, call: Callable[..., Tensor], noise: Noise) -> Tensor:
        """The chain around any callable that does a Gibbs step."""
        v = (noise.uniform(self.data.dim) < self.mu).to(self.mu.dtype)
        blocks, rest = divmod(self.config.gibbs_steps, _BLOCK)
        units = self.config.hidden + self.data.dim

        def block(state: State, row: State, drawn: State) -> tuple[State, State]:
            return (self.gibbs(state[0], drawn[0], call),), ()

        if blocks:
            (v,), _ = fold(block, (v,), (torch.arange(blocks),), noise, [("uniform", (_BLOCK, units))])
        if rest:
            v = self.gibbs(v, noise.uniform(rest, units), call)
        return v.to(torch.uint8).reshape(-1, *self.data.shape)

    def step(self) -> Unit:
        """A Gibbs step with its uniforms."""

        def example(n: int) -> tuple[Tensor, Tensor]:
            noise = Streams(0, range(n), self.device)
            v = (noise.uniform(self.data.dim) < 0.5).to(self.mu.dtype)
            return v, noise.uniform(self.config.hidden + self.data.dim)

        return Unit(
            module=GibbsStep(self), example=example, inputs=("v", "uniform"), outputs=("v_next",), drive=self._drive
        )

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        log_z, _ = self.log_partition()
        return -self.free_energy(x.flatten(1).float()).double() - log_z

    def log_partition(self) -> tuple[float, float]:
        """log Z and its standard error (0 where it is exact), computed once for the same weights."""
        if torch.compiler.is_exporting() and self._partition is not None:
            return self._partition[1:]  # a number in the graph
        weights = torch.cat([p.detach().flatten() for p in (*self.parameters(), self.mu)])
        if self._partition is None or not torch.equal(self._partition[0].to(weights.device), weights):
            with torch.no_grad():
                found = self._enumerate() if self.likelihood == "exact" else self.annealed()
            self._partition = (weights, *found)
        return self._partition[1:]

    def _enumerate(self) -> tuple[float, float]:
        """log Z by summing over all states of the smaller layer, the other summed in closed form."""
        units = min(self.config.hidden, self.data.dim)
        over_hidden = units == self.config.hidden
        total = torch.full((), -math.inf, dtype=torch.float64, device=self.w.device)
        for states in torch.arange(2**units, device=self.w.device).split(2**14):
            bits = (states[:, None] >> torch.arange(units, device=self.w.device) & 1).to(self.w.dtype)
            if over_hidden:
                r = self._to_visible(bits)
                terms = (bits - 0.5) @ self.c - r @ self.mu + F.softplus(r).sum(dim=1)
            else:
                terms = -self.free_energy(bits)
            total = torch.logaddexp(total, terms.double().logsumexp(dim=0))
        return total.item(), 0.0

    def annealed(self) -> tuple[float, float]:
        """log Z by annealed importance sampling, and its standard error.

        From the base-rate law, whose Z_0 is known, to p through f_t(v) = sum_h exp((1 - t) v' b_0 - t E(v, h)),
        b_0 = logit(mu), at evenly spaced t; a Gibbs step at each. Z_0 times the mean of the importance weights
        is unbiased for Z, so that log Z is underestimated and the likelihood is optimistic. The error is the
        weights' standard error over their mean. Its noise has a seed of its own: a function of the weights.
        """
        config, b0 = self.config, torch.logit(self.mu)
        noise = Streams(_AIS_SEED, torch.arange(config.ais_chains), self.w.device)

        v = (noise.uniform(self.data.dim) < self.mu).to(self.mu.dtype)
        log_w = torch.zeros(config.ais_chains, dtype=torch.float64, device=self.w.device)
        for k in range(1, config.temperatures + 1):
            before, t = (k - 1) / config.temperatures, k / config.temperatures
            a = self._to_hidden(v)
            slope = (v - self.mu) @ self.b - 0.5 * a.sum(dim=1) - v @ b0
            log_w += ((t - before) * slope + (F.softplus(t * a) - F.softplus(before * a)).sum(dim=1)).double()
            u = noise.uniform(config.hidden + self.data.dim)
            h = (u[:, : config.hidden] < torch.sigmoid(t * a)).to(v.dtype)
            v = (u[:, config.hidden :] < torch.sigmoid((1.0 - t) * b0 + t * self._to_visible(h))).to(v.dtype)
        log_z0 = F.softplus(b0.double()).sum() + config.hidden * math.log(2.0)
        w = torch.exp(log_w - log_w.max())
        log_z = log_z0 + log_w.max() + torch.log(w.mean())
        return log_z.item(), (w.std() / w.mean() / config.ais_chains**0.5).item()

    def report(self) -> dict[str, float]:
        log_z, error = self.log_partition()
        return {"log_partition": log_z, "log_partition_standard_error": error}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # How many chains there are is the batch size's business.
        if (stored := state_dict.get(prefix + "chains")) is not None:
            self.chains = self.chains.new_zeros(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class GibbsStep(nn.Module):
    """A Gibbs step of a machine as a module of its own: v `(n, D)` and uniforms `(n, H + D)` to v."""

    def __init__(self, machine: RBM) -> None:
        super().__init__()
        self.machine = machine

    def forward(self, v: Tensor, uniform: Tensor) -> Tensor:
        return self.machine.gibbs_step(v, uniform)
