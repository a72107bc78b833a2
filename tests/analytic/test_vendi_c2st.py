"""Vendi, the classifier two-sample test and the class divergence: closed forms, brute force, intervals."""

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.errors import Refused, Undefined
from genbench.metrics.c2st import METRIC as C2ST
from genbench.metrics.c2st import c2st
from genbench.metrics.distances import PRECISIONS
from genbench.metrics.kl import METRIC as KL
from genbench.metrics.kl import kl
from genbench.metrics.measure import measure
from genbench.metrics.vendi import METRIC as VENDI
from genbench.metrics.vendi import vendi
from genbench.stats import groups_of

classifier = import_module("genbench.metrics.c2st")  # the package's attribute of this name is the function
diversity = import_module("genbench.metrics.vendi")

ORDERS = [0.5, 1.0, 2.0, 7.0, np.inf]


@pytest.mark.parametrize("order", ORDERS)
def test_three_equal_pairs_far_apart(order):
    """K / n has the eigenvalue 1/3 three times: exp(H_q) = 3 for every q."""
    pairs = np.repeat(np.eye(3), 2, axis=0)
    assert vendi(fake=pairs, order=order) == pytest.approx(3, rel=1e-12)
    assert vendi(fake=100 * pairs, order=order, kernel="gaussian", sigma=1.0) == pytest.approx(3, rel=1e-12)
    assert vendi(fake=np.repeat(np.eye(9)[:3], 2, axis=0), order=order) == pytest.approx(3, rel=1e-12)


def test_orders_of_unequal_shares():
    """Shares 1/2, 1/4, 1/4: H_1 = 1.5 log 2, sum of squares 3/8, largest 1/2; and the limit q -> 1."""
    x = np.eye(3)[[0, 0, 1, 2]]
    assert vendi(fake=x) == pytest.approx(2**1.5, rel=1e-13)
    assert vendi(fake=x, order=2) == pytest.approx(8 / 3, rel=1e-13)
    assert vendi(fake=x, order=np.inf) == pytest.approx(2, rel=1e-13)
    assert vendi(fake=x, order=0.5) == pytest.approx((np.sqrt([0.5, 0.25, 0.25]).sum()) ** 2, rel=1e-13)
    assert vendi(fake=x, order=1 + 1e-7) == pytest.approx(vendi(fake=x), rel=1e-6)
    assert vendi(fake=x, order=5000) == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(("n", "d"), [(12, 5), (5, 12)])
def test_vendi_is_its_definition(n, d):
    """Through the n by n matrix, whichever of the two the metric takes."""
    x = np.random.default_rng(0).normal(size=(n, d)) + 0.5
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    gauss = np.exp(-np.square(x[:, None] - x[None]).sum(axis=-1) / 8)
    for similar, arguments in [(unit @ unit.T, {}), (gauss, {"kernel": "gaussian", "sigma": 2.0})]:
        values = np.linalg.eigvalsh(similar / n)
        values = values[values > 1e-12]
        assert vendi(fake=x, **arguments) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-9)


def test_vendi_replicates_leave_each_group_out():
    """From subtracted moments and from sub-matrices: what the function itself gives without the group."""
    for shape in ((60, 7), (45, 80)):
        x = np.random.default_rng(1).normal(size=shape) + 0.3
        member, found = groups_of(len(x)), diversity._replicates(fake=x)
        expected = [vendi(fake=x[member != g]) for g in range(20)]
        assert found.fake == pytest.approx(expected, rel=1e-9)
        assert found.real is None
        assert found.value == pytest.approx(vendi(fake=x), rel=1e-12)


