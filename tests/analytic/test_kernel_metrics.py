"""KID and CMMD against their definitions, written out, and against closed forms for Gaussians; their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.errors import Refused, Undefined
from genbench.metrics import kernels
from genbench.metrics.cmmd import METRIC as CMMD
from genbench.metrics.cmmd import cmmd
from genbench.metrics.kid import METRIC as KID
from genbench.metrics.kid import kid
from genbench.metrics.measure import measure


def polynomial(x, y, degree=3, gamma=None, coef0=1.0):
    return (x @ y.T * (1 / x.shape[1] if gamma is None else gamma) + coef0) ** degree


def off_diagonal_mean(k):
    return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))


def kid_as_defined(x, y, **arguments):
    within = sum(off_diagonal_mean(polynomial(side, side, **arguments)) for side in (x, y))
    return within - 2 * polynomial(x, y, **arguments).mean()


def shifted_kid(d, mu):
    """Between N(0, I) and N(mu 1, I), with m = d mu^2: 3 m/d + 3 (m^2 + m)/d^2 + (m^3 + 6 m^2 + 6 m)/d^3.

    E (x'y/d + 1)^3 = 1 + 3 E x'y / d + 3 E (x'y)^2 / d^2 + E (x'y)^3 / d^3. For independent x, y around means a, b
    E x'y = a'b and E (x'y)^2 = (a'b)^2 + |a|^2 + |b|^2 + d; the distance takes aa + bb - 2 ab of each.
    """
    m = d * mu**2
    return 3 * m / d + 3 * (m**2 + m) / d**2 + (m**3 + 6 * m**2 + 6 * m) / d**3


def gaussian_mmd(d, mu, sigma):
    """E k(x, x') and E k(x, y) of exp(-|x - y|^2 / (2 sigma^2)): the difference is N(0 or mu, 2 I)."""
    same = (sigma**2 / (sigma**2 + 2)) ** (d / 2)
    return same, same * np.exp(-d * mu**2 / (2 * (sigma**2 + 2)))


def pair(n=60, m=80, d=5, shift=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), shift + 1.3 * rng.normal(size=(m, d))


def test_the_closed_form_is_that_of_the_facts():
    assert shifted_kid(8, 0.5) == 1.1171875


@pytest.mark.parametrize("arguments", [{}, {"degree": 1}, {"degree": 2, "gamma": 0.3, "coef0": -0.5}, {"degree": 5}])
def test_kid_is_its_definition(arguments):
    x, y = pair()
    assert kid(real=x, fake=y, **arguments) == pytest.approx(kid_as_defined(x, y, **arguments), rel=1e-11)


@pytest.mark.parametrize(("rows", "columns"), [(7, 11), (16, 3), (1000, 1000)])
def test_blocks_leave_no_pair_out(rows, columns, monkeypatch):
    x, y = pair()
    whole, whole_cmmd = KID.estimate(real=x, fake=y), cmmd(real=x, fake=y)
    monkeypatch.setattr(kernels, "_ROWS", rows)
    monkeypatch.setattr(kernels, "_COLUMNS", columns)
    blocked = KID.estimate(real=x, fake=y)
    assert blocked.value == pytest.approx(whole.value, rel=1e-12)
    assert blocked.interval.low == pytest.approx(whole.interval.low, rel=1e-9)
    assert blocked.interval.high == pytest.approx(whole.interval.high, rel=1e-9)
    assert cmmd(real=x, fake=y) == pytest.approx(whole_cmmd, rel=1e-11)


def test_kid_is_unbiased():
    """The mean of many values is the closed form, also where the laws are equal and single values are negative."""
    rng, d = np.random.default_rng(1), 8
    for mu in (0.0, 0.5):
        values = [kid(real=rng.normal(size=(40, d)), fake=mu + rng.normal(size=(25, d))) for _ in range(600)]
        assert np.mean(values) == pytest.approx(shifted_kid(d, mu), abs=4 * np.std(values) / np.sqrt(600))
        assert (min(values) < 0) == (mu == 0)


def test_subsets_of_everything_are_the_exact_pass():
    x, y = pair(n=50, m=50)
    exact = kid(real=x, fake=y)
    assert kid(real=x, fake=y, subsets=3, subset_size=50) == pytest.approx(exact, rel=1e-12)
    some = kid(real=x, fake=y, subsets=5, subset_size=20)
    assert some != pytest.approx(exact, rel=1e-3)
    assert some == kid(real=x, fake=y, subsets=5, subset_size=20)
    assert some != kid(real=x, fake=y, subsets=5, subset_size=20, seed=1)


def test_subsets_widen_the_interval():
    """Four subsets of 20 rows of equal laws: their noise is of the order of 5^2 / 4 times the variance."""
    pairs = [pair(n=100, m=100, shift=0.0, seed=seed) for seed in range(10)]
    few = KID.bound(subsets=4, subset_size=20)
    widths = np.array(
        [
            [found.high - found.low for found in (metric.estimate(real=x, fake=y).interval for metric in (KID, few))]
            for x, y in pairs
        ]
    )
    assert widths[:, 1].mean() > 1.3 * widths[:, 0].mean()
    assert "4 subsets" in few.estimate(real=pairs[0][0], fake=pairs[0][1]).interval.method


def test_cmmd_is_its_definition():
    x, y = pair()
    x_unit, y_unit = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))

    def mean(a, b, sigma):
        return np.exp(-np.square(a[:, None] - b[None]).sum(axis=-1) / (2 * sigma**2)).mean()

    for a, b, arguments in [
        (x_unit, y_unit, {}),
        (x_unit, y_unit, {"sigma": 0.7}),
        (x, y, {"sigma": 2.0, "normalize": False}),
    ]:
        sigma = arguments.get("sigma", 10.0)
        expected = 1000 * (mean(a, a, sigma) + mean(b, b, sigma) - 2 * mean(a, b, sigma))
        assert cmmd(real=x, fake=y, **arguments) == pytest.approx(expected, rel=1e-9)


