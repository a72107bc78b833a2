"""The checks that every metric makes on its arrays; each returns a clean array or refuses in one sentence.

`what` names the array in that sentence: "fid: fake".
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from genbench.errors import Refused, Undefined


def _numeric(values: Any, what: str, ndim: int, rows: int) -> np.ndarray:
    if values is None:
        raise Refused(f"{what} is missing")
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise Refused(f"{what} must hold real numbers; it has dtype {array.dtype}")
    if array.ndim != ndim:
        raise Refused(f"{what} must have {ndim} dimension{'s' * (ndim > 1)}; it has shape {array.shape}")
    if len(array) < rows:
        raise Refused(f"{what} has {len(array)} rows; at least {rows} are needed")
    return array


def _finite(array: np.ndarray, what: str) -> np.ndarray:
    array = array.astype(np.float64)
    if count := np.count_nonzero(~np.isfinite(array)):
        raise Refused(f"{what} holds {count} values that are NaN or infinite; all must be finite")
    return array


def matrix(values: Any, what: str, rows: int = 2) -> np.ndarray:
    """Finite float64 `(n, d)` with n >= rows and d >= 1."""
    array = _finite(_numeric(values, what, 2, rows), what)
    if array.shape[1] == 0:
        raise Refused(f"{what} has no columns; it has shape {array.shape}")
    return array


def feature_pair(real: Any, fake: Any, metric: str, rows: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Features of both sides, finite float64, of the same width."""
    x, y = matrix(real, f"{metric}: real", rows), matrix(fake, f"{metric}: fake", rows)
    if x.shape[1] != y.shape[1]:
        raise Refused(f"{metric}: real has {x.shape[1]} features and fake {y.shape[1]}; they must be the same")
    return x, y


def memory_triple(train: Any, real: Any, fake: Any, metric: str, rows: int = 2) -> tuple[np.ndarray, ...]:
    """Features of the training set, of the real data held out and of the samples, finite float64, of one width."""
    t = matrix(train, f"{metric}: train", rows)
    x, y = feature_pair(real, fake, metric, rows)
    if t.shape[1] != x.shape[1]:
        raise Refused(f"{metric}: train has {t.shape[1]} features and real {x.shape[1]}; they must be the same")
    return t, x, y


def unit_images(values: Any, what: str, rows: int = 1) -> np.ndarray:
    """Images on the scale of [0, 1], finite float64 `(n, C, H, W)`."""
    array = _finite(_numeric(values, what, 4, rows), what)
    if not array.size:
        raise Refused(f"{what} has no pixels; it has shape {array.shape}")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise Refused(f"{what} has values from {low:.4g} to {high:.4g}; images stand on the scale of [0, 1]")
    return array


def image_pairs(real: Any, fake: Any, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Originals and their reconstructions, row by row, on the scale of [0, 1], of one shape `(n, C, H, W)`."""
    if np.ndim(real) == np.ndim(fake) == 2:
        raise Undefined(f"{metric} compares images; these are points {np.shape(real)}")
    x, y = unit_images(real, f"{metric}: real"), unit_images(fake, f"{metric}: fake")
    if x.shape != y.shape:
        raise Refused(f"{metric}: real has the shape {x.shape} and fake {y.shape}; they are compared row by row")
    return x, y


def vector(values: Any, what: str, rows: int = 1) -> np.ndarray:
    """Finite float64 `(n,)`."""
    return _finite(_numeric(values, what, 1, rows), what)


def log_values(values: Any, what: str, rows: int = 1) -> np.ndarray:
    """Logarithms of probabilities, float64 `(n,)`: -inf may occur (an event of probability zero), NaN and +inf not."""
    array = _numeric(values, what, 1, rows).astype(np.float64)
    if count := np.count_nonzero(np.isnan(array) | (array == np.inf)):
        raise Refused(f"{what} holds {count} values that are NaN or +inf; a log-probability is finite or -inf")
    return array


def surprises(values: Any, what: str, rows: int = 1) -> np.ndarray:
    """Negated log-probabilities, float64 `(n,)`: +inf may occur (an event of probability zero), NaN and -inf not."""
    array = _numeric(values, what, 1, rows).astype(np.float64)
    if count := np.count_nonzero(np.isnan(array) | (array == -np.inf)):
        raise Refused(f"{what} holds {count} values that are NaN or -inf; a code length is finite or +inf")
    return array


def no_zeros(log_q: np.ndarray, what: str) -> np.ndarray:
    """Log-probabilities (or their negatives) that are all finite; with an infinite one a mean has no value."""
    if count := np.count_nonzero(np.isinf(log_q)):
        raise Undefined(f"{what}: the probability is zero at {count} of {len(log_q)} points, so the mean is infinite")
    return log_q


def log_ratios(values: Any, what: str, drawn_from: Literal["p", "q"]) -> np.ndarray:
    """Ratios of densities at n draws, float64 `(n,)`: log p - log q at draws from p, log q - log p at draws from q.

    +inf where the other density is zero.

    Args:
        values: `(n, 2)`, log p and log q.
    """
    array = _numeric(values, what, 2, 2)
    if array.shape[1] != 2:
        raise Refused(f"{what} must have the two columns log p and log q; it has shape {array.shape}")
    log_p, log_q = log_values(array[:, 0], f"{what}, log p"), log_values(array[:, 1], f"{what}, log q")
    own, other = (log_p, log_q) if drawn_from == "p" else (log_q, log_p)
    if count := np.count_nonzero(np.isinf(own)):
        raise Undefined(f"{what}: {drawn_from} is zero at {count} of {len(own)} points that were drawn from it")
    ratios: np.ndarray = own - other
    return ratios


def class_probabilities(values: Any, what: str) -> np.ndarray:
    """Rows that are probabilities over K classes, float64 `(n, K)`, rescaled to sum to 1 exactly."""
    array = matrix(values, what, rows=1)
    if (array < 0).any():
        raise Refused(f"{what} holds a negative probability, {array.min():.3g}")
    sums = array.sum(axis=1, keepdims=True)
    if (np.abs(sums - 1) > 1e-3).any():
        worst = float(sums[np.abs(sums - 1).argmax(), 0])
        raise Refused(f"{what} has a row that sums to {worst:.6g}; each row must sum to 1")
    return array / sums


def mode_weights(values: Any, what: str) -> np.ndarray:
    """The weights of a law's modes, positive, summing to 1, float64 `(K,)`."""
    array = vector(values, what)
    if (array <= 0).any():
        raise Refused(f"{what} holds the weight {array.min():.3g}; every mode has a positive weight")
    if abs(array.sum() - 1) > 1e-6:
        raise Refused(f"{what} sums to {array.sum():.9g}; the weights must sum to 1")
    return array


def mode_ids(values: Any, what: str, modes: int | None = None) -> np.ndarray:
    """Which mode each sample belongs to, int64 `(n,)`: 0..modes-1, or -1 for none."""
    array = _numeric(values, what, 1, 1)
    if array.dtype.kind not in "iu":
        raise Refused(f"{what} must hold integers, the numbers of modes; it has dtype {array.dtype}")
    low, high = int(array.min()), int(array.max())
    if low < -1:
        raise Refused(f"{what} holds the mode {low}; modes are numbered from 0, and -1 stands for none")
    if modes is not None and high >= modes:
        raise Refused(f"{what} holds the mode {high}; the law has the modes 0 to {modes - 1}")
    return array.astype(np.int64)
