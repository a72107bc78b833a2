"""prdc: the k-th neighbour beside the point itself, a distance equal to the radius counts as outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _all(real: Any, fake: Any, k: int) -> dict[str, float]:
    from prdc import compute_prdc

    found: dict[str, float] = compute_prdc(
        real_features=np.asarray(real, dtype=np.float32), fake_features=np.asarray(fake, dtype=np.float32), nearest_k=k
    )
    return found


def precision(*, real: Any, fake: Any, k: int = 3, tie: str = "<=") -> float:
    """Its rule of ties is <, whatever is asked for."""
    return float(_all(real, fake, k)["precision"])


def recall(*, real: Any, fake: Any, k: int = 3, tie: str = "<=") -> float:
    """Its rule of ties is <, whatever is asked for."""
    return float(_all(real, fake, k)["recall"])


def density(*, real: Any, fake: Any, k: int = 5) -> float:
    """Its rule of ties is <, as in the definition."""
    return float(_all(real, fake, k)["density"])


def coverage(*, real: Any, fake: Any, k: int = 5) -> float:
    """Its rule of ties is <, as in the definition."""
    return float(_all(real, fake, k)["coverage"])


FUNCTIONS: dict[str, Callable[..., float]] = {
    "precision": precision,
    "recall": recall,
    "density": density,
    "coverage": coverage,
}
KNOWN = {"ties": "a distance equal to the radius counts as outside"}