def test_cmmd_of_two_points_opposite():
    """All of x at one unit vector, all of y at its negative: |x - y|^2 = 4, 1000 (1 + 1 - 2 exp(-4 / 200))."""
    x = np.tile([0.6, 0.8], (5, 1))
    assert cmmd(real=x, fake=-3 * x[:4]) == pytest.approx(-2000 * np.expm1(-0.02), rel=1e-13)


def test_cmmd_sees_a_difference_that_single_precision_does_not():
    """Directions 1e-5 apart: 1000 * 2 (1 - exp(-1e-10 / 200)) = 1e-9, far below float32's 1000 * 6e-8."""
    x, y = np.tile([1.0, 0.0], (4, 1)), np.tile([np.cos(1e-5), np.sin(1e-5)], (4, 1))
    assert cmmd(real=x, fake=y) == pytest.approx(1e-9, rel=1e-5)


@pytest.mark.parametrize("metric", [KID, CMMD.bound(normalize=False)])
def test_equal_features_have_distance_zero(metric):
    same = np.full((40, 3), 2.5)
    found = measure("metric", metric, real=same, fake=same[:39].repeat(2, axis=0)[:45], protocol="")
    assert found.value == pytest.approx(0.0, abs=1e-9)
    assert found.low == found.high == pytest.approx(0.0, abs=1e-9)


def test_degenerate_input_has_a_sentence():
    x, y = pair()
    for fn in (kid, cmmd):
        with pytest.raises(Refused, match="must be the same"):
            fn(real=x, fake=y[:, :3])
        with pytest.raises(Refused, match="NaN or infinite"):
            fn(real=np.where(x == x[0, 0], np.nan, x), fake=y)
        with pytest.raises(Refused, match="NaN or infinite"):
            fn(real=x, fake=np.where(y == y[0, 0], np.inf, y))
        with pytest.raises(Refused, match="at least 2"):
            fn(real=x[:1], fake=y)
    with pytest.raises(Undefined, match="overflows"):
        kid(real=1e60 * x, fake=y)
    with pytest.raises(Undefined, match="overflow"):
        cmmd(real=1e200 * x, fake=y, normalize=False)
    with pytest.raises(Undefined, match="2 rows of the generated features are zero"):
        cmmd(real=x, fake=np.concatenate([y, np.zeros((2, 5))]))
    with pytest.raises(Refused, match="sigma"):
        cmmd(real=x, fake=y, sigma=0.0)
    with pytest.raises(Refused, match="degree"):
        kid(real=x, fake=y, degree=0)
    with pytest.raises(Refused, match="gamma"):
        kid(real=x, fake=y, gamma=-1.0)
    with pytest.raises(Refused, match="subsets of 1000 cannot be drawn from 60 real and 80 generated"):
        kid(real=x, fake=y, subsets=100)
    with pytest.raises(Refused, match="at least 2 subsets"):
        kid(real=x, fake=y, subsets=1, subset_size=10)


