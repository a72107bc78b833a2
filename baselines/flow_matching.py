"""Flow matching: a velocity field that carries noise into data along straight lines on average.

Symbols (Lipman and others): x_0 noise from N(0, I), x_1 data on the scale of [-1, 1] (points: standardized),
t in [0, 1], x_t = (1 - t) x_0 + t x_1 the straight path, v_theta(x, t) the network's estimate of
E[x_1 - x_0 | x_t = x]. Samples solve dx/dt = v_theta(x, t) from t = 0 to 1; the density follows along,

    log p(x_1) = log N(x_0; 0, I) - integral over t of div v_theta(x_t, t).

Time is refined toward the data by t = 1 - (1 - u)^rho, u uniform (in training) or evenly spaced (in solvers): the
field changes fastest where 1 - t is about the width of the data's finest structure. rho = 1 is the plain path.

References: Flow matching for generative modeling (Lipman, Chen, Ben-Hamu, Nickel and Le, 2023); Flow straight and
fast: learning to generate and transfer data with rectified flow (Liu, Gong and Liu, 2023); FFJORD: free-form
continuous dynamics for scalable reversible generative models (Grathwohl and others, 2019) for the likelihood.

Deviations: sigma_min is 0, as Liu and others have it; the refinement of time; fixed steps instead of an adaptive
solver, so that a sample costs the same whatever its noise; images are dequantized uniformly in training, so that
they have a density.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from baselines.nets import Standardize, TimeMLP, UNet
from genbench import images
from genbench.noise import State, Streams, fold
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step, Unit

Time = Any  # a number, or a tensor without dimensions
Field = Callable[[Tensor, Time], Tensor]  # dx/dt at (x, t)
Solver = Callable[[Field, Tensor, Time, Time], Tensor]  # x at `after` from x at `before`

EXACT_DIVERGENCE = 16  # the largest D whose divergence is summed exactly; beyond it is estimated


@dataclass(frozen=True, kw_only=True)
class FlowMatchingConfig:
    """Sizes, refinement of time, solvers."""

    solver: Literal["euler", "heun", "midpoint"] = field(default="heun", metadata={"sampling": True})
    steps: int = field(default=20, metadata={"sampling": True})  # of the solver; second order evaluates twice in each
    rho: float = 1.0  # refinement of time toward the data
    likelihood_steps: int = 20  # Runge-Kutta steps of the likelihood
    probes: int = 1  # of Hutchinson's estimate, where the divergence is not exact
    width: int = 32  # of the U-Net (images)
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    hidden: int = 128  # of the residual MLP (points)
    depth: int = 3
    octaves: int = 6
    learning_rate: float = 2e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> FlowMatchingConfig:
        if not data.is_image:
            return cls(steps=60, rho=2.0, likelihood_steps=100)
        if data.shape[-1] <= 8:
            return cls(multipliers=(1, 1))
        if data.shape[-1] <= 16:
            return cls(multipliers=(1, 1, 2))
        return cls(steps=50, width=128, multipliers=(1, 2, 2, 2), blocks=2, learning_rate=2e-4)


def euler(field: Field, x: Tensor, before: Time, after: Time) -> Tensor:
    """First order: one evaluation."""
    return x + (after - before) * field(x, before)


def heun(field: Field, x: Tensor, before: Time, after: Time) -> Tensor:
    """Second order, the trapezoid after an Euler step: two evaluations."""
    h = after - before
    k1 = field(x, before)
    return x + 0.5 * h * (k1 + field(x + h * k1, after))


def midpoint(field: Field, x: Tensor, before: Time, after: Time) -> Tensor:
    """Second order, the slope half a step ahead: two evaluations, none of them at the end of time."""
    h = after - before
    return x + h * field(x + 0.5 * h * field(x, before), before + 0.5 * h)


def runge_kutta(field: Field, x: Tensor, before: Time, after: Time) -> Tensor:
    """Fourth order, the classical scheme: four evaluations."""
    h, middle = after - before, 0.5 * (before + after)
    k1 = field(x, before)
    k2 = field(x + 0.5 * h * k1, middle)
    k3 = field(x + 0.5 * h * k2, middle)
    return x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + field(x + h * k3, after))


SOLVERS: dict[str, Solver] = {"euler": euler, "heun": heun, "midpoint": midpoint}
EVALUATIONS = {"euler": 1, "heun": 2, "midpoint": 2}  # in a step


def times(steps: int, rho: float = 1.0) -> list[float]:
    """0 = t_0 < ... < t_steps = 1, finer toward 1: t = 1 - (1 - k / steps)^rho."""
    return [1.0 - (1.0 - k / steps) ** rho for k in range(steps + 1)]


def solve(field: Field, x: Tensor, grid: Sequence[float], solver: Solver) -> Tensor:
    """x at the end of the grid of times; the grid may run backward."""
    for before, after in pairwise(grid):
        x = solver(field, x, before, after)
    return x


def divergence(v: Tensor, x: Tensor, probes: Tensor | None) -> Tensor:
    """div v = trace of dv/dx for every row, `(n,)`; exact by D backward passes, or Hutchinson's estimate.

    Args:
        v, x: `(n, D)`, v computed from x with gradients on.
        probes: None for the exact trace, or `(K, n, D)` with mean 0 and covariance I: the mean of e^T (dv/dx) e.
    """
    last = len(probes) - 1 if probes is not None else v.shape[1] - 1
    total = torch.zeros_like(v[:, 0])
    for k in range(last + 1):
        e = (
            probes[k]
            if probes is not None
            else torch.zeros_like(v).index_fill(1, torch.tensor(k, device=v.device), 1.0)
        )
        (row,) = torch.autograd.grad(v, x, e, retain_graph=k < last)
        total = total + (row * e).sum(dim=1)
    return total if probes is None else total / len(probes)


def log_density(field: Field, x: Tensor, grid: Sequence[float], probes: Tensor | None = None) -> Tensor:
    """log p(x) at the end of the flow of a field that starts from N(0, I), nats `(n,)`.

    Solves backward for the point and the integral of the divergence together, with fourth order steps. The error
    of the solver makes it an estimate; Hutchinson's probes, held fixed along the path, add noise but no bias.

    Args:
        field: v(x, t) on `(n, D)`, differentiable.
        x: `(n, D)`.
        grid: the times from 0 to 1.
        probes: as for `divergence`.
    """

    def augmented(state: Tensor, t: float) -> Tensor:
        with torch.enable_grad():
            point = state[:, :-1].detach().requires_grad_()
            v = field(point, t)
            return torch.cat([v, divergence(v, point, probes)[:, None]], dim=1).detach()

    # A caller's inference mode would forbid the gradients that the divergence needs.
    with torch.inference_mode(False):
        start = torch.cat([x.clone(), torch.zeros_like(x[:, :1])], dim=1)
        end = solve(augmented, start, grid[::-1], runge_kutta)
    x0, gained = end[:, :-1], end[:, -1]
    # Backward in time the integral comes out negated: `gained` is minus the integral from 0 to 1.
    return -0.5 * (x0.square() + math.log(2.0 * math.pi)).sum(dim=1) + gained


class FlowMatching(Model):
    """Conditional flow matching on the straight path; Euler, Heun or midpoint sampling; likelihood by the flow's ODE.

    Likelihood: points have the density of the flow, up to the solver's error. Images are dequantized: the log density
    of (x + u) / L at one uniform u, in nats of the integer image, whose mean over u bounds log P(x) from below; for
    D > 16 the divergence is Hutchinson's estimate. It is published as an estimate, since the solver is inexact.
    """

    family = "flow-matching"
    likelihood = "ode"
    Config = FlowMatchingConfig

    config: FlowMatchingConfig

    def __init__(self, data: DataSpec, config: FlowMatchingConfig) -> None:
        super().__init__(data, config)
        c = config
        if c.solver not in SOLVERS:
            raise Refused(f"flow matching knows no solver {c.solver!r}; it has {', '.join(SOLVERS)}")
        for name in ("steps", "likelihood_steps", "probes"):
            if getattr(c, name) < 1:
                raise Refused(f"flow matching needs at least one of {name}; {getattr(c, name)} is none")
        if c.rho < 1.0:
            raise Refused(f"rho refines time toward the data and is at least 1; {c.rho} is less")
        if data.is_image:
            channels = data.shape[0]
            self.network: torch.nn.Module = UNet(channels, channels, c.width, c.multipliers, c.blocks)
        else:
            self.network = TimeMLP(data.dim, c.hidden, c.depth, c.octaves)
            self.standardize = Standardize(data.shape)

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        if not data.is_image:
            return Recipe(steps=3000, batch_size=256, ema=0.998, clip=1.0, warmup=100, schedule="cosine")
        if data.shape[-1] <= 16:
            return Recipe(steps=1200, batch_size=64, ema=0.995, clip=1.0, warmup=100, schedule="cosine")
        return Recipe(steps=200_000, batch_size=128, ema=0.9999, clip=1.0, warmup=5000)

    @classmethod
    def samplers(cls, config: FlowMatchingConfig) -> dict[str, dict[str, Any]]:
        counts = {"euler": (5, 10, 20, 50), "heun": (5, 10, 20), "midpoint": (5, 10, 20)}
        return {f"{solver}-{n}": {"solver": solver, "steps": n} for solver, some in counts.items() for n in some}

    @property
    def nfe(self) -> int:
        return self.config.steps * EVALUATIONS[self.config.solver]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": torch.optim.Adam(self.network.parameters(), self.config.learning_rate)}

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        """E |v_theta(x_t, t) - (x_1 - x_0)|^2 / D."""
        if step.index == 0 and not self.data.is_image:
            self.standardize.observe(batch.x)
        t = 1.0 - (1.0 - step.noise.uniform()) ** self.config.rho
        x0 = step.noise.normal(*self.data.shape)
        x1 = self._to_flow(batch.x, step.noise)
        each = t.reshape(-1, *[1] * len(self.data.shape))
        yield "network", (self.network((1.0 - each) * x0 + each * x1, t) - (x1 - x0)).square().mean()

    def velocity(self, x: Tensor, t: float) -> Tensor:
        """v_theta(x, t) at one time for the whole batch; x of any shape `(n, ...)` with D values a row."""
        at = torch.full((1,), t, device=x.device)
        return self.network(x.reshape(-1, *self.data.shape), at).reshape(x.shape)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._drive(self.network, noise)

    def _drive(self, call: Callable[..., Tensor], noise: Noise) -> Tensor:
        """The solver around any callable that computes the velocity of `(n, *shape)` at t `(1,)`."""

        solver = SOLVERS[self.config.solver]

        def velocity(x: Tensor, t: Time) -> Tensor:
            return call(x, x.new_zeros(1) + t)

        def body(state: State, row: State, drawn: State) -> tuple[State, State]:
            return (solver(velocity, *state, *row),), ()

        # Numbers, which stay on the CPU in double precision.
        grid = torch.tensor(times(self.config.steps, self.config.rho), dtype=torch.float64)
        (x,), _ = fold(body, (noise.normal(*self.data.shape),), (grid[:-1], grid[1:]), noise)
        if self.data.levels:
            return images.quantize((x + 1.0) * 0.5, self.data.levels)
        return self.standardize.inverse(x)

    def step(self) -> Unit:
        """v_theta(x, t), with t as a tensor."""

        def example(n: int) -> tuple[Tensor, Tensor]:
            x = Streams(0, range(n), self.device).normal(*self.data.shape)
            return x, torch.full((1,), 0.5, device=self.device)

        return Unit(module=self.network, example=example, inputs=("x", "t"), outputs=("velocity",), drive=self._drive)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        dim, levels, c = self.data.dim, self.data.levels, self.config
        x1 = self._to_flow(x, noise).flatten(1)
        probes = None
        if dim > EXACT_DIVERGENCE:
            probes = (noise.uniform(c.probes, dim) - 0.5).sign().transpose(0, 1)
        nats = log_density(self.velocity, x1, times(c.likelihood_steps, c.rho), probes)
        # The cell of an integer image has volume (2 / L)^D on the scale of the flow.
        return nats + (dim * math.log(2.0 / levels) if levels else self.standardize.log_det)

    def _to_flow(self, x: Tensor, noise: Noise) -> Tensor:
        """The data on the scale of the flow; images dequantized."""
        if self.data.levels is None:
            return self.standardize(x)
        return 2.0 * images.dequantize(x, noise.uniform(*self.data.shape), self.data.levels) - 1.0
