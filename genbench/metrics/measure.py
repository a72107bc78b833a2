"""A metric on arrays -> a measurement: the number with its interval, or the reason why there is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.errors import Refused, Unavailable, Undefined
from genbench.record import Kind, Measurement, Needs, Status
from genbench.stats import (
    LEVEL,
    Estimate,
    Interval,
    Replicates,
    Side,
    jackknife_interval,
    leave_group_out,
    mean_interval,
    share_interval,
    wilson,
)
from genbench.types import Metric

# What is random: the weights of a law are not, nor are its quantiles next to the samples, nor the real images that a
# metric of images alone is compared with by the reader.
RANDOM: dict[Needs, tuple[Side, ...]] = {
    "features": ("real", "fake"),
    "spatial": ("real", "fake"),
    "memory": ("real", "fake"),
    "images": ("fake",),
    "pairs": ("fake",),
    "densities": ("real", "fake"),
    "probabilities": ("fake",),
    "modes": ("fake",),
    "surprise": ("fake",),
    "nats": ("real",),
    "bits": ("real",),
}


def measure(
    metric_name: str,
    metric: Metric,
    *,
    real: Any,
    fake: Any,
    train: Any = None,
    protocol: str,
    kind: Kind | None = None,
) -> Measurement:
    """Computes a metric and its 95% interval.

    Args:
        metric_name: what the record calls it.
        real, fake: what `metric.needs` says; a side that the metric does not use is None.
        train: features of the training set, for a metric of memorization; taken as given, not as random.
        protocol: everything that the number depends on beside the samples.
        kind: of the likelihood, where the metric is one.

    Returns:
        status "ok", or "undefined" where the metric has no value for these samples.
    """
    if metric.needs == "memory":
        metric = metric.bound(train=train)
    try:
        if metric.interval == "jackknife":
            value, n, interval = _by_jackknife(metric_name, metric, real, fake)
        elif metric.interval == "own":
            value, n, interval = _by_own(metric_name, metric, real, fake)
        else:
            value, n, interval = _by_terms(metric_name, metric, real, fake)
    except (Undefined, Unavailable) as reason:
        status: Status = "undefined" if isinstance(reason, Undefined) else "unavailable"
        return Measurement(metric=metric_name, protocol=protocol, kind=kind, status=status, reason=str(reason))
    clipped = interval.clipped(*metric.range)
    return Measurement(
        metric=metric_name,
        value=value,
        low=clipped.low,
        high=clipped.high,
        n=n,
        level=LEVEL,
        method=clipped.method,
        protocol=protocol,
        kind=kind,
    )


def _by_terms(name: str, metric: Metric, real: Any, fake: Any) -> tuple[float, int, Interval]:
    """The interval of a mean or of a share, from the terms that the metric is the mean of."""
    value = float(metric.fn(real=real, fake=fake))
    if metric.terms is not None:
        terms = np.asarray(metric.terms(real=real, fake=fake))
    elif metric.needs in ("nats", "bits"):
        terms = np.asarray(real)
    else:
        raise Refused(f"metric {name} declares the interval {metric.interval!r} and no terms to compute it from")
    n = _enough(name, metric, len(terms), "values")
    return value, n, wilson(int(terms.sum()), n) if metric.interval == "wilson" else mean_interval(terms)


def _by_own(name: str, metric: Metric, real: Any, fake: Any) -> tuple[float, int, Interval]:
    """The interval that the metric's own theory gives."""
    _enough_on_each_side(name, metric, real, fake)
    if metric.estimate is None:
        raise Refused(f"metric {name} declares an interval of its own and no estimate to take it from")
    found: Estimate = metric.estimate(real=real, fake=fake)
    return found.value, found.n, found.interval


def _enough_on_each_side(name: str, metric: Metric, real: Any, fake: Any) -> dict[Side, int]:
    sides: dict[Side, Any] = {"real": real, "fake": fake}
    sizes = {side: int(np.shape(sides[side])[0]) for side in RANDOM[metric.needs] if sides[side] is not None}
    for side, size in sizes.items():
        _enough(name, metric, size, f"{'real' if side == 'real' else 'generated'} samples")
    return sizes


def _by_jackknife(name: str, metric: Metric, real: Any, fake: Any) -> tuple[float, int, Interval]:
    sides = RANDOM[metric.needs]
    sizes = _enough_on_each_side(name, metric, real, fake)
    least = min(sizes, key=lambda side: sizes[side])
    if metric.replicates is not None:
        replicates: Replicates = metric.replicates(real=real, fake=fake)
    else:
        replicates = leave_group_out(metric.fn, real, fake, resample=sides)
    is_share = metric.range == (0.0, 1.0)
    interval = share_interval(replicates, sizes[least]) if is_share else jackknife_interval(replicates)
    return replicates.value, sizes[sides[-1]], interval


def _enough(name: str, metric: Metric, n: int, words: str) -> int:
    if n < metric.min_samples:
        raise Refused(f"{name} has {n} {words}; it needs at least {metric.min_samples}")
    return n
