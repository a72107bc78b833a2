"""The generating law itself, where it is known: the ceiling of every table.

Symbols: x an integer image or a point, q the law of the model, here that of the data.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from baselines.closed_form import Plain
from genbench.types import Batch, DataSpec, Law, Model, Noise, Recipe, Step


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
