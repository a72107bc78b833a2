"""Measurements: value, interval, n and status, and whether 95% intervals cover what they promise to cover."""

import math

import numpy as np
import pytest

from genbench import catalog
from genbench.errors import Refused
from genbench.metrics.measure import measure
from genbench.types import Metric


def inputs(needs, rng, n=200):
    """Well-formed arrays for each kind of need: real and fake."""
    log_densities = rng.normal(size=(n, 2))
    features = rng.normal(size=(n, 4)), rng.normal(size=(n + 50, 4))
    pictures = rng.uniform(size=(n, 1, 8, 8))
    return {
        "features": features,
        "spatial": features,
        "memory": features,
        "images": (pictures, rng.uniform(size=(n + 50, 1, 8, 8))),
        "pairs": (pictures, np.clip(pictures + rng.normal(0, 0.1, pictures.shape), 0, 1)),
        "probabilities": (rng.dirichlet(np.ones(5), size=n), rng.dirichlet(np.ones(5), size=n + 50)),
        "modes": (np.full(6, 1 / 6), rng.integers(-1, 6, n + 50)),
        "densities": (log_densities, log_densities[: n - 20]),
        "surprise": (rng.normal(size=3_000), rng.normal(size=n + 50)),
        "nats": (-np.square(rng.normal(size=n)), None),
        "bits": (np.square(rng.normal(size=n)), None),
    }[needs]


def train_for(metric):
    """The training set's features, for what needs them."""
    return np.random.default_rng(1).normal(size=(300, 4)) if metric.needs == "memory" else None


@pytest.mark.parametrize("name", catalog.METRICS)
def test_every_metric_is_measured(name):
    metric = catalog.resolve("metrics", name)
    real, fake = inputs(metric.needs, np.random.default_rng(0))
    train = train_for(metric)
    found = measure(name, metric, real=real, fake=fake, train=train, protocol="p", kind=None)
    assert found.status == "ok"
    assert found.name == f"{name}[p]"
    known = {"train": train} if metric.needs == "memory" else {}
    assert found.value == pytest.approx(metric.fn(real=real, fake=fake, **known))
    assert metric.range[0] <= found.low <= found.value <= found.high <= metric.range[1]
    assert found.low < found.high or name == "modes_captured"
    assert found.n in {len(side) for side in (real, fake) if side is not None}
    assert found.method
    assert metric.fn.__doc__
    assert metric.fn.__name__ == name


@pytest.mark.parametrize("name", catalog.METRICS)
def test_too_few_samples_are_refused(name):
    metric = catalog.resolve("metrics", name)
    real, fake = inputs(metric.needs, np.random.default_rng(0))
    few = metric.min_samples - 1
    real = real if metric.needs in ("modes", "surprise") or real is None else real[:few]
    some = None if fake is None else fake[:few]
    with pytest.raises(Refused, match=f"{name}.* {few} .*at least {metric.min_samples}"):
        measure(name, metric, real=real, fake=some, train=train_for(metric), protocol="")


def test_no_value_is_a_status_with_a_reason():
    metric = catalog.resolve("metrics", "mode_kl")
    found = measure("mode_kl", metric, real=[0.5, 0.5], fake=np.full(100, -1), protocol="p")
    assert (found.status, found.value) == ("undefined", None)
    assert "none of the 100 samples" in found.reason
    lonely = np.where(np.arange(100) == 7, 0, -1)
    found = measure("mode_kl", metric, real=[0.5, 0.5], fake=lonely, protocol="p")
    assert found.status == "undefined"
    assert "without one group of 20, mode_kl: none of the 95" in found.reason
    metric = catalog.resolve("metrics", "nats")
    found = measure("nats", metric, real=[-1.0, -np.inf, -1.0], fake=None, protocol="p", kind="exact")
    assert (found.status, found.kind) == ("undefined", "exact")


def test_a_foreign_metric_needs_a_function_only():
    metric = Metric(
        fn=lambda *, real, fake: float(np.abs(real.mean() - fake.mean())),
        axis="quality",
        better="lower",
        needs="features",
        interval="jackknife",
    )
    rng = np.random.default_rng(1)
    found = measure("gap", metric, real=rng.normal(size=(90, 2)), fake=1 + rng.normal(size=(80, 2)), protocol="")
    assert found.low < 1 < found.high
    terms = Metric(fn=lambda *, real, fake: 0.0, axis="quality", better="lower", needs="features", interval="t")
    with pytest.raises(Refused, match="declares the interval 't' and no terms"):
        measure("gap", terms, real=np.zeros((9, 2)), fake=np.zeros((9, 2)), protocol="")


def coverage(name, truth, draw, repetitions, seed=0):
    """How often the interval holds the truth, or the mean of all values where that stands for it."""
    metric, rng = catalog.resolve("metrics", name), np.random.default_rng(seed)
    found = [measure(name, metric, **draw(rng), protocol="") for _ in range(repetitions)]
    target = float(np.mean([m.value for m in found])) if truth is None else truth
    return np.mean([m.low <= target <= m.high for m in found])


def gaussians(rng, n=300, d=4):
    return {"real": rng.normal(size=(n, d)), "fake": 0.5 + 1.2 * rng.normal(size=(n, d))}


def log_ratios(rng, n=200):
    """p = N(0, 1), q = N(0.5, 1): log p - log q = -x / 2 + 1 / 8, whose mean is KL = 1 / 8."""
    x = rng.normal(size=n)
    return {"real": np.stack([-0.5 * x**2, -0.5 * (x - 0.5) ** 2], axis=1), "fake": None}


def test_nobody_captures_more_modes_than_there_are():
    """Every mode but the last three is common; each of these has one sample, which one group holds."""
    metric, ids = catalog.resolve("metrics", "modes_captured"), np.concatenate([np.arange(200) % 5, [5, 6, 7]])
    found = measure("modes_captured", metric, real=np.full(8, 1 / 8), fake=ids, protocol="")
    assert (found.value, found.high) == (8, 8)
    assert 0 < found.low < 7
    unknown = measure("modes_captured", metric, real=None, fake=ids, protocol="")
    assert unknown.high > 8
    assert unknown.low == found.low


WEIGHTS = np.array([4, 3, 2, 1]) / 10


def modes(rng, n=400):
    return {"real": np.full(4, 0.25), "fake": rng.choice(4, n, p=WEIGHTS)}


def rare_modes(rng, n=300):
    return {"real": np.full(200, 1 / 200), "fake": rng.integers(0, 200, n)}


CASES = {
    # the expected value at these sample sizes, None where only simulation knows it
    "fid": (None, gaussians),
    "precision": (None, gaussians),
    "recall": (None, gaussians),
    "kl_forward": (1 / 8, log_ratios),
    "mode_kl": (float(np.sum(WEIGHTS * np.log(4 * WEIGHTS))) + 3 / 800, modes),
    "modes_captured": (200 * (1 - (1 - 1 / 200) ** 300), rare_modes),
    "high_quality": (0.9, lambda rng: {"real": None, "fake": rng.choice([-1, 0], 200, p=[0.1, 0.9])}),
}


@pytest.mark.parametrize("name", CASES)
def test_coverage(name):
    """Of 200 intervals at 95% at least 178 hold: 190 less four standard deviations of the binomial.

    A jackknife interval of a count may cover more than it promises, none may cover less.
    """
    truth, draw = CASES[name]
    repetitions = 200
    least = 0.95 - 4 * math.sqrt(0.95 * 0.05 / repetitions)
    assert coverage(name, truth, draw, repetitions) >= least
