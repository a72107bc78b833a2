"""The values of an image (or of a point) themselves as features."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from genbench.images import to_unit
from genbench.types import DataSpec


class Pixels:
    """Flattens: images on the scale of [0, 1], points as they are. It knows no classes.

    Args:
        spec: any.
    """

    protocol = "pixels"

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec

    def features(self, x: Tensor) -> np.ndarray:
        """float32 `(n, D)`."""
        values = x.float() if self.spec.levels is None else to_unit(x, self.spec.levels)
        flat: np.ndarray = values.flatten(1).cpu().numpy()
        return flat

    def probabilities(self, x: Tensor) -> np.ndarray | None:
        return None

    def classes(self, x: Tensor) -> np.ndarray | None:
        return None
