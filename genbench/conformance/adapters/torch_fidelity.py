"""torch-fidelity: features are float32 tensors, its first input the generated side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from genbench.conformance.run import NotOffered


def _tensor(x: Any) -> Any:
    import torch

    x = np.asarray(x)
    return torch.from_numpy(x if x.dtype.kind in "iu" else x.astype(np.float32))


def fid(*, real: Any, fake: Any) -> float:
    """From the moments of both sets."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    of_fake, of_real = (fid_features_to_statistics(_tensor(x)) for x in (fake, real))
    return float(fid_statistics_to_metric(of_fake, of_real, verbose=False)["frechet_inception_distance"])


def kid(*, real: Any, fake: Any, degree: int = 3, gamma: float | None = None, coef0: float = 1.0,
        subsets: int | None = None, subset_size: int = 1000, seed: int = 2020) -> float:  # fmt: skip
    """One subset that is the whole set, or its protocol of subsets."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    if subsets is None and len(real) != len(fake):
        raise NotOffered("subsets of the two sets have one size")
    found = kid_features_to_metric(
        _tensor(fake),
        _tensor(real),
        kid_subsets=subsets or 1,
        kid_subset_size=len(real) if subsets is None else subset_size,
        kid_degree=degree,
        kid_gamma=gamma,
        kid_coef0=coef0,
        kid_kernel="poly",
        kid_kernel_poly_degree=degree,
        kid_kernel_poly_gamma=gamma,
        kid_kernel_poly_coef0=coef0,
        rng_seed=seed,
        verbose=False,
    )
    return float(found["kernel_inception_distance_mean"])


def inception_score(*, fake: Any, splits: int = 1, shuffle_seed: int | None = None) -> float:
    """Probabilities are handed over as their logarithms in float64, in which its softmax works; 0 as -700."""
    import torch
    from torch_fidelity.metric_isc import isc_features_to_metric

    with np.errstate(divide="ignore"):
        logits = torch.from_numpy(np.maximum(np.log(np.asarray(fake, dtype=np.float64)), -700))
    found = isc_features_to_metric(logits, splits, shuffle=shuffle_seed is not None, rng_seed=shuffle_seed)
    return float(found["inception_score_mean"])


def _precision_recall(real: Any, fake: Any, k: int) -> dict[str, float]:
    from torch_fidelity.metric_prc import prc_features_to_metric

    found: dict[str, float] = prc_features_to_metric(
        _tensor(fake), _tensor(real), prc_neighborhood=k, prc_batch_size=10_000, save_cpu_ram=False, verbose=False
    )
    return found


def precision(*, real: Any, fake: Any, k: int = 3) -> float:
    """The k-th neighbour beside the point itself, <=."""
    return _precision_recall(real, fake, k)["precision"]


def recall(*, real: Any, fake: Any, k: int = 3) -> float:
    """The k-th neighbour beside the point itself, <=."""
    return _precision_recall(real, fake, k)["recall"]


FUNCTIONS: dict[str, Callable[..., float]] = {
    "fid": fid,
    "kid": kid,
    "inception_score": inception_score,
    "precision": precision,
    "recall": recall,
}
KNOWN = {
    "singular": "takes the roots of a singular product's eigenvalues, which are rounding",
    "one dimension": "np.cov gives a number for one dimension, which its check of matrices refuses",
    "cancellation": "means, kernels and distances are those of float32",
    "float32": "means, kernels and distances are those of float32",
    "ties": "distances come from a matrix product in float32, whose rounding breaks ties",
    "": "works in float32 throughout",
}
