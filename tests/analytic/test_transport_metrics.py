"""Sliced Wasserstein, MIND and the earth mover's distance: closed forms, independent solvers, intervals."""

from importlib import import_module
from itertools import permutations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.errors import Refused, Undefined
from genbench.metrics.measure import measure
from genbench.metrics.mind import METRIC as MIND
from genbench.metrics.mind import mind
from genbench.metrics.sliced_wasserstein import METRIC as SLICED
from genbench.metrics.sliced_wasserstein import directions, sliced_wasserstein
from genbench.metrics.wasserstein import METRIC as EARTH
from genbench.metrics.wasserstein import wasserstein

sliced = import_module("genbench.metrics.sliced_wasserstein")  # the package's attribute of this name is the function
exact = import_module("genbench.metrics.wasserstein")

METRICS = [SLICED.bound(projections=10), MIND.bound(projections=10), EARTH]


def pair(n=40, m=40, d=3, shift=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), shift + 1.3 * rng.normal(size=(m, d))


def test_a_shift_moves_every_projection_by_its_own_component():
    """W_p(u'x, u'x + u'mu) = |u'mu| whatever x; the mean of (u'mu)^2 over the sphere is |mu|^2 / d."""
    x, _ = pair(d=8)
    mu = np.linspace(-1, 2, 8)
    along = np.abs(directions(500, 8, 3) @ mu)
    for p in (1.0, 2.0, 3.0):
        value = sliced_wasserstein(real=x, fake=x[::-1] + mu, projections=500, p=p, seed=3)
        assert value == pytest.approx(np.mean(along**p) ** (1 / p), rel=1e-12)
    assert np.mean(along**2) == pytest.approx(mu @ mu / 8, rel=0.1)


def test_scaling_about_the_mean():
    """Quantiles are scaled alike: W_2^2 = (s - 1)^2 times the second moment of each projection."""
    x, _ = pair(d=4)
    moments = np.square(x @ directions(50, 4, 0).T).mean()
    value = sliced_wasserstein(real=x, fake=3 * x, projections=50)
    assert value == pytest.approx(2 * np.sqrt(moments), rel=1e-12)


def test_mind_of_a_shift_by_mu_in_every_coordinate():
    """3 d mu^2 on average over directions, up to 10% with a thousand of them; and 0 of a set with itself."""
    x, _ = pair(n=50, d=64)
    assert mind(real=x, fake=x + 0.5) == pytest.approx(3 * 64 * 0.25, rel=0.1)
    assert mind(real=x, fake=x[::-1]) == 0.0
    y = x[:30] * 1.1
    expected = 3 * 64 * sliced_wasserstein(real=x, fake=y) ** 2
    assert mind(real=x, fake=y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 12), (12, 8), (2, 9)])
def test_the_line_with_unequal_numbers(n, m):
    """In one dimension there is one direction: W_1 of scipy, and W_2 of samples repeated to a common number."""
    x, y = pair(n, m, d=1)
    assert sliced_wasserstein(real=x, fake=y, projections=3, p=1) == pytest.approx(
        scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-12
    )
    many = np.sort(np.repeat(x[:, 0], m)), np.sort(np.repeat(y[:, 0], n))
    assert sliced_wasserstein(real=x, fake=y, projections=3) == pytest.approx(
        np.sqrt(np.square(many[0] - many[1]).mean()), rel=1e-12
    )
    assert wasserstein(real=x, fake=y) == pytest.approx(scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-12)


def test_directions_are_the_same_everywhere():
    """The first normals of MT19937 with seed 0 by the polar method, which numpy has frozen."""
    normals = np.array([1.764052345967664, 0.4001572083672233, 0.9787379841057392])
    assert directions(2, 3, 0)[0] == pytest.approx(normals / np.linalg.norm(normals), rel=1e-14)
    assert np.linalg.norm(directions(20, 5, 1), axis=1) == pytest.approx(np.ones(20), rel=1e-14)


def test_blocks_of_directions_leave_none_out(monkeypatch):
    x, y = pair(20, 30)
    whole, metric = sliced_wasserstein(real=x, fake=y, projections=17), SLICED.bound(projections=17)
    interval = metric.estimate(real=x, fake=y).interval
    monkeypatch.setattr(sliced, "_ENTRIES", 100)
    assert sliced_wasserstein(real=x, fake=y, projections=17) == pytest.approx(whole, rel=1e-13)
    assert metric.estimate(real=x, fake=y).interval.low == pytest.approx(interval.low, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(9, 9), (6, 9)])