def test_small_integers_do_not_wrap():
    """uint8 products would wrap at 256; x'y of these is 2 * 250^2 = 125,000."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(200, 256, (20, 2), dtype=np.uint8), rng.integers(200, 256, (30, 2), dtype=np.uint8)
    for fn in (kid, cmmd):
        assert fn(real=x, fake=y) == fn(real=x.astype(float), fake=y.astype(float))


def test_features_far_below_and_above_one_normalize():
    x, y = pair()
    for scale in (1e-200, 1e200):
        assert cmmd(real=scale * x, fake=y) == pytest.approx(cmmd(real=x, fake=y), rel=1e-10)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(4, 12), st.integers(4, 12), st.integers(1, 5))
def test_order_rotation_and_exchange_change_nothing(seed, n, m, d):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), 1 + rng.normal(size=(m, d))
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    for metric in (KID, CMMD):
        fn, scale = metric.fn, 1e-9 * max(1.0, np.square(x).sum(axis=1).max(), np.square(y).sum(axis=1).max()) ** 3
        value = fn(real=x, fake=y)
        assert fn(real=y, fake=x) == pytest.approx(value, abs=scale)
        assert fn(real=rng.permutation(x) @ rotation, fake=rng.permutation(y) @ rotation) == pytest.approx(
            value, abs=scale
        )
        found = metric.estimate(real=x, fake=y)
        assert found.value == value
        assert found.interval.low <= value <= found.interval.high


def test_low_rank_features():
    """One direction only: the same numbers as in one dimension, with gamma = 1 / 4."""
    x, y = pair(d=1)
    direction = np.array([[0.5, -0.5, 0.5, 0.5]])
    assert kid(real=x @ direction, fake=y @ direction) == pytest.approx(kid_as_defined(x, y, gamma=0.25), rel=1e-11)


def cover(metric, truth, draw, repetitions):
    found = [metric.estimate(**draw()).interval for _ in range(repetitions)]
    return np.mean([interval.low <= truth <= interval.high for interval in found])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "m", "d", "mu", "arguments"),
    [
        (100, 100, 4, 0.0, {}),
        (300, 300, 8, 0.5, {}),
        (100, 70, 4, 0.4, {}),
        (100, 100, 8, 0.1, {}),
        (100, 100, 64, 0.1, {}),
        (100, 100, 4, 0.4, {"subsets": 20, "subset_size": 50}),
    ],
)
def test_kid_intervals_cover(n, m, d, mu, arguments):
    """The true value, also where the laws are equal and U is degenerate."""
    rng = np.random.default_rng(0)
    metric = KID.bound(**arguments)
    truth = shifted_kid(d, mu)
    share = cover(metric, truth, lambda: {"real": rng.normal(size=(n, d)), "fake": mu + rng.normal(size=(m, d))}, 2_000)
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "d", "mu"), [(100, 100, 4, 0.0), (100, 70, 4, 0.5), (150, 60, 2, 0.2)])
def test_cmmd_intervals_cover(n, m, d, mu):
    """The expected value of the V-statistic: the diagonals, where k is 1, have shares 1/n and 1/m."""
    rng, sigma = np.random.default_rng(0), 2.0
    same, across = gaussian_mmd(d, mu, sigma)
    truth = 1000 * (sum((1 - 1 / k) * same + 1 / k for k in (n, m)) - 2 * across)
    metric = CMMD.bound(sigma=sigma, normalize=False)
    share = cover(metric, truth, lambda: {"real": rng.normal(size=(n, d)), "fake": mu + rng.normal(size=(m, d))}, 2_000)
    assert 0.93 <= share <= 0.97
