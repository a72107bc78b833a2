"""The training set, drawn again: what memorization looks like when it is all there is."""

from __future__ import annotations

from torch import Tensor

from baselines.closed_form import Memory
from genbench.types import Noise


class Copycat(Memory):
    """Resamples the training set with replacement: perfect by every measure that does not ask for novelty.

    As a law it gives mass 0 to what it has not seen, so that it defines no likelihood worth the name.
    """

    likelihood = None

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self.recall(noise.uniform())