def test_potentials_solve_the_dual(n, m):
    """Feasible, u(x) + v(y) <= c, and their means add to W_2^2: so plan and potentials are both optimal (n = m)."""
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.normal(size=(1, n))), np.sort(rng.normal(size=(1, m)))
    u, v = sliced._potentials(x, y, 2.0)[0], sliced._potentials(y, x, 2.0)[0]
    slack = np.square(x[0][:, None] - y[0]) - u[:, None] - v
    weights, i, j = sliced._plan(n, m)
    assert slack.min() == pytest.approx(slack[i, j].min(), abs=1e-9)
    value = float(weights @ np.square(x[0][i] - y[0][j]))
    assert u.mean() + v.mean() + slack[i, j] @ weights == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(9, 9), (6, 9), (7, 9)])
def test_potentials_do_not_prefer_a_side(n, m):
    """Seen in a mirror they are the same up to a constant, also where steps coincide."""
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.normal(size=(1, n))), np.sort(rng.normal(size=(1, m)))
    there, back = sliced._potentials(x, y, 2.0), sliced._potentials(-x[:, ::-1], -y[:, ::-1], 2.0)[:, ::-1]
    assert there - there.mean() == pytest.approx(back - back.mean(), abs=1e-12)


def test_earth_movers_distance_by_enumeration():
    x, y = pair(6, 6)
    c = np.linalg.norm(x[:, None] - y[None], axis=-1)
    best = min(c[np.arange(6), list(order)].mean() for order in permutations(range(6)))
    assert wasserstein(real=x, fake=y) == pytest.approx(best, rel=1e-13)


@pytest.mark.parametrize(("n", "m"), [(30, 30), (20, 31), (45, 30), (3, 50)])
@pytest.mark.parametrize("largest", [1, 2000])
def test_earth_movers_distance_and_its_duals(n, m, largest, monkeypatch):
    """Both ways to it against the whole linear program; the potentials are feasible and reach the value."""
    monkeypatch.setattr(exact, "LARGEST", largest)
    x, y = pair(n, m)
    c = np.linalg.norm(x[:, None] - y[None], axis=-1)
    sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    whole = scipy.optimize.linprog(c.ravel(), A_eq=sums, b_eq=np.repeat([1 / n, 1 / m], [n, m]))
    value, u, v = exact._solved(x, y)
    assert value == pytest.approx(whole.fun, rel=1e-8)
    assert u.mean() + v.mean() == pytest.approx(value, rel=1e-9)
    assert (u[:, None] + v <= c + 1e-8).all()


def test_repeating_one_side_changes_nothing():
    """25 against 50: the same as when every x stands there twice."""
    x, y = pair(25, 50)
    assert wasserstein(real=x, fake=y) == pytest.approx(wasserstein(real=np.repeat(x, 2, axis=0), fake=y), rel=1e-10)


def test_the_size_limit_is_a_status():
    x = np.zeros((exact.LARGEST + 1, 1))
    found = measure("wasserstein", EARTH, real=x, fake=x, protocol="")
    assert found.status == "undefined"
    assert "2001 real and 2001 generated" in found.reason
    with pytest.raises(Undefined, match="1000 where not"):
        wasserstein(real=x[:1001], fake=x[:1000])


@pytest.mark.parametrize("metric", METRICS)
def test_degenerate_input(metric):
    x, y = pair()
    fn = metric.fn
    same = np.full((45, 3), 1e5)
    found = measure("metric", metric, real=same, fake=same[:40], protocol="")
    assert found.value == found.low == found.high == 0.0
    with pytest.raises(Refused, match="must be the same"):
        fn(real=x, fake=y[:, :2])
    with pytest.raises(Refused, match="NaN or infinite"):
        fn(real=np.where(x == x[0, 0], np.nan, x), fake=y)
    with pytest.raises(Refused, match="NaN or infinite"):
        fn(real=x, fake=np.where(y == y[0, 0], -np.inf, y))
    with pytest.raises(Refused, match="at least 2"):
        fn(real=x, fake=y[:1])
    whole = np.random.default_rng(0).integers(0, 256, (2, 40, 3), dtype=np.uint8)
    assert fn(real=whole[0], fake=whole[1]) == fn(real=whole[0].astype(float), fake=whole[1].astype(float))


