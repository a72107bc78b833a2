"""Small worlds on which a model's claims can be checked to the last image, and the one table of all models."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genbench.noise import Noise, Streams, categorical
from genbench.types import Dataset, DataSpec


class TableLaw:
    """Any law over all images of a small space: a table of probabilities."""

    def __init__(self, shape: tuple[int, ...], levels: int, logits: Tensor) -> None:
        self.shape, self.levels = shape, levels
        self.n_modes = len(logits)
        self.log_table = torch.log_softmax(logits.double(), dim=0)

    def everything(self) -> Tensor:
        """All images of the space, uint8 `(levels^D, *shape)`; the last value runs fastest."""
        size = torch.Size(self.shape).numel()
        rows = list(itertools.product(range(self.levels), repeat=size))
        return torch.tensor(rows, dtype=torch.uint8).reshape(-1, *self.shape)

    def number(self, x: Tensor) -> Tensor:
        """The place of each image in `everything`."""
        flat = x.reshape(len(x), -1).long()
        weights = self.levels ** torch.arange(flat.shape[1] - 1, -1, -1)
        return (flat * weights).sum(dim=1)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_table[self.number(x)]

    def sample(self, noise: Noise) -> Tensor:
        picked = categorical(self.log_table.expand(noise.n, -1), noise.uniform())
        return self.everything()[picked]

    def modes(self, x: Tensor) -> Tensor:
        return self.number(x)


def table_world(shape: tuple[int, ...], levels: int) -> Dataset:
    """A dataset whose law is a rough table: some images are a hundred times as likely as others."""
    count = levels ** torch.Size(shape).numel()
    law = TableLaw(shape, levels, 1.5 * Streams(17, [0]).normal(count)[0])
    x = {name: law.sample(Streams(number, range(4000))) for number, name in enumerate(SPLITS)}
    return Dataset(name=f"table{shape}x{levels}", spec=DataSpec(shape=shape, levels=levels, law=law), x=x)


def ring_world() -> Dataset:
    """Points whose law is smooth enough for a short training: three wide bumps on a ring."""
    return Dataset(name="ring", spec=DataSpec(shape=(2,), levels=None), x={k: _bumps(i) for i, k in enumerate(SPLITS)})


def _bumps(seed: int) -> Tensor:
    noise = Streams(seed, range(4000))
    angle = 2 * torch.pi / 3 * (3 * noise.uniform()).floor()
    return torch.stack([torch.cos(angle), torch.sin(angle)], dim=1) + 0.3 * noise.normal(2)


SPLITS = ("train", "validation", "test")
WORLDS = {"binary 3x3": ((1, 3, 3), 2), "ternary 2x2": ((1, 2, 2), 3)}


@dataclass(frozen=True)
class Row:
    """How a model is put through the contract: small enough for many training steps a second.

    `warm`: training steps after which samples of different noise differ visibly.
    `sum_at_least`: what the bounds over a small space must add up to after a short training.
    `reach`, `grid`: half the width and the points per side of the grid over which a density on points is integrated.
    """

    config: dict[str, Any] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)  # for images only
    points: dict[str, Any] = field(default_factory=dict)  # for points only
    steps: int = 150
    warm: int = 3
    sum_at_least: float = 0.3
    reach: float = 4.0
    grid: int = 201


# To add a model: one row here.
# Diffusion learns slowly: after a short training its bound still lies five nats below the law, from forty before.
SMALL_DIFFUSION = {"width": 16, "timesteps": 50, "sampling_steps": 20}
FEW_STEPS = {"timesteps": 100, "sampling_steps": 20, "hidden": 32}
MODELS: dict[str, Row] = {
    "nade": Row(images={"features": 8, "layers": 2, "width": 16, "rank": 2}),
    "pixelcnn": Row(images={"width": 16, "blocks": 2}),
    "realnvp": Row(images={"width": 16}),
    "vae": Row(images={"hidden": 64, "importance_samples": 8}, points={"importance_samples": 8}, grid=81),
    # One code stands for an image in the bound, so that all that other codes would add is missing from the sum.
    "vqvae": Row(images={"width": 16, "prior_width": 32}, steps=400, sum_at_least=0.1),
    "rbm": Row(images={"gibbs_steps": 30, "temperatures": 100, "ais_chains": 20}),
    "gan": Row(),
    "gan[loss=saturating]": Row(),
    "dcgan": Row(warm=60),
    "wgan-gp": Row(),
    "ddpm": Row(images=SMALL_DIFFUSION, points=FEW_STEPS, grid=61, steps=300, sum_at_least=0.001),
    "ddpm[sampler=ddim]": Row(images=SMALL_DIFFUSION, points=FEW_STEPS, grid=61, steps=300, sum_at_least=0.001),
    "flow-matching": Row(
        images={"width": 8, "steps": 5, "likelihood_steps": 5},
        points={"likelihood_steps": 60, "hidden": 32, "depth": 2},
        grid=141,
        sum_at_least=0.1,
    ),
    "truth": Row(),
    "copycat": Row(),
    "narrow-kernels": Row(config={"scale": 0.2}),
    "mostly-noise": Row(images={"of": "baselines.nade:NADE"}, points={"spread": 2.0}, reach=12.0, grid=401),
    "independent": Row(),
    "gaussian": Row(sum_at_least=0.1),
}