def test_vendi_degenerate_input():
    same = np.full((50, 3), 7, dtype=np.uint8)
    found = measure("vendi", VENDI, real=None, fake=same, protocol="")
    assert found.value == pytest.approx(1.0, abs=1e-9)
    assert found.high - found.low < 1e-9
    x = np.random.default_rng(0).normal(size=(20, 4))
    assert vendi(fake=1e-200 * x) == pytest.approx(vendi(fake=x), rel=1e-9)
    assert vendi(fake=1e200 * x, kernel="gaussian", sigma=1.0) == pytest.approx(20, rel=1e-12)
    with pytest.raises(Undefined, match="1 rows of the generated features are zero"):
        vendi(fake=np.concatenate([x, np.zeros((1, 4))]))
    with pytest.raises(Undefined, match="2001 samples; with the Gaussian"):
        vendi(fake=np.zeros((2001, 1)), kernel="gaussian", sigma=1.0)
    with pytest.raises(Undefined, match="more features than samples"):
        vendi(fake=np.ones((2001, 2001)))
    for arguments in ({"order": 0.0}, {"order": np.nan}, {"kernel": "gaussian"}, {"sigma": 1.0}, {"kernel": "linear"}):
        with pytest.raises(Refused, match=r"vendi: (the order|sigma|the kernel)"):
            vendi(fake=x, **arguments)
    for wrong in (x[:1], np.full((5, 2), np.nan), np.full((5, 2), np.inf)):
        with pytest.raises(Refused):
            vendi(fake=wrong)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 8))
def test_vendi_ignores_order_rotation_scale_and_repetition(seed, n, d):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    value = vendi(fake=x)
    assert 1 - 1e-9 <= value <= min(n, d) + 1e-9
    assert vendi(fake=3 * rng.permutation(x) @ rotation) == pytest.approx(value, rel=1e-8)
    assert vendi(fake=np.concatenate([x, x])) == pytest.approx(value, rel=1e-8)
    orders = [vendi(fake=x, order=order) for order in ORDERS]
    assert (np.diff(orders) <= 1e-9).all()


def by_sorting(x, y, folds, k):
    """Votes of the k nearest in the other folds, one point at a time; those at the k-th distance share what is left."""
    points = np.concatenate([x, y])
    label = np.repeat([0, 1], [len(x), len(y)])
    fold = np.concatenate([groups_of(len(x), folds), groups_of(len(y), folds)])
    right = np.empty(len(points))
    for i, point in enumerate(points):
        others = np.flatnonzero(fold != fold[i])
        distance = np.square(points[others] - point).sum(axis=1)
        edge = np.sort(distance)[k - 1]
        near, even = label[others][distance < edge], label[others][distance == edge]
        votes = near.sum() + (k - len(near)) * even.mean()
        ahead = (votes - k * label[others].mean()) * (2 * label[i] - 1)
        right[i] = 0.5 + 0.5 * np.clip(2 * ahead, -1, 1)
    return 0.5 * right[label == 0].mean() + 0.5 * right[label == 1].mean()


def test_c2st_with_many_neighbours_at_one_distance():
    """Points on a small grid, whose squared distances are whole numbers: ties everywhere."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (40, 2)), rng.integers(1, 5, (50, 2))
    assert c2st(real=x, fake=y) == pytest.approx(by_sorting(x, y, 5, 8), abs=1e-12)


@pytest.mark.parametrize(("n", "m", "folds", "k"), [(40, 40, 5, 7), (40, 25, 4, 6), (30, 30, 30, 3)])
def test_c2st_is_its_definition(n, m, folds, k, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 3)), 0.5 + rng.normal(size=(m, 3))
    expected = by_sorting(x, y, folds, k)
    assert c2st(real=x, fake=y, folds=folds, k=k) == pytest.approx(expected, abs=1e-12)
    assert C2ST.bound(folds=folds, k=k).estimate(real=x, fake=y).value == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(classifier, "_ENTRIES", 100)
    assert c2st(real=x, fake=y, folds=folds, k=k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("grid", [False, True], ids=["normal", "ties"])
def test_c2st_is_its_definition_whatever_the_bounds(precision, grid, monkeypatch):
    """Coarse bounds leave more pairs to be made exact, and decide none of them."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 20)), rng.normal(size=(120, 20)) + 0.2
    if grid:
        x, y = np.round(x), np.round(y)
    monkeypatch.setattr(classifier, "first_precision", lambda a, b: precision)
    assert c2st(real=x, fake=y) == pytest.approx(by_sorting(x, y, 5, 14), abs=1e-12)


@pytest.mark.parametrize("order", ["mixed", "sorted", "equal"])
def test_the_kth_smallest_of_long_rows(order):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(7, 6000)).astype(np.float32)
    if order == "sorted":  # the sampled columns hold none of the smallest but the first
        rows = np.sort(rows, axis=1)
    if order == "equal":
        rows = np.ones_like(rows)
    for k in (1, 15, 64, 77, 200):
        np.testing.assert_array_equal(classifier._kth(rows, k), np.sort(rows, axis=1)[:, k - 1])