def test_arguments_out_of_range_have_a_sentence():
    x, y = pair()
    with pytest.raises(Refused, match="projections is 0"):
        mind(real=x, fake=y, projections=0)
    with pytest.raises(Refused, match=r"order p is 0\.5"):
        sliced_wasserstein(real=x, fake=y, p=0.5)
    with pytest.raises(Undefined, match="overflows"):
        sliced_wasserstein(real=1e200 * x, fake=y)
    with pytest.raises(Undefined, match="overflow"):
        wasserstein(real=1e200 * x, fake=y)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 9), st.integers(1, 4))
def test_order_exchange_and_shift_change_nothing(seed, n, m, d):
    rng = np.random.default_rng(seed)
    x, y = np.round(rng.normal(size=(n, d)), 1), np.round(1 + rng.normal(size=(m, d)), 1)
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    for metric in METRICS:
        found = metric.estimate(real=x, fake=y)
        assert found.interval.low <= found.value <= found.interval.high
        assert found.value == pytest.approx(metric.fn(real=x, fake=y), rel=1e-12)
        assert metric.fn(real=y, fake=x) == pytest.approx(found.value, rel=1e-9, abs=1e-12)
        assert metric.fn(real=rng.permutation(x) + 5, fake=rng.permutation(y) + 5) == pytest.approx(
            found.value, rel=1e-9, abs=1e-12
        )
    turned = wasserstein(real=x @ rotation, fake=y @ rotation)
    assert turned == pytest.approx(wasserstein(real=x, fake=y), rel=1e-9, abs=1e-12)


CASES = [
    (SLICED.bound(projections=20), 100, 100, 3, 0.5),
    (SLICED.bound(projections=20), 100, 70, 3, 0.5),
    (SLICED.bound(projections=20, p=1.0), 200, 200, 16, 0.2),
    (MIND.bound(projections=20), 100, 100, 3, 0.5),
    (MIND.bound(projections=20), 200, 200, 16, 0.2),
    (EARTH, 60, 60, 2, 2.0),
    (EARTH, 60, 60, 6, 0.5),
]


def cover(metric, n, m, d, mu, repetitions=1_000):
    """Of the expected value at these sizes, which only the mean of all values knows."""
    rng = np.random.default_rng(0)
    found = [
        metric.estimate(real=rng.normal(size=(n, d)), fake=mu + rng.normal(size=(m, d))) for _ in range(repetitions)
    ]
    truth = np.mean([estimate.value for estimate in found])
    return np.mean([estimate.interval.low <= truth <= estimate.interval.high for estimate in found])


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "n", "m", "d", "mu"), CASES)
def test_intervals_cover(metric, n, m, d, mu):
    assert 0.93 <= cover(metric, n, m, d, mu) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("metric", [SLICED.bound(projections=20), MIND.bound(projections=20), EARTH])
def test_intervals_are_wide_where_the_laws_are_equal(metric):
    """As the docstrings say: the first-order variance is zero there, and what noise puts in its place is too large."""
    assert cover(metric, 60, 60, 2, 0.0) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("d", "projections"), [(1, 1), (3, 20)])
def test_sliced_intervals_between_the_two_regimes(d, projections):
    """The docstrings' 92 of 100, where a difference is about as large as its noise."""
    assert cover(MIND.bound(projections=projections), 100, 100, d, 0.3) >= 0.91


def test_an_estimate_of_sets_of_different_sizes_is_a_mean_over_parts_and_fast():
    """1,000 against 360, far apart: as one linear program it takes minutes."""
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 17, (360, 64)), rng.normal(size=(1000, 64)) * 5 + 30
    found = EARTH.estimate(real=real, fake=fake)
    order = np.random.default_rng(0).permutation(1000)
    parts = [wasserstein(real=real, fake=fake[order[start : start + 360]]) for start in (0, 360)]
    assert found.value == pytest.approx(np.mean(parts), rel=1e-12)
    assert found.n == 720
    assert "of 360 on each side, mean over 2 disjoint parts of the 1,000" in found.interval.method
    assert found.interval.low < found.value < found.interval.high
    swapped = EARTH.estimate(real=fake, fake=real)
    assert swapped.value == pytest.approx(found.value, rel=1e-12)
    assert swapped.n == 360
