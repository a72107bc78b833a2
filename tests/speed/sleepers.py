"""Samplers whose time is known, or who misbehave; other processes import them by name."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genbench.noise import Noise
from genbench.types import Batch, DataSpec, Model, Recipe, Step


@dataclass(frozen=True, kw_only=True)
class SleeperConfig:
    seconds: float = field(default=0.0, metadata={"sampling": True})  # of every call
    first: float = field(default=0.0, metadata={"sampling": True})  # more, in the first
    then: str = field(default="", metadata={"sampling": True})  # "exit", "raise", "memory" or "print" when it samples

    @classmethod
    def for_data(cls, data: DataSpec) -> SleeperConfig:
        return cls()


class Sleeper(Model):
    """Black images after a known time."""

    family = "toy"
    Config = SleeperConfig

    def __init__(self, data: DataSpec, config: SleeperConfig) -> None:
        super().__init__(data, config)
        self.linear = nn.Linear(3, 5)
        self.called = False

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        return Recipe(steps=1, batch_size=None)

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        yield from ()

    @classmethod
    def samplers(cls, config):
        return {"slow": {"seconds": 0.05}, "slower": {"seconds": 0.1}}

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        x = noise.normal(3)
        child = "genbench.lane" in sys.orig_argv
        if child and self.config.then == "exit":
            os._exit(7)
        if child and self.config.then == "raise":
            raise ZeroDivisionError("no sampler is divided by zero")
        if child and self.config.then == "memory" and noise.n > 4:
            raise MemoryError("five are too many")
        if self.config.then == "print":
            print("a sampler that talks")  # noqa: T201
        time.sleep(self.config.seconds + (0.0 if self.called else self.config.first))
        self.called = True
        self.linear(x)
        return torch.zeros(noise.n, *self.data.shape, dtype=torch.uint8)


@dataclass(frozen=True, kw_only=True)
class NamesakeConfig(SleeperConfig):
    seed: int = 0
    data: str = "mine"
    model: str = "mine"


class Namesake(Sleeper):
    """Its configuration has fields with the names of what a model is built from."""

    Config = NamesakeConfig
