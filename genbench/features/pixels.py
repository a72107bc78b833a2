"""The values of an image (or of a point) themselves as features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genbench.images import to_unit
from genbench.types import DataSpec, Extractor


class Pixels(Extractor):
    """Flattens: images on the scale of [0, 1], points as they are. It knows no classes.

    Args:
        spec: any.
    """

    protocol = "pixels"
    taps = ("features",)
    tap = "features"

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec

    def prepare(self, x: Tensor) -> Tensor:
        """float32 `(n, D)`."""
        values = x.float() if self.spec.levels is None else to_unit(x, self.spec.levels)
        return values.flatten(1).cpu()

    def outputs(self, prepared: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        return {tap: prepared.numpy() for tap in taps}
