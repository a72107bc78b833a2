"""Small samplers to try backends and gates on: one shot, a loop written as a fold, a loop written as a loop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genbench.images import from_signed
from genbench.noise import Noise, categorical, fold
from genbench.types import DataSpec, Model, Unit

SPEC = DataSpec(shape=(1, 4, 4), levels=17)


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    steps: int = 30
    width: int = 8

    @classmethod
    def for_data(cls, data: DataSpec) -> ToyConfig:
        return cls()


class Velocity(nn.Module):
    """A network of a point and a time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(2, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([x, t.reshape(-1, 1, 1, 1).expand_as(x)], dim=1))


class Folded(Model):
    """A noisy chain whose loop is a fold."""

    family = "toy"
    Config = ToyConfig

    def __init__(self, data: DataSpec, config: ToyConfig) -> None:
        super().__init__(data, config)
        self.network = Velocity(config.width)

    @property
    def nfe(self) -> int:
        return self.config.steps

    def step(self) -> Unit:
        return Unit(
            module=self.network,
            example=lambda n: (torch.zeros(n, *self.data.shape), torch.zeros(1)),
            inputs=("x", "t"),
            outputs=("velocity",),
            drive=self.drive,
        )

    def drive(self, call, noise: Noise) -> Tensor:
        times = torch.arange(self.config.steps, device=noise.device)[:, None] / self.config.steps

        def body(state, rows, draws):
            (x,), (t,), (z,) = state, rows, draws
            return (0.9 * x + 0.3 * call(x, t) + 0.2 * (1.0 - t) * z,), ()

        (x,), _ = fold(body, (noise.normal(*self.data.shape),), (times,), noise, [("normal", self.data.shape)])
        return from_signed(x, self.data.levels)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        return self.drive(self.network, noise)


class Unfolded(Folded):
    """The same chain, its loop in Python."""

    def drive(self, call, noise: Noise) -> Tensor:
        x = noise.normal(*self.data.shape)
        for k in range(self.config.steps):
            t = torch.full((1,), k / self.config.steps, device=noise.device)
            x = 0.9 * x + 0.3 * call(x, t) + 0.2 * (1.0 - t) * noise.normal(*self.data.shape)
        return from_signed(x, self.data.levels)


class OneShot(Model):
    """A generator: one draw, one pass."""

    family = "toy"
    likelihood = "exact"
    Config = ToyConfig

    def __init__(self, data: DataSpec, config: ToyConfig) -> None:
        super().__init__(data, config)
        self.network = nn.Linear(data.dim, data.dim)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        x = self.network(noise.normal(self.data.dim)).reshape(-1, *self.data.shape)
        return from_signed(x, self.data.levels)

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        return -(self.network(x.flatten(1).float()) + noise.normal(self.data.dim)).square().sum(dim=1)


class Pixel(nn.Module):
    """The next value from those before it, and a uniform."""

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__()
        self.net = nn.Linear(2 * dim, levels)

    def forward(self, x: Tensor, position: Tensor, uniform: Tensor) -> Tensor:
        return categorical(self.net(torch.cat([x, position.expand_as(x)], dim=1)), uniform)


class Drawing(Model):
    """Value after value, each drawn from what is there."""

    family = "toy"
    Config = ToyConfig

    def __init__(self, data: DataSpec, config: ToyConfig) -> None:
        super().__init__(data, config)
        self.pixel = Pixel(data.dim, data.levels)

    @property
    def nfe(self) -> int:
        return self.data.dim

    def step(self) -> Unit:
        return Unit(
            module=self.pixel,
            example=lambda n: (torch.zeros(n, self.data.dim), torch.zeros(self.data.dim), torch.full((n,), 0.5)),
            inputs=("x", "position", "uniform"),
            outputs=("value",),
            drive=self.drive,
        )

    def drive(self, call, noise: Noise) -> Tensor:
        uniform, places = noise.uniform(self.data.dim), torch.eye(self.data.dim)

        def body(state, rows, draws):
            (x,), (position, u) = state, rows
            value = call(x, position, u)
            return (x + position * value[:, None].float() / 16.0,), (value,)

        _, (values,) = fold(body, (torch.zeros_like(uniform),), (places, uniform.T), noise)
        return values.T.to(torch.uint8).reshape(-1, *self.data.shape)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        return self.drive(self.pixel, noise)


class Points(Folded):
    """The chain on points, without levels to hide an error."""

    def step(self) -> Unit:
        return replace(super().step(), example=lambda n: (torch.zeros(n, 1, self.data.dim, 1), torch.zeros(1)))

    def drive(self, call, noise: Noise) -> Tensor:
        x = noise.normal(*self.data.shape)
        for k in range(self.config.steps):
            t = torch.full((1,), k / self.config.steps)
            x = 0.9 * x + 0.3 * call(x[:, None, :, None], t)[:, 0, :, 0]
        return x


def toy(kind: type[Model], **config: int) -> Model:
    """A model with weights that stay the same."""
    spec = DataSpec(shape=(2,), levels=None) if kind is Points else SPEC
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(spec, ToyConfig(**config)).eval()