def test_c2st_at_its_ends():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    far = measure("c2st", C2ST, real=x, fake=x + 100, protocol="")
    assert (far.value, far.high) == (1.0, 1.0)
    assert far.low > 0.9
    same = measure("c2st", C2ST, real=np.ones((60, 2)), fake=np.ones((50, 2)), protocol="")
    assert same.value == 0.5
    assert same.low < 0.5 < same.high


def test_c2st_sees_what_has_equal_means():
    """A ring against a disc of the same mean and covariance, where no linear rule is better than chance."""
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, (2, 300)), np.sqrt(2 * rng.uniform(size=300))
    ring = np.stack([np.cos(angle[0]), np.sin(angle[0])], axis=1)
    disc = radius[:, None] * np.stack([np.cos(angle[1]), np.sin(angle[1])], axis=1)
    assert C2ST.estimate(real=ring, fake=disc).interval.low > 0.6


def test_unequal_sides_leave_chance_at_one_half():
    rng = np.random.default_rng(0)
    values = [c2st(real=rng.normal(size=(120, 2)), fake=rng.normal(size=(40, 2))) for _ in range(100)]
    assert np.mean(values) == pytest.approx(0.5, abs=4 * np.std(values) / 10)


def test_samples_that_copy_held_out_points_fall_below_chance():
    """The nearest of each point is its double of the other class."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    assert c2st(real=x, fake=np.random.default_rng(1).permutation(x), k=1) < 0.3


def test_c2st_degenerate_input():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(60, 3))
    assert c2st(real=1e200 * x, fake=1e200 * y) == c2st(real=x, fake=y)
    whole = rng.integers(0, 256, (2, 50, 3), dtype=np.uint8)
    assert c2st(real=whole[0], fake=whole[1]) == c2st(real=whole[0].astype(float), fake=whole[1].astype(float))
    for wrong, words in [
        ({"real": x[:, :2], "fake": y}, "must be the same"),
        ({"real": x[:1], "fake": y}, "at least 2"),
        ({"real": np.full((50, 3), np.nan), "fake": y}, "NaN or infinite"),
        ({"real": x, "fake": np.full((50, 3), np.inf)}, "NaN or infinite"),
        ({"real": x, "fake": y, "folds": 1}, "1 folds"),
        ({"real": x, "fake": y, "folds": 51}, "from 2 to 50"),
        ({"real": x, "fake": y, "k": 0}, "k is 0"),
        ({"real": x, "fake": y, "k": 89}, "between 1 and 88"),
    ]:
        with pytest.raises(Refused, match=words):
            c2st(**wrong)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(6, 30), st.integers(6, 30), st.integers(1, 4))
def test_c2st_ignores_exchange_rotation_shift_and_scale(seed, n, m, d):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), 0.5 + rng.normal(size=(m, d))
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    found = C2ST.estimate(real=x, fake=y)
    assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
    assert c2st(real=y, fake=x) == pytest.approx(found.value, abs=1e-12)
    assert c2st(real=7 * x @ rotation + 1, fake=7 * y @ rotation + 1) == pytest.approx(found.value, abs=1e-12)


def classes(shares, n, rng, sure=0.8):
    """Answers that are `sure` of the class drawn and spread the rest evenly."""
    return sure * np.eye(len(shares))[rng.choice(len(shares), n, p=shares)] + (1 - sure) / len(shares)


def test_kl_of_known_shares():
    """p = (1/2, 1/2), q = (1/4, 3/4): log(2) / 2 + log(2/3) / 2 = log(4/3) / 2; soft answers count by their means."""
    real, fake = np.eye(2)[[0, 1, 1, 1]], np.eye(2)[[0, 1]]
    assert kl(real=real, fake=fake) == pytest.approx(0.5 * np.log(4 / 3), rel=1e-13)
    assert kl(real=real, fake=np.full((3, 2), 0.5)) == pytest.approx(0.5 * np.log(4 / 3), rel=1e-13)
    assert kl(real=fake, fake=real) == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5), rel=1e-13)


def test_kl_with_classes_that_do_not_occur():
    three = np.eye(3)
    assert kl(real=three[[0, 1]], fake=three[[0, 0]]) == pytest.approx(np.log(2), rel=1e-13)
    with pytest.raises(Undefined, match="1 classes occur in the generated"):
        kl(real=three[[0, 1]], fake=three[[0, 2]])
    found = measure("kl", KL, real=np.repeat(three[:2], 30, axis=0), fake=three[[0, 2]].repeat(30, axis=0), protocol="")
    assert found.status == "undefined"


def test_kl_degenerate_input():
    same = np.tile([0.2, 0.3, 0.5], (50, 1))
    found = measure("kl", KL, real=same, fake=same[:40], protocol="")
    assert found.value == found.low == pytest.approx(0.0, abs=1e-12)
    assert found.high < 1e-9
    for wrong, words in [
        ({"real": None, "fake": same}, "kl: real is missing"),
        ({"real": same, "fake": same[:, :2] / 0.5}, "must be the same"),
        ({"real": same, "fake": -same}, "negative"),
        ({"real": same, "fake": 2 * same}, "sum to 1"),
        ({"real": np.where(same == 0.2, np.nan, same), "fake": same}, "NaN"),
    ]:
        with pytest.raises(Refused, match=words):
            kl(**wrong)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(4, 30), st.integers(4, 30), st.integers(1, 6))
def test_kl_is_a_divergence(seed, n, m, k):
    rng = np.random.default_rng(seed)
    real, fake, order = rng.dirichlet(np.ones(k), m), rng.dirichlet(np.ones(k), n), rng.permutation(k)
    found = KL.estimate(real=real, fake=fake)
    assert found.value >= 0
    assert found.interval.low <= found.value <= found.interval.high
    assert kl(real=real, fake=real[::-1]) <= 1e-15
    assert kl(real=rng.permutation(real)[:, order], fake=fake[:, order]) == pytest.approx(
        found.value, rel=1e-9, abs=1e-15
    )


def cover(metric, draw, repetitions=1_000):
    """Of the expected value at these sizes, which only the mean of all values knows."""
    rng = np.random.default_rng(0)
    found = [measure("metric", metric, **draw(rng), protocol="") for _ in range(repetitions)]
    truth = np.mean([m.value for m in found])
    return np.mean([m.low <= truth <= m.high for m in found])


@pytest.mark.slow
@pytest.mark.parametrize("shares", [[0.25] * 4, [0.4, 0.3, 0.2, 0.1], [0.06, 0.14] * 5])
def test_kl_intervals_cover(shares):
    """Also where the shares are equal, and the divergence is a sum of squares."""

    def draw(rng):
        even = [1 / len(shares)] * len(shares)
        return {"real": classes(even, 150, rng), "fake": classes(shares, 200, rng)}

    assert 0.93 <= cover(KL, draw, 2_000) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "m", "d", "mu"), [(100, 100, 3, 0.0), (100, 100, 3, 0.5), (150, 80, 3, 1.0), (300, 300, 2, 0.3)]
)
def test_c2st_intervals_cover(n, m, d, mu):
    share = cover(C2ST, lambda rng: {"real": rng.normal(size=(n, d)), "fake": mu + rng.normal(size=(m, d))})
    assert 0.93 <= share <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{}, {"order": 2.0}, {"order": np.inf}, {"kernel": "gaussian", "sigma": 1.0}])
def test_vendi_intervals_cover(arguments):
    scales = np.array([1.0, 2.0, 3.0, 4.0]) if "kernel" not in arguments else np.ones(2)
    metric = VENDI.bound(**arguments)
    share = cover(metric, lambda rng: {"real": None, "fake": scales * rng.normal(size=(80, len(scales)))})
    assert 0.92 <= share <= 0.975


@pytest.mark.slow
def test_vendi_intervals_close_to_the_largest_value():
    """The docstring's 92 to 98 of 100: three classes in equal shares, and an isotropic Gaussian."""
    assert cover(VENDI, lambda rng: {"real": None, "fake": np.eye(3)[rng.integers(0, 3, 100)]}) >= 0.9
    assert cover(VENDI, lambda rng: {"real": None, "fake": rng.normal(size=(100, 4))}) >= 0.93
