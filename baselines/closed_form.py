"""What the closed-form controls share: a fit in one look at the data, and a memory of the training set.

A control is a model whose scores are known beforehand; together they give the tables their floor and their ceiling. The
closed-form ones get the whole training set as one batch, update their buffers and yield no loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from genbench.types import Batch, DataSpec, Model, Recipe, Step


@dataclass(frozen=True, kw_only=True)
class Plain:
    """The configuration of what has nothing to choose."""

    @classmethod
    def for_data(cls, data: DataSpec) -> Plain:
        return cls()


class ClosedForm(Model):
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


class Memory(ClosedForm):
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
